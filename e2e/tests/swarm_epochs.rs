//! The epoch of a cluster's Swarm over a bucket that outlives the cluster: who opens one, when, and when not.

mod clients;

use std::collections::BTreeMap;

use futuswarm_model::{Genesis, ManagerRecord, NodeRecord, NodeState, Role, keys, unix_millis};
use futuswarm_store::{S3Bucket, Store, Versioned};
use futuswarm_testkit::{Account, Ended, texts};
use serde_json::json;

const NAME: &str = "local-api";
const APPLY: &[&str] = &["apply", "--image", "empty", "--yes", "--no-wait-for-nodes"];
const PLAN: &[&str] = &["apply", "--image", "empty", "--plan"];
/// The bucket and its keys stay.
const DESTROY: &[&str] = &["destroy", "--yes"];

/// An account with a cluster, and the cluster's bucket.
struct Rehearsal {
    account: Account,
    store: Store<S3Bucket>,
    bucket: String,
}

impl Rehearsal {
    async fn begin() -> Self {
        let account = Account::start(NAME);
        let region = account.setting("AWS_REGION").to_owned();
        let identity = account.call(&json!([["sts", null, "get_caller_identity", {}]]));
        let bucket = format!("futuswarm-{NAME}-{}-{region}", identity[0]["Account"].as_str().expect("an account"));
        let store = Store::new(S3Bucket::new(&clients::sdk(&account).await, &bucket));
        Self { account, store, bucket }
    }

    async fn genesis(&self) -> Versioned<Genesis> {
        self.store.get(keys::GENESIS).await.expect("the bucket answers").expect("apply has opened an epoch")
    }

    fn instances(&self, role: &str) -> Vec<String> {
        let status = self.account.status();
        let nodes = status["nodes"].as_array().expect("nodes").iter();
        let ours = nodes.filter(|node| node["role"] == role);
        ours.map(|node| node["instance"].as_str().expect("an id").to_owned()).collect()
    }

    /// What the agents of the machines would do: found, and say that they live.
    async fn found(&self, swarm: &str) -> String {
        let manager = self.instances("manager").remove(0);
        let open = self.genesis().await;
        let confirmed = Genesis { founder: Some(manager.clone()), swarm_id: Some(swarm.to_owned()), ..open.value };
        self.store.replace(keys::GENESIS, &confirmed, &open.etag).await.unwrap().expect("nobody else founds");
        let record = ManagerRecord {
            instance: manager.clone(),
            address: "10.46.0.4:2377".to_owned(),
            swarm_id: swarm.to_owned(),
            updated_at: unix_millis(),
        };
        self.store.put(&keys::manager(&manager), &record).await.unwrap();
        for instance in [vec![manager.clone()], self.instances("worker")].concat() {
            self.store.put(&keys::node("AROA1", &instance), &heartbeat(&instance)).await.unwrap();
        }
        manager
    }

    fn runs(&self, instance: &str) -> bool {
        let asked = json!([["ec2", null, "describe_instances", { "InstanceIds": [instance] }]]);
        let answer = self.account.call(&asked).remove(0);
        let state = answer["Reservations"][0]["Instances"][0]["State"]["Name"].clone();
        ["pending", "running", "stopping", "stopped"].contains(&state.as_str().unwrap_or_default())
    }

    async fn records(&self) -> Vec<String> {
        let mut records = self.store.list(keys::NODES).await.unwrap();
        records.extend(self.store.list(keys::MANAGERS).await.unwrap());
        records
    }

    fn plan(&self) -> (Option<i32>, String) {
        let output = self.account.provision(PLAN).output().expect("futuswarm-provision runs");
        (output.status.code(), texts(&output).1)
    }
}

