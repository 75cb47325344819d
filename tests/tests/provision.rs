//! Provisioning as its users would hurt it: changes behind its back, and specs that change.

use std::process::Output;

use futuswarm_testkit::{Account, texts};
use serde_json::{Value, json};

const APPLY: &[&str] = &["apply", "--image", "empty", "--yes", "--no-wait-for-nodes"];
const PLAN: &[&str] = &["apply", "--image", "empty", "--plan", "--json"];
/// What `tests/provision/drift.py` can change; each is one plan and one apply.
const BATCHES: &[&str] = &["networks", "bucket", "identities", "balancer", "nodes", "data"];
/// A plan without changes is made many times a day; it asks no more than this.
const MOST_REQUESTS: u64 = 30;
/// With fewer, not all kinds of resources would have been looked at, or nobody would have counted.
const FEWEST_REQUESTS: u64 = 20;

/// Changes of a plan: part → field → from and to.
fn changes(plan: &Output) -> Value {
    let report: Value = serde_json::from_slice(&plan.stdout).unwrap_or_else(|_| panic!("{:?}", texts(plan)));
    let mut parts = serde_json::Map::new();
    for change in report["changes"].as_array().unwrap() {
        assert_eq!(change["action"], "update", "{change}");
        let fields = change["differences"].as_array().unwrap().iter();
        let fields = fields.map(|one| (one["field"].as_str().unwrap().to_owned(), json!([one["from"], one["to"]])));
        parts.insert(change["part"].as_str().unwrap().to_owned(), Value::Object(fields.collect()));
    }
    Value::Object(parts)
}

/// The account without the versions of templates, which only ever grow.
fn inventory(account: &Account) -> Value {
    let mut found = account.inventory();
    for template in found["launch template"].as_array_mut().into_iter().flatten() {
        *template = template.as_str().unwrap().split(' ').next().unwrap().into();
    }
    found
}

/// Runs the program with the account's spec after this replacement.
fn with_spec(account: &Account, words: &[&str], from: &str, to: &str) -> Output {
    account.provision_with(words, &[(from, to)])
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn what_somebody_changed_is_shown_field_by_field_and_mended() {
    let account = Account::start("local-provision");
    account.must_provision(APPLY);
    account.calm();
    assert_eq!(account.provision(PLAN).status().unwrap().code(), Some(0));
    let seen = account.progress()["seen"].as_u64().unwrap();
    assert!((FEWEST_REQUESTS..=MOST_REQUESTS).contains(&seen), "a plan without changes asked {seen} times");
    let before = inventory(&account);
    for batch in BATCHES {
        let drift = account.python("tests/provision/drift.py", &["local-provision", batch]);
        assert!(drift.status.success(), "{batch}: {:?}", texts(&drift));
        let expected: Value = serde_json::from_slice(&drift.stdout).unwrap();
        let plan = account.provision(PLAN).output().unwrap();
        assert_eq!(plan.status.code(), Some(2), "{batch}: {:?}", texts(&plan));
        assert_eq!(changes(&plan), expected, "{batch}");
        account.must_provision(APPLY);
        let plan = account.provision(PLAN).output().unwrap();
        assert_eq!(plan.status.code(), Some(0), "after {batch}: {:?}", texts(&plan));
        assert_eq!(inventory(&account), before, "after {batch}");
    }
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn a_spec_that_changes_is_followed_or_refused_before_anything_is_changed() {
    let account = Account::start("local-provision");
    account.must_provision(APPLY);
    let before = account.inventory();
    for (from, to, field) in [
        ("10.50.0.0/16", "10.51.0.0/16", "CIDR: 10.50.0.0/16 → 10.51.0.0/16"),
        ("[rds]", "[load_balancer]\ninternal = true\n[rds]", "scheme: internet-facing → internal"),
    ] {
        for words in [APPLY, PLAN] {
            let refused = with_spec(&account, words, from, to);
            let (_, talk) = texts(&refused);
            assert_eq!(refused.status.code(), Some(1), "{talk}");
            assert!(talk.contains(field), "{talk}");
            assert_eq!(talk.matches("error:").count(), 1, "{talk}");
            assert!(!talk.contains("not tried"), "one clear error: {talk}");
        }
        assert_eq!(account.provision(PLAN).status().unwrap().code(), Some(0), "nothing was changed");
        assert_eq!(account.inventory(), before);
    }

    let (_, talk) = texts(&with_spec(&account, APPLY, "[rds]", "\n"));
    assert!(talk.contains("the database is protected: set `deletion_protection = false`"), "{talk}");
    let lifted = with_spec(&account, APPLY, "[rds]", "[rds]\ndeletion_protection = false\n");
    assert!(lifted.status.success(), "{:?}", texts(&lifted));
    let removed = with_spec(&account, APPLY, "[rds]", "\n");
    let (_, talk) = texts(&removed);
    assert!(removed.status.success() && talk.contains("stays as the snapshot"), "{talk}");
    let inventory = account.inventory();
    assert!(inventory["database"].is_null() && inventory["database subnets"].is_null(), "{inventory}");
    assert_eq!(with_spec(&account, PLAN, "[rds]", "\n").status.code(), Some(0));

    let spare = "[groups.spare]\nrole = \"worker\"\nmin = 1\nmax = 3\nspot = true\ninstance_types = [\"m6i.large\", \"m5.large\"]\n\n[rds]";
    let added = with_spec(&account, APPLY, "[rds]", spare);
    assert!(added.status.success(), "{:?}", texts(&added));
    assert_eq!(with_spec(&account, PLAN, "[rds]", spare).status.code(), Some(0));
    let groups = account.inventory()["group"].to_string();
    assert!(groups.contains("spare 1/1/3 targets 1"), "{groups}");
    account.must_provision(APPLY);
    assert_eq!(account.provision(PLAN).status().unwrap().code(), Some(0));
    assert_eq!(account.inventory(), before, "the group and its template are gone");
}
