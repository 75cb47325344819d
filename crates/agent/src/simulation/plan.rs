//! What a seed decides: the cluster, which faults there are, and what happens when.

use std::time::Duration;

use fastrand::Rng;
use futuswarm_faults::Rates;
use futuswarm_model::Role;

/// A moment in the founding at which the founder dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Claimed,
    Initialised,
    Confirmed,
}

/// Something that the run does to a node, which is drawn when it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// The agent's process is killed, and started again.
    Crash,
    /// The instance is gone, and its group starts another one.
    Kill(Role),
    /// The same, of the Swarm's leader.
    KillLeader,
    /// dockerd stops for so long.
    StopEngine(Duration),
    /// The engine's membership ends in an error, or locked.
    Fail(Role),
    /// The disk with the engine's state is new.
    Wipe(Role),
    /// The wall clock jumps by so many milliseconds.
    Jump(i64),
    /// KMS, S3 or EC2 does not answer for so long.
    Outage(Service, Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Service {
    Kms,
    S3,
    Ec2,
}

/// One run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) managers: u32,
    /// Workers that are left over from an epoch whose managers are gone; the cluster is in its second one then.
    pub(super) left_over: u32,
    /// When each node is switched on.
    pub(super) starts: Vec<Duration>,
    pub(super) bucket: Rates,
    pub(super) engine: Rates,
    pub(super) services: Rates,
    pub(super) founder_dies: Option<(Moment, Duration)>,
    pub(super) actions: Vec<(Duration, Action)>,
    /// Addresses of dead instances are given to others: of the cluster, or of another cluster in the same network.
    pub(super) reuses_addresses: bool,
    pub(super) strangers: bool,
    /// Instances start with wall clocks that are wrong.
    pub(super) clocks_are_wrong: bool,
    /// The cluster has a login.
    pub(super) login: bool,
    /// When all faults stop.
    pub(super) faults_end: Duration,
}

fn seconds(rng: &mut Rng, range: std::ops::RangeInclusive<u64>) -> Duration {
    Duration::from_millis(rng.u64(range.start() * 1000..=range.end() * 1000))
}

fn one_in(rng: &mut Rng, times: u32) -> bool {
    rng.u32(..times) == 0
}

/// How far a wall clock jumps, in milliseconds: up to a minute, an hour, or more than a year.
pub(super) fn jump(rng: &mut Rng) -> i64 {
    let far = [60_000, 3_600_000, 40_000_000_000][rng.usize(..3)];
    rng.i64(-far..=far)
}

impl Plan {
    pub(super) fn of(rng: &mut Rng) -> Self {
        let managers = [1, 1, 2, 3, 3, 3, 3, 4, 5, 5][rng.usize(..10)];
        let workers = rng.u32(..=5);
        let faults_end = seconds(rng, 20..=240);
        let spread = if one_in(rng, 3) { faults_end.as_secs() } else { 20 };
        let starts = (0..managers + workers).map(|_| seconds(rng, 0..=spread)).collect();
        let rough = |rng: &mut Rng| {
            let at_most = if one_in(rng, 4) { 150 } else { 40 };
            let rate = |rng: &mut Rng| if rng.bool() { rng.u32(..=at_most) } else { 0 };
            Rates {
                fail: rate(rng),
                lose: rate(rng),
                repeat: rate(rng),
                hang: if one_in(rng, 4) { rng.u32(..=10) } else { 0 },
                stall: if one_in(rng, 4) { rng.u32(..=10) } else { 0 },
                absent: rate(rng),
                delay_millis: [0, 20, 200, 3000][rng.usize(..4)],
                hang_millis: 60_000,
            }
        };
        let (bucket, engine, services) = (rough(rng), rough(rng), rough(rng));
        // A call to the local socket is not made twice by anybody.
        let engine = Rates { repeat: 0, absent: 0, ..engine };
        let founder_dies = one_in(rng, 4).then(|| {
            let moment = [Moment::Claimed, Moment::Initialised, Moment::Confirmed][rng.usize(..3)];
            (moment, Duration::from_millis(rng.u64(..4000)))
        });
        let mut actions = Vec::new();
        for _ in 0..rng.u32(..=8) {
            let at = Duration::from_millis(rng.u64(..u64::try_from(faults_end.as_millis()).unwrap_or(1)));
            actions.push((at, Self::action(rng)));
        }
        Self {
            managers,
            left_over: if one_in(rng, 6) { rng.u32(..=workers) } else { 0 },
            starts,
            bucket,
            engine,
            services,
            founder_dies,
            actions,
            reuses_addresses: one_in(rng, 3),
            strangers: one_in(rng, 4),
            clocks_are_wrong: one_in(rng, 4),
            login: one_in(rng, 3),
            faults_end,
        }
    }

    fn action(rng: &mut Rng) -> Action {
        match rng.u32(..21) {
            0..=5 => Action::Crash,
            6 | 7 => Action::Kill(Role::Worker),
            8 => Action::Kill(Role::Manager),
            9 => Action::KillLeader,
            10..=12 => Action::StopEngine(seconds(rng, 1..=90)),
            13 => Action::Wipe(if one_in(rng, 3) { Role::Manager } else { Role::Worker }),
            14..=16 => Action::Jump(jump(rng)),
            20 => Action::Fail(if one_in(rng, 4) { Role::Manager } else { Role::Worker }),
            17 => Action::Outage(Service::Kms, seconds(rng, 5..=120)),
            18 => Action::Outage(Service::S3, seconds(rng, 5..=120)),
            _ => Action::Outage(Service::Ec2, seconds(rng, 5..=120)),
        }
    }
}
