//! What needs the emulated AWS API but no machine: provisioning that is killed at any moment, and managers that race.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use futuswarm_store::{Genesis, S3Bucket, Store, keys, unix_millis};
use futuswarm_testkit::{Account, Ended};
use serde_json::json;

const APPLY: &[&str] = &["apply", "--image", "empty", "--no-wait"];
const DESTROY: &[&str] = &["destroy", "--yes", "--delete-data"];

/// Every how many calls a run is killed, unless `FUTUSWARM_EVERY_CALL` asks for each: that takes a quarter of an hour.
const STEP: usize = 8;

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn a_run_killed_after_any_call_is_finished_by_the_next() {
    let account = Account::start("local-api");
    let nothing = account.inventory();
    assert_eq!(account.provision(&["apply", "--image", "empty", "--plan"]).status().unwrap().code(), Some(2));
    account.calm();
    account.must_provision(APPLY);
    let calls_of_apply = account.progress()["seen"].as_u64().unwrap();
    let everything = account.inventory();
    assert_eq!(everything["vpc"], json!(["futuswarm-local-api-vpc"]));
    assert_eq!(account.provision(&["apply", "--image", "empty", "--plan"]).status().unwrap().code(), Some(0));
    let unasked = account.provision(&["destroy"]).output().unwrap();
    assert_eq!(unasked.status.code(), Some(1), "without a terminal and without --yes nothing is deleted");
    assert_eq!(account.inventory(), everything);
    account.calm();
    account.must_provision(DESTROY);
    let calls_of_destroy = account.progress()["seen"].as_u64().unwrap();
    assert_eq!(account.inventory(), nothing, "everything is deleted");

    let step = if std::env::var_os("FUTUSWARM_EVERY_CALL").is_some() { 1 } else { STEP };
    let last = u32::try_from(calls_of_apply.max(calls_of_destroy)).unwrap();
    for calls in (1..=last).step_by(step) {
        account.kill_after(calls, APPLY);
        let talk = account.must_provision(APPLY);
        assert_eq!(account.inventory(), everything, "after a kill at call {calls} of apply, then: {talk}");
        let talk = account.must_provision(APPLY);
        assert!(talk.contains("\n0 change(s) made"), "after a kill at call {calls}, a third run: {talk}");

        account.kill_after(calls, DESTROY);
        let talk = account.must_provision(DESTROY);
        assert_eq!(account.inventory(), nothing, "after a kill at call {calls} of destroy, then: {talk}");
    }
    assert_eq!(account.kill_after(last + 1000, APPLY), Ended::ByItself);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
async fn of_managers_that_race_on_s3_exactly_one_founds() {
    let account = Account::start("local-api");
    let setting = |key: &str| account.setting(key).to_owned();
    let credentials =
        Credentials::new(setting("AWS_ACCESS_KEY_ID"), setting("AWS_SECRET_ACCESS_KEY"), None, None, "local cloud");
    let sdk = futuswarm_aws::config(Some(&setting("AWS_REGION")), Some(&setting("AWS_ENDPOINT_URL"))).await;
    let sdk = sdk.into_builder().credentials_provider(SharedCredentialsProvider::new(credentials)).build();
    let region = aws_sdk_s3::types::BucketLocationConstraint::from(setting("AWS_REGION").as_str());
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
                founder: format!("i-{index}"),
                swarm_id: None,
                claimed_at: unix_millis(),
            };
            tokio::spawn(async move { store.create(keys::GENESIS, &claim).await.unwrap().map(|_| claim.founder) })
        });
        let mut winners = Vec::new();
        for racer in racers.collect::<Vec<_>>() {
            winners.extend(racer.await.unwrap());
        }
        let stored = store.get::<Genesis>(keys::GENESIS).await.unwrap().unwrap().value;
        assert_eq!(winners, [stored.founder], "race {race}");
        store.delete(keys::GENESIS).await.unwrap();
    }
}
