//! What needs the emulated AWS API but no machine: provisioning that is killed at any moment, and managers that race.

mod clients;

use futuswarm_model::{Genesis, keys, unix_millis};
use futuswarm_store::{S3Bucket, Store};
use futuswarm_testkit::{Account, Ended};
use serde_json::Value;

const APPLY: &[&str] = &["apply", "--image", "empty", "--yes", "--no-wait-for-nodes"];
const PLAN: &[&str] = &["apply", "--image", "empty", "--plan"];
const DESTROY: &[&str] = &["destroy", "--yes", "--delete-data"];

/// A kill is tried after each call of a run, which takes seven minutes; `FUTUSWARM_KILL_STEP=12` tries it after every twelfth.
fn step() -> usize {
    std::env::var("FUTUSWARM_KILL_STEP").ok().and_then(|step| step.parse().ok()).unwrap_or(1)
}

/// After so many rounds an account is started again: the emulator remembers everything that ever ended, and gets slow.
const ROUNDS: usize = 15;

/// An apply and a destroy of everything make at least so many calls: with fewer the rounds would test next to nothing.
const FEWEST_CALLS: u32 = 90;

/// A run that looks less often for what it waits for ends so many calls earlier; in the last rounds it may be through.
const SLACK: u32 = 5;

/// The account with the key pair's name without its key: an account that is started again has another key.
fn inventory(account: &Account) -> Value {
    let mut observed = account.inventory();
    for pair in observed["key pair"].as_array_mut().into_iter().flatten() {
        let name = pair.as_str().unwrap().rsplit_once('-').unwrap().0;
        *pair = name.into();
    }
    observed
}

/// An account, what is in it with nothing and with everything, and how many calls lie between.
struct Rehearsal {
    name: &'static str,
    account: Option<Account>,
    nothing: Value,
    everything: Value,
    calls_of_apply: u32,
    calls_of_destroy: u32,
}

impl Rehearsal {
    fn begin(name: &'static str) -> Self {
        let account = Account::start(name);
        let seen = |account: &Account| account.progress().all.seen;
        let nothing = inventory(&account);
        assert_eq!(account.provision(PLAN).status().unwrap().code(), Some(2));
        assert_eq!(inventory(&account), nothing, "a plan changes nothing");
        account.clear_faults();
        account.must_provision(APPLY);
        let calls_of_apply = seen(&account);
        let everything = inventory(&account);
        assert_eq!(account.provision(PLAN).status().unwrap().code(), Some(0));
        account.clear_faults();
        account.must_provision(DESTROY);
        let calls_of_destroy = seen(&account);
        assert_eq!(inventory(&account), nothing, "everything is deleted");
        assert!(calls_of_apply >= FEWEST_CALLS, "an apply of everything is seen: {calls_of_apply} calls");
        assert!(calls_of_destroy >= FEWEST_CALLS, "a destroy of everything is seen: {calls_of_destroy} calls");
        Self { name, account: Some(account), nothing, everything, calls_of_apply, calls_of_destroy }
    }

    fn account(&self) -> &Account {
        self.account.as_ref().expect("an account")
    }

    /// Starts the account again when its time has come.
    fn refresh(&mut self, round: usize) {
        if round > 0 && round.is_multiple_of(ROUNDS) {
            // The old one ends first: both have the same name.
            self.account = None;
            self.account = Some(Account::start(self.name));
        }
    }

    /// Kills an apply after each of its calls; the next one must finish it, and leave nothing for a third.
    fn kill_applies(&mut self) {
        for (round, calls) in (1..=self.calls_of_apply).step_by(step()).enumerate() {
            self.refresh(round);
            let ended = self.account().kill_after(calls, APPLY);
            assert!(
                ended == Ended::Killed || calls + SLACK > self.calls_of_apply,
                "not killed at call {calls} of apply"
            );
            let stderr = self.account().must_provision(APPLY);
            assert_eq!(
                inventory(self.account()),
                self.everything,
                "after a kill at call {calls} of apply, then: {stderr}"
            );
            let plan = self.account().provision(PLAN).output().unwrap();
            assert_eq!(plan.status.code(), Some(0), "after a kill at call {calls}: {plan:?}");
            self.account().must_provision(DESTROY);
        }
        assert_eq!(self.account().kill_after(self.calls_of_apply + 1000, APPLY), Ended::ByItself);
    }

    /// Kills a destroy after each of its calls; the next one must finish it.
    fn kill_destroys(&mut self) {
        for (round, calls) in (1..=self.calls_of_destroy).step_by(step()).enumerate() {
            self.refresh(round);
            self.account().must_provision(APPLY);
            let ended = self.account().kill_after(calls, DESTROY);
            assert!(
                ended == Ended::Killed || calls + SLACK > self.calls_of_destroy,
                "not killed at call {calls} of destroy"
            );
            let stderr = self.account().must_provision(DESTROY);
            assert_eq!(
                inventory(self.account()),
                self.nothing,
                "after a kill at call {calls} of destroy, then: {stderr}"
            );
        }
    }
}

#[test]
#[ignore = "starts two emulated AWS accounts: `cargo xtask test` runs it"]
fn a_run_killed_after_any_call_is_finished_by_the_next() {
    // The emulator has one thread, and the machine two processors.
    std::thread::scope(|scope| {
        let applies = scope.spawn(|| Rehearsal::begin("local-api").kill_applies());
        let destroys = scope.spawn(|| Rehearsal::begin("local-api-two").kill_destroys());
        applies.join().expect("killed applies");
        destroys.join().expect("killed destroys");
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
async fn of_managers_that_race_on_s3_exactly_one_founds() {
    let account = Account::start("local-api");
    let sdk = clients::sdk(&account).await;
    let region = aws_sdk_s3::types::BucketLocationConstraint::from(account.setting("AWS_REGION"));
    let place = aws_sdk_s3::types::CreateBucketConfiguration::builder().location_constraint(region).build();
    let s3 = aws_sdk_s3::Client::new(&sdk);
    s3.create_bucket().bucket("race").create_bucket_configuration(place).send().await.unwrap();

    let store = Store::new(S3Bucket::new(&sdk, "race"));
    for race in 0..100 {
        let racers = (0..3).map(|index| {
            let store = store.clone();
            let claim = Genesis {
                cluster: "local-api".to_owned(),
                epoch: 1,
                founder: Some(format!("i-{index}")),
                swarm_id: None,
                claimed_at: unix_millis(),
            };
            tokio::spawn(async move { store.create(keys::GENESIS, &claim).await.unwrap().and(claim.founder) })
        });
        let mut winners = Vec::new();
        for racer in racers.collect::<Vec<_>>() {
            winners.extend(racer.await.unwrap());
        }
        let stored = store.get::<Genesis>(keys::GENESIS).await.unwrap().unwrap().value;
        assert_eq!(Some(winners), stored.founder.map(|founder| vec![founder]), "race {race}");
        store.delete(keys::GENESIS).await.unwrap();
    }
}
