//! Every call that provisioning and publishing make, held against AWS's own descriptions of its services.
//!
//! The emulator takes much that AWS refuses: names that are too long, members that do not exist, values out of range. The
//! descriptions are those that botocore ships, in the emulator's own environment; see `e2e/contract/`.

use std::path::Path;

use futuswarm_testkit::{Account, Image, texts};
use serde_json::{Value, json};

/// As many as a cluster's spec may have, each as long as every service of AWS takes it.
fn most_tags() -> String {
    let tag = |number: usize| {
        let (key, value) = (format!("tag {number:02} "), format!("{number:02} of / = + - @ : . _ "));
        format!("\"{key:k<127}\" = \"{value:v<255}\"\n")
    };
    (0..40).map(tag).collect()
}

/// What the check says of a record.
fn checked(account: &Account, record: &Path) -> Value {
    let output = account.python("e2e/contract/check.py", &[record.to_str().unwrap()]);
    assert!(output.status.success(), "{:?}", texts(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(of: &Value) -> u64 {
    of.as_u64().unwrap_or(0)
}

/// Makes, changes and destroys a cluster with this spec.
fn a_life(account: &Account, image: &str, spec: &[(&str, &str)], change: (&str, &str)) {
    let run = |words: &[&str], spec: &[(&str, &str)]| {
        let output = account.provision_with(words, spec);
        let code = output.status.code();
        assert!(code == Some(0) || (words.contains(&"--plan") && code == Some(2)), "{words:?}: {:?}", texts(&output));
    };
    let apply = ["apply", "--image", image, "--yes", "--no-wait-for-nodes"];
    run(&["apply", "--image", image, "--plan"], spec);
    run(&apply, spec);
    run(&["status"], spec);
    run(&apply, &[spec, &[change]].concat());
    run(&["destroy", "--plan"], spec);
    run(&["destroy", "--yes", "--delete-data"], spec);
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn every_request_is_one_that_aws_describes() {
    let account = Account::without_image("local-contract");
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("requests.jsonl");
    account.cluster().local(&["record", record.to_str().unwrap()]);

    // 128 characters are the longest that an AMI's name may have.
    let name = format!("{:n<128}", "an image with a name of the longest ");
    let old = Image::new(&format!("{:o<128}", "an older image "), &[1; 1 << 20]);
    account.must_publish(&["--image", old.folder()]);
    let image = Image::new(&name, &[0; 1 << 20]);
    let to = ["--copy-to", "eu-north-1", "--share-with", "210987654321", "--promote", "--no-smoke"];
    account.must_publish(&[&["--image", image.folder()], &to[..]].concat());
    for words in [&["image", "list"][..], &["image", "retire", "--keep", "1", "--yes"]] {
        let output = account.publishing(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {:?}", texts(&output));
    }

    let vpc = json!([["ec2", null, "create_vpc", { "CidrBlock": "172.20.0.0/16" }]]);
    let office = account.call(&vpc)[0]["Vpc"]["VpcId"].as_str().unwrap().to_owned();
    let tables = format!(
        "[ldap]\nuri = \"ldaps://ldap.example.com\"\nbase_dn = \"dc=example,dc=com\"\n\n\
         [peering.an-office-of-longest-nam]\nvpc = \"{office}\"\ncidr = \"172.20.0.0/16\"\nldap = true\n\n[rds]"
    );
    let tags = most_tags();
    a_life(&account, &name, &[("# more tags", &tags), ("[rds]", &tables)], ("min = 1\nmax = 5", "min = 2\nmax = 4"));
    // A classic load balancer has ten tags at most, ours among them.
    let classic = [("kind = \"application\"", "kind = \"classic\"\nhttp = \"forward\"")];
    let classic = [&classic[..], &[("open_domain", "# open_domain"), ("# more tags", "team = \"platform\"")]].concat();
    a_life(&account, &name, &classic, ("disk_gib = 8\nlabels", "disk_gib = 9\nlabels"));

    let report = checked(&account, &record);
    assert_eq!(report["breaches"], json!([]), "requests that AWS would not take");
    // A record of nothing would be without breaches, too.
    let operations = report["operations"].as_object().unwrap();
    assert!(number(&report["agents"]["under test"]) >= 600, "{report}");
    assert!(operations.len() >= 100, "{} operations: {operations:?}", operations.len());
    for operation in [
        "autoscaling CreateAutoScalingGroup",
        "autoscaling PutLifecycleHook",
        "acm RequestCertificate",
        "ebs PutSnapshotBlock",
        "ec2 CreateLaunchTemplate",
        "ec2 CreateVpcPeeringConnection",
        "ec2 RegisterImage",
        "elb CreateLoadBalancer",
        "elbv2 CreateLoadBalancer",
        "iam PutRolePolicy",
        "kms CreateKey",
        "rds CreateDBInstance",
        "route53 ChangeResourceRecordSets",
        "s3 PutBucketLifecycleConfiguration",
        "s3 PutObject",
        "ssm PutParameter",
    ] {
        assert!(number(&operations[operation]) > 0, "{operation} is not among {operations:?}");
    }

    what_aws_refuses_is_found(&account, folder.path());
}

/// The control: what the check says of requests that are wrong, each in another way.
fn what_aws_refuses_is_found(account: &Account, folder: &Path) {
    let record = folder.join("controls.jsonl");
    account.cluster().local(&["record", record.to_str().unwrap()]);
    let sent = account.python("e2e/contract/controls.py", &[]);
    assert!(sent.status.success(), "{:?}", texts(&sent));
    account.cluster().local(&["record"]);
    let expected: Vec<Value> = serde_json::from_slice(&sent.stdout).unwrap();
    assert!(expected.contains(&json!(["iam CreateRole", "too long", "RoleName"])), "{expected:?}");
    let report = checked(account, &record);
    let breaches = report["breaches"].as_array().unwrap();
    // The local cloud itself looks at the emulator meanwhile, so lines do not count.
    let found = |control: &Value| {
        breaches.iter().any(|breach| json!([breach["operation"], breach["kind"], breach["member"]]) == *control)
    };
    let missed: Vec<&Value> = expected.iter().filter(|control| !found(control)).collect();
    assert!(missed.is_empty(), "not found: {missed:?}\nfound: {breaches:#?}");
    let is_meant = |breach: &&Value| {
        expected.iter().any(|control| json!([breach["operation"], breach["kind"], breach["member"]]) == *control)
    };
    let others: Vec<&Value> = breaches.iter().filter(|breach| !is_meant(breach)).collect();
    assert!(others.is_empty(), "found beside the controls: {others:#?}");
}