fn heartbeat(instance: &str) -> NodeRecord {
    NodeRecord {
        instance: instance.to_owned(),
        node: Some(format!("node-of-{instance}")),
        role: Role::Worker,
        state: NodeState::Ready,
        reason: None,
        serves: true,
        routes: None,
        address: "10.46.0.5".to_owned(),
        zone: "eu-west-1a".to_owned(),
        image: "ami-1".to_owned(),
        instance_type: "t3.small".to_owned(),
        group: "workers".to_owned(),
        labels: BTreeMap::new(),
        usage: None,
        booted_at: unix_millis(),
        ready_at: Some(unix_millis()),
        updated_at: unix_millis(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
async fn a_cluster_that_is_deployed_again_over_its_bucket_gets_a_new_epoch_and_a_living_one_keeps_its_own() {
    let rehearsal = Rehearsal::begin().await;
    let account = &rehearsal.account;
    account.must_provision(APPLY);
    let first = rehearsal.genesis().await;
    assert_eq!((first.value.epoch, &first.value.founder, &first.value.swarm_id), (1, &None, &None));
    account.must_provision(APPLY);
    assert_eq!(rehearsal.genesis().await, first, "opened once is opened");

    let manager = rehearsal.found("first").await;
    let founded = rehearsal.genesis().await;
    assert_eq!(rehearsal.plan().0, Some(0));
    account.must_provision(APPLY);
    assert_eq!(rehearsal.genesis().await, founded, "its founder runs");

    // The only manager dies: its workers run on, so a person decides.
    let ended = account.call(&json!([["ec2", null, "terminate_instances", { "InstanceIds": [manager] }]]));
    assert!(ended[0]["error"].is_null(), "{ended:?}");
    account.must_provision(APPLY);
    assert_eq!(rehearsal.genesis().await, founded, "tasks run in the Swarm that lost its manager");

    account.must_provision(DESTROY);
    assert_eq!(rehearsal.genesis().await, founded, "what is kept is kept as it was");
    let (code, stderr) = rehearsal.plan();
    assert_eq!(code, Some(2), "{stderr}");
    assert!(
        stderr.contains("of the epoch 1, of which no manager runs any more → of this life of the cluster"),
        "{stderr}"
    );
    assert_eq!(rehearsal.genesis().await, founded, "a plan changes nothing");
    account.must_provision(APPLY);
    let second = rehearsal.genesis().await;
    assert_eq!((second.value.epoch, &second.value.founder, &second.value.swarm_id), (2, &None, &None));
    assert_eq!(rehearsal.records().await, Vec::<String>::new(), "nobody waits for managers of the last life");
    assert_eq!(rehearsal.plan().0, Some(0));

    // A claim that was never confirmed is no Swarm either.
    let claimed = Genesis { founder: rehearsal.instances("manager").pop(), ..second.value.clone() };
    rehearsal.store.replace(keys::GENESIS, &claimed, &second.etag).await.unwrap().unwrap();
    account.must_provision(APPLY);
    assert_eq!(rehearsal.genesis().await.value, claimed, "its founder is at work");
    account.must_provision(DESTROY);
    account.must_provision(APPLY);
    assert_eq!((rehearsal.genesis().await.value.epoch, rehearsal.genesis().await.value.founder), (3, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
async fn a_destroy_or_an_apply_that_is_killed_anywhere_neither_displaces_a_founder_nor_leaves_a_dead_one() {
    let rehearsal = Rehearsal::begin().await;
    let account = &rehearsal.account;
    let seen = || account.progress().all.seen;
    account.must_provision(APPLY);
    rehearsal.found("counted").await;
    account.clear_faults();
    account.must_provision(DESTROY);
    let calls_of_destroy = seen();
    account.clear_faults();
    account.must_provision(APPLY);
    let calls_of_apply = seen();
    assert!(calls_of_destroy > 30 && calls_of_apply > 60, "{calls_of_destroy} {calls_of_apply}");

    // Fewer where fewer are asked for than one after every call.
    let kills = if std::env::var("FUTUSWARM_KILL_STEP").is_ok_and(|step| step != "1") { 4 } else { 10 };
    let (mut kept, mut renewed) = (0, 0);
    for calls in (1..calls_of_destroy).step_by(usize::try_from(calls_of_destroy).unwrap() / kills) {
        let manager = rehearsal.found(&format!("swarm-{calls}")).await;
        let before = rehearsal.genesis().await.value;
        assert_eq!(account.kill_after(calls, DESTROY), Ended::Killed, "{calls}");
        account.must_provision(APPLY);
        let after = rehearsal.genesis().await.value;
        match rehearsal.runs(&manager) {
            true => {
                kept += 1;
                assert_eq!(after, before, "killed at call {calls} of destroy: the founder runs");
            }
            false => {
                renewed += 1;
                assert_eq!((after.epoch, after.founder), (before.epoch + 1, None), "killed at call {calls} of destroy");
            }
        }
        assert_eq!(rehearsal.plan().0, Some(0), "killed at call {calls} of destroy");
        account.must_provision(DESTROY);
        account.must_provision(APPLY);
    }
    assert!(kept > 0 && renewed > 0, "kills before and after the end of the managers: {kept} and {renewed}");

    for calls in (1..calls_of_apply).step_by(usize::try_from(calls_of_apply).unwrap() / kills) {
        rehearsal.found(&format!("swarm-{calls}")).await;
        account.must_provision(DESTROY);
        let before = rehearsal.genesis().await.value;
        assert_eq!(account.kill_after(calls, APPLY), Ended::Killed, "{calls}");
        account.must_provision(APPLY);
        let after = rehearsal.genesis().await.value;
        assert_eq!((after.epoch, after.founder), (before.epoch + 1, None), "killed at call {calls} of apply");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
async fn a_write_whose_answer_is_lost_counts_and_a_denied_object_is_asked_for_again() {
    let rehearsal = Rehearsal::begin().await;
    let account = &rehearsal.account;
    account.must_provision(APPLY);
    let lost = json!({ "fault": { "kind": "lost" }, "action": "PutObject", "path": "cluster/genesis", "count": 1 });
    account.faults(&json!([lost]));
    // Panics when the second attempt, which S3 refuses, is taken for somebody else's.
    rehearsal.found("swarm").await;
    let progress = account.progress();
    assert_eq!(progress.all.hit, 1, "{progress:?}");
    let denied = json!({ "fault": { "kind": "absent" }, "path": "cluster/genesis", "every": 2, "count": 20 });
    account.faults(&json!([denied]));
    for _ in 0..10 {
        assert_eq!(rehearsal.genesis().await.value.swarm_id.as_deref(), Some("swarm"));
    }
    assert!(account.progress().all.hit >= 5);
    account.faults(&json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
async fn nothing_is_written_before_versioning_is_on() {
    let rehearsal = Rehearsal::begin().await;
    let account = &rehearsal.account;
    // Whatever of the bucket's settings cannot be made: versioning is on already, or nothing is there.
    for setting in
        ["PutBucketVersioning", "PutPublicAccessBlock", "PutBucketEncryption", "PutBucketLifecycleConfiguration"]
    {
        let refused = json!({ "fault": { "kind": "refused", "code": "AccessDenied", "status": 403 }, "action": setting,
            "caller": "owner", "count": 1000 });
        account.faults(&json!([refused]));
        let output = account.provision(APPLY).output().expect("futuswarm-provision runs");
        let stderr = texts(&output).1;
        assert!(!output.status.success() && stderr.contains("AccessDenied"), "{setting}: {stderr}");
        account.faults(&json!([]));
        let versioning = account.call(&json!([["s3", null, "get_bucket_versioning", { "Bucket": rehearsal.bucket }]]));
        let is_on = versioning[0]["Status"] == "Enabled";
        assert_eq!(is_on, setting != "PutBucketVersioning", "{setting}: {versioning:?}");
        assert_eq!(rehearsal.store.list("").await.unwrap(), Vec::<String>::new(), "{setting}");
        assert_eq!(rehearsal.instances("manager"), Vec::<String>::new(), "no node before its bucket: {setting}");
        account.must_provision(&["destroy", "--yes", "--delete-data"]);
    }
    account.must_provision(APPLY);
    let versions = account.call(&json!([["s3", null, "list_object_versions", { "Bucket": rehearsal.bucket }]]));
    let versions = versions[0]["Versions"].as_array().expect("versions");
    assert!(versions.len() >= 2, "spec and epoch: {versions:?}");
    assert!(versions.iter().all(|version| version["VersionId"] != "null"), "{versions:?}");
}
