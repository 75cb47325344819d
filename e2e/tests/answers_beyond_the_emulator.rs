//! What the local cloud answers beyond the emulator, seen by an independent client: boto3 scripts under `e2e/emulator/`.

use std::time::{Duration, Instant};

use futuswarm_local_api::{Client, WorldName};
use futuswarm_testkit::{Account, Leftovers, texts};
use futuswarm_tools::ToolsTree;
use serde_json::{Value, json};

/// Runs a script and reads what it prints.
fn run(account: &Account, script: &str, words: &[&str]) -> Value {
    let output = account.python(&format!("e2e/emulator/{script}.py"), words);
    let (out, stderr) = texts(&output);
    assert!(output.status.success(), "{script}.py: {stderr}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{script}.py printed {out:?}: {error}"))
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn the_local_cloud_answers_as_aws_does() {
    let account = Account::without_image("local-emulator");
    let steps = run(&account, "zones", &[]);
    let expected = json!([
        ["created", 3, "abc"],
        ["terminated in b", 3, "abc"],
        ["terminated in c", 3, "abc"],
        ["terminated in a", 3, "abc"],
        ["terminated in b", 3, "abc"],
        ["terminated in a and c at once", 3, "abc"],
    ]);
    assert_eq!(steps.as_array().unwrap()[..6], expected.as_array().unwrap()[..]);
    // Beyond one for each zone, which zones have two is not said; that none has two more than another is.
    for step in &steps.as_array().unwrap()[6..] {
        let zones = step[2].as_str().unwrap();
        let count = |zone| i64::try_from(zones.matches(zone).count()).unwrap();
        let counts = ["a", "b", "c"].map(count);
        assert_eq!(step[1], counts.iter().sum::<i64>(), "{step}");
        assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{step}");
    }
    assert_eq!(steps.as_array().unwrap().len(), 11);

    // Also from a template's version that was added later, as with a new image.
    assert_eq!(run(&account, "templates", &[]), json!([["first", "second"], 2]));

    let cloud = account.cloud();
    let port = |url: &str| url.rsplit(':').next().unwrap_or_default().to_owned();
    let words = [cloud.netns.clone(), cloud.ca_certificate.clone(), port(&cloud.url), port(&cloud.https_url)];
    assert_eq!(run(&account, "balancers", &words.each_ref().map(String::as_str)), "done");
    assert_eq!(run(&account, "lifecycle", &[]), "done");
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn conditions_and_variables_of_policies_hold_for_nodes() {
    let account = Account::without_image("local-emulator");
    let node = run(&account, "nodes", &[]);
    let text = |key: &str| node[key].as_str().unwrap().to_owned();
    let context = |cluster: &str| json!({ "futuswarm:cluster": cluster });
    let open = |sealed: &str, cluster: &str| {
        let blob = json!({ "base64": text(sealed) });
        json!(["kms", "decrypt", { "KeyId": text("key"), "CiphertextBlob": blob, "EncryptionContext": context(cluster) }])
    };
    let data_key = |context: Value| json!(["kms", "generate_data_key", { "KeyId": text("key"), "KeySpec": "AES_256", "EncryptionContext": context }]);
    let object = |operation: &str, key: &str| json!(["s3", operation, { "Bucket": "conditions", "Key": key }]);
    let list = |prefix: &str| json!(["s3", "list_objects_v2", { "Bucket": "conditions", "Prefix": prefix }]);
    let sealed = |operation: &str, key: &str| json!(["s3", operation, { "Bucket": "sealing", "Key": key }]);
    let own = format!("cluster/nodes/{}", text("userid"));
    let table = [
        (open("ours", "local"), "allowed"),
        (open("theirs", "other"), "denied"),
        (open("theirs", "local"), "InvalidCiphertextException"),
        (data_key(context("local")), "allowed"),
        (data_key(json!({})), "denied"),
        (list("apps/shop"), "allowed"),
        (list("users/"), "denied"),
        (json!(["s3", "list_objects_v2", { "Bucket": "conditions" }]), "denied"),
        (object("put_object", &own), "allowed"),
        (object("get_object", &own), "allowed"),
        (object("put_object", "cluster/nodes/AROAOTHER:i-0"), "denied"),
        (object("get_object", "apps/shop"), "allowed"),
        (object("get_object", "users/me"), "denied"),
        (object("delete_object", "apps/shop"), "denied"),
        (
            json!(["s3", "delete_objects", { "Bucket": "conditions", "Delete": { "Objects": [{ "Key": "apps/shop" }] } }]),
            "denied",
        ),
        (json!(["s3", "get_bucket_policy", { "Bucket": "conditions" }]), "denied"),
        (json!(["s3", "list_buckets", {}]), "denied"),
        (sealed("put_object", "written"), "allowed"),
        (sealed("put_object", "other"), "denied"),
        (sealed("get_object", "written"), "denied"),
        (sealed("head_object", "written"), "allowed"),
        (json!(["s3", "list_objects_v2", { "Bucket": "sealing" }]), "denied"),
        (json!(["iam", "list_roles", {}]), "denied"),
    ];
    let calls = Value::from_iter(table.iter().map(|(call, _)| call.clone()));
    let outcomes = account.as_node(&text("address"), &calls);
    let wrong: Vec<String> = table
        .iter()
        .zip(outcomes.as_array().unwrap())
        .filter(|((_, expected), found)| *found != *expected)
        .map(|((call, expected), found)| format!("{call}: {found} instead of {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "starts an emulated AWS account with databases: `cargo xtask test` runs it"]
fn nodes_ask_by_the_names_of_aws_over_tls() {
    // With databases: without, nobody asks for names, and nobody answers.
    let account = Account::with_databases("local-emulator");
    let mut node = run(&account, "names", &[]);
    let (region, authority) = (account.cloud().region.clone(), account.cloud().ca_certificate.clone());
    node["plain"] = account.cloud().node_endpoint.clone().into();
    let address = node["address"].as_str().unwrap().to_owned();
    // A key that only a look at the whole path tells from others, the first time it is asked for by a node.
    account.faults(
        &json!({ "fault": { "kind": "throttle" }, "service": "s3", "path": "by-name/cluster/genesis", "caller": "node", "count": 1 }),
    );
    let kept = account.at_node("e2e/by_name.py", &address, &[&region, &authority], &node);
    assert_eq!(account.progress().all.hit, 1, "the throttled answer was given: {:?}", account.progress());
    account.clear_faults();

    // What was written by name is what the owner finds by path.
    let kept = kept.as_object().unwrap();
    assert!(kept.len() > 20, "{kept:?}");
    let listed = &account.call(&json!([["s3", null, "list_objects_v2", { "Bucket": "by-name" }]]))[0];
    let mut keys: Vec<&str> =
        listed["Contents"].as_array().unwrap().iter().map(|object| object["Key"].as_str().unwrap()).collect();
    let mut expected: Vec<&str> = kept.keys().map(String::as_str).collect();
    keys.sort_unstable();
    expected.sort_unstable();
    assert_eq!(keys, expected);
    let gets = keys.iter().map(|key| json!(["s3", null, "get_object", { "Bucket": "by-name", "Key": key }]));
    for (key, found) in keys.iter().zip(account.call(&Value::from_iter(gets))) {
        assert_eq!(found["Body"], kept[*key], "{key}: {found}");
    }
}

#[test]
#[ignore = "starts an emulated AWS account with databases: `cargo xtask test` runs it"]
fn nodes_find_and_trust_what_somebody_puts_into_the_world() {
    // With databases: without, nobody answers for names.
    let account = Account::with_databases("local-emulator");
    let node = run(&account, "names", &[]);
    let (node, authority) = (node["address"].as_str().unwrap(), account.cloud().ca_certificate.clone());
    let control = Client::of(&account.state_dir());
    let login = WorldName { name: "login.company.example".to_owned(), address: "203.0.113.20".parse().unwrap() };
    let issued = control.issue(&[&login.name]).unwrap();
    let ask = |there: bool| {
        let WorldName { name, address } = &login;
        let input = json!({
            "name": name, "address": address, "certificate": issued.certificate, "key": issued.key, "there": there,
        });
        account.at_node("e2e/world.py", node, &[&authority], &input)
    };
    assert_eq!(ask(false), "nobody has the name");
    control.set_world(std::slice::from_ref(&login)).unwrap();
    assert_eq!(ask(true), "from the world");
    // What is refused changes nothing.
    let of_the_vpc = WorldName { address: node.parse().unwrap(), ..login.clone() };
    let refused = control.set_world(&[of_the_vpc]).unwrap_err().to_string();
    assert!(refused.contains("203.0.113.0/24"), "{refused}");
    let refused = control.issue(&["s3.eu-west-1.amazonaws.com"]).err().expect("AWS's names are refused").to_string();
    assert!(refused.contains("the local cloud's own"), "{refused}");
    assert_eq!(ask(true), "from the world");
    control.set_world(&[]).unwrap();
    assert_eq!(ask(false), "nobody has the name");
}

#[test]
#[ignore = "starts an emulated AWS account with databases: `cargo xtask test` runs it"]
fn a_database_is_a_real_one() {
    let account = Account::with_databases("local-emulator");
    let tree = ToolsTree::locate().unwrap().root().display().to_string();
    let version = run(&account, "databases", &[&account.cloud().netns, &account.cloud().ca_certificate, &tree]);
    assert!(version.as_str().unwrap().starts_with("PostgreSQL 17"), "{version}");
    // One is left running: it ends with the cloud.
    assert!(run(&account, "one_database", &[]).as_str().unwrap().starts_with("left."));
    let servers = |account: &Account| {
        let processes = account.cluster().leftovers().processes;
        processes.iter().filter(|process| process.contains("postgres")).count()
    };
    assert!(servers(&account) > 0, "{:?}", account.cluster().leftovers());
    account.cluster().local(&["down"]);
    assert_eq!(account.cluster().leftovers(), Leftovers::default());
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn nobody_waits_for_a_look_that_takes_long() {
    let account = Account::without_image("local-emulator");
    // The load balancers' keeper cannot learn anything for a while.
    let late = json!({ "fault": { "kind": "late", "milliseconds": 15_000 }, "service": "elasticloadbalancing", "count": 1000 });
    account.faults(&late);
    let started = Instant::now();
    while account.progress().all.seen == 0 {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "nobody asks about load balancers: {:?}",
            account.progress()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    // Its question is on the way now, and stays there.
    let asked = Instant::now();
    let cluster = account.cluster();
    assert_eq!(cluster.local(&["machines"]).trim(), "[]");
    assert!(asked.elapsed() < Duration::from_secs(5), "answered after {:?}", asked.elapsed());
    // Nor does the end of the cloud.
    let ended = Instant::now();
    cluster.local(&["down"]);
    assert!(ended.elapsed() < Duration::from_secs(10), "ended after {:?}", ended.elapsed());
    assert_eq!(cluster.leftovers(), Leftovers::default());
}
