//! One service under load: as many requests as HAProxy answers on one processor, and how long each takes at half of that.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use futuswarm_edge::Rendered;
use futuswarm_tools::free_port;
use serde::Serialize;
use tokio::task::JoinSet;

use super::haproxy::{Haproxy, TICKS};
use super::traffic::Pace;
use super::{by_hand, generated, host, median, names, processors, tasks, traffic};

const SERVICE: &str = "app";
/// Tasks of the service: from one address to one other there are too few ports for a connection per request.
const TASKS: u8 = 4;
/// A HAProxy whose processor was not idle for this share of the time had none left.
const BUSY: f64 = 0.95;
/// Before anything is counted.
const WARM_UP: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct Load {
    /// So many rounds, in each of which every configuration has its turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each turn.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// So many connections.
    #[arg(long, default_value_t = 32)]
    connections: u32,
}

/// Medians of all rounds. Ratios are those of ours to the one by hand within a round.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    ours: Side,
    by_hand: Side,
    /// By hand, with `option http-server-close`, which the generated one has.
    by_hand_closing: Side,
    rate_ratio: f64,
    p99_ratio: f64,
    processor_ratio: f64,
    /// Whether HAProxy was the limit in every round, ours and the one by hand. If not, the ratio of rates says too little, and that of processor
    /// time is to be taken.
    saturated: bool,
    /// At which `p99_us` was measured, for all three the same: half of the lowest rate.
    paced_per_second: f64,
}

#[derive(Debug, Serialize)]
struct Side {
    requests_per_second: f64,
    /// Of HAProxy's processor, for each request.
    processor_us: f64,
    /// The least share of the time of a round in which HAProxy's processor was not idle.
    busy: f64,
    p99_us: f64,
}

/// A HAProxy that takes its turns.
struct Turns {
    haproxy: Haproxy,
    port: u16,
    /// The one that it has.
    processor: usize,
    rates: Vec<f64>,
    processor_us: Vec<f64>,
    busy: Vec<f64>,
    p99_us: Vec<f64>,
}

/// What came of one turn.
struct Turn {
    /// Microseconds of each request, sorted.
    took: Vec<u32>,
    seconds: f64,
    /// Of HAProxy.
    processor_seconds: f64,
    /// Of its processor, in which the kernel had nothing to do for it either.
    idle_seconds: f64,
}

impl Turns {
    async fn start(render: impl FnOnce(u16) -> anyhow::Result<Rendered>, processor: usize) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut haproxy = Haproxy::start(&render(port)?, &processor.to_string())?;
        haproxy.wait(port, &host(SERVICE)).await?;
        let (rates, processor_us, busy, p99_us) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Ok(Self { haproxy, port, processor, rates, processor_us, busy, p99_us })
    }

    /// Asks over so many connections: with a rate as often in a second, and without one as often as there are answers.
    async fn turn(&self, connections: u32, time: Duration, rate: Option<f64>) -> anyhow::Result<Turn> {
        let (before, idle_before) = (self.haproxy.processor_seconds()?, idle_seconds(self.processor)?);
        let (request, began) = (traffic::request(&host(SERVICE)), Instant::now());
        let mut clients = JoinSet::new();
        for index in 0..connections {
            let pace = rate.map(|rate| {
                let gap = Duration::from_secs_f64(f64::from(connections) / rate);
                Pace { first: began + gap * index / connections, gap }
            });
            clients.spawn(traffic::ask(self.port, request.clone(), began + time, pace));
        }
        let mut took = Vec::new();
        while let Some(client) = clients.join_next().await {
            took.extend(client??);
        }
        let seconds = began.elapsed().as_secs_f64();
        let processor_seconds = self.haproxy.processor_seconds()? - before;
        let idle_seconds = idle_seconds(self.processor)? - idle_before;
        self.haproxy.forget_log()?;
        ensure!(!took.is_empty(), "no request was answered");
        took.sort_unstable();
        Ok(Turn { took, seconds, processor_seconds, idle_seconds })
    }

    async fn as_fast_as_it_answers(&mut self, connections: u32, time: Duration) -> anyhow::Result<()> {
        let Turn { took, seconds, processor_seconds, idle_seconds } = self.turn(connections, time, None).await?;
        self.rates.push(took.len() as f64 / seconds);
        self.processor_us.push(processor_seconds * 1e6 / took.len() as f64);
        self.busy.push(1.0 - idle_seconds / seconds);
        Ok(())
    }

    async fn at(&mut self, rate: f64, connections: u32, time: Duration) -> anyhow::Result<()> {
        let Turn { took, .. } = self.turn(connections, time, Some(rate)).await?;
        let p99 = took.get(took.len() * 99 / 100).copied().context("no request was answered")?;
        self.p99_us.push(f64::from(p99));
        Ok(())
    }

    fn side(&self) -> Side {
        let all = |values: &[f64]| median(values.iter().copied());
        Side {
            requests_per_second: all(&self.rates),
            processor_us: all(&self.processor_us),
            busy: self.busy.iter().copied().fold(f64::INFINITY, f64::min),
            p99_us: all(&self.p99_us),
        }
    }
}

impl Load {
    pub(crate) async fn run(self) -> anyhow::Result<Figures> {
        let Self { rounds, seconds, connections } = self;
        ensure!(rounds > 0 && seconds > 0 && connections > 0, "nothing would be measured");
        let time = Duration::from_secs(seconds);
        let processors = processors()?;
        let [first, second, ..] = processors[..] else {
            anyhow::bail!("two processors are needed, one of them for HAProxy alone");
        };
        keep_to(second)?;
        let tasks = tasks::start(TASKS).await?;
        let names = names::start(tasks.addresses.clone()).await?;
        let service = generated::service(SERVICE, tasks.port, TASKS.into(), &[]);
        let routes = generated::decided(&[service])?;
        let mut all = [
            Turns::start(|port| generated::rendered(&routes, port, names), first).await?,
            Turns::start(|port| Ok(by_hand::one(SERVICE, port, &tasks, false)), first).await?,
            Turns::start(|port| Ok(by_hand::one(SERVICE, port, &tasks, true)), first).await?,
        ];
        for turns in &all {
            turns.turn(connections, WARM_UP, None).await?;
        }
        for round in 0..rounds {
            for index in order(round) {
                all[index].as_fast_as_it_answers(connections, time).await?;
            }
        }
        let lowest = all.iter().map(|turns| median(turns.rates.iter().copied())).fold(f64::INFINITY, f64::min);
        let rate = lowest / 2.0;
        for round in 0..rounds {
            for index in order(round) {
                all[index].at(rate, connections, time).await?;
            }
        }
        let [ours, hand, closing] = &all;
        let ratio = |of: fn(&Turns) -> &[f64]| median(of(ours).iter().zip(of(hand)).map(|(ours, hand)| ours / hand));
        Ok(Figures {
            ours: ours.side(),
            by_hand: hand.side(),
            by_hand_closing: closing.side(),
            rate_ratio: ratio(|turns| &turns.rates),
            p99_ratio: ratio(|turns| &turns.p99_us),
            processor_ratio: ratio(|turns| &turns.processor_us),
            saturated: [ours, hand].into_iter().all(|turns| turns.busy.iter().all(|busy| *busy >= BUSY)),
            paced_per_second: rate,
        })
    }
}

/// There and back again, so that none is always the first.
fn order(round: usize) -> [usize; 3] {
    if round.is_multiple_of(2) { [0, 1, 2] } else { [2, 1, 0] }
}

/// For how long a processor has had nothing to do since this machine started.
fn idle_seconds(processor: usize) -> anyhow::Result<f64> {
    let (text, name) = (std::fs::read_to_string("/proc/stat")?, format!("cpu{processor} "));
    let line = text.lines().find_map(|line| line.strip_prefix(name.as_str()));
    let line = line.with_context(|| format!("/proc/stat has no {name}"))?;
    // Behind those of users, of what is nice, and of the kernel: idle, and waiting for a disk.
    let ticks = line.split(' ').skip(3).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(ticks as f64 / TICKS)
}

/// Keeps this thread, which is all that asks and answers, to one processor.
fn keep_to(processor: usize) -> anyhow::Result<()> {
    let mut taskset = Command::new("taskset");
    taskset.args(["-c", "-p", &processor.to_string(), &std::process::id().to_string()]);
    let status = taskset.stdout(Stdio::null()).status().context("taskset, of the package util-linux")?;
    ensure!(status.success(), "taskset ended with {status}");
    Ok(())
}
