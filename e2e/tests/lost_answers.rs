//! Calls that AWS makes and whose answers never arrive: a whole cluster is made in one run, once, and the next plan finds nothing.

use futuswarm_testkit::{Account, texts};
use serde_json::{Value, json};

const APPLY: &[&str] = &["apply", "--image", "empty", "--yes", "--no-wait-for-nodes"];
const PLAN: &[&str] = &["apply", "--image", "empty", "--plan", "--json"];
const DESTROY: &[&str] = &["destroy", "--yes", "--delete-data"];

/// Everything that makes something, or puts something right that was just made.
const CREATIONS: &[(&str, &[&str])] = &[
    ("acm", &["RequestCertificate"]),
    ("autoscaling", &["CreateAutoScalingGroup", "PutLifecycleHook", "SuspendProcesses"]),
    (
        "ec2",
        &[
            "CreateVpc",
            "ModifyVpcAttribute",
            "CreateTags",
            "CreateInternetGateway",
            "AttachInternetGateway",
            "CreateSubnet",
            "ModifySubnetAttribute",
            "CreateRouteTable",
            "CreateRoute",
            "AssociateRouteTable",
            "CreateVpcEndpoint",
            "CreateSecurityGroup",
            "AuthorizeSecurityGroupIngress",
            "ImportKeyPair",
            "CreateLaunchTemplate",
        ],
    ),
    ("iam", &["CreateRole", "PutRolePolicy", "CreateInstanceProfile", "AddRoleToInstanceProfile"]),
    ("kms", &["CreateKey", "EnableKeyRotation", "CreateAlias"]),
    ("rds", &["CreateDBSubnetGroup", "CreateDBInstance"]),
    ("route53", &["ChangeResourceRecordSets"]),
    (
        "s3",
        &[
            "CreateBucket",
            "PutBucketVersioning",
            "PutPublicAccessBlock",
            "PutBucketEncryption",
            "PutBucketLifecycleConfiguration",
            "PutBucketTagging",
        ],
    ),
];
const APPLICATION: (&str, &[&str]) = (
    "elasticloadbalancing",
    &["CreateLoadBalancer", "ModifyLoadBalancerAttributes", "CreateTargetGroup", "CreateListener"],
);
const CLASSIC: (&str, &[&str]) = (
    "elasticloadbalancing",
    &[
        "CreateLoadBalancer",
        "ModifyLoadBalancerAttributes",
        "CreateLoadBalancerPolicy",
        "SetLoadBalancerPoliciesOfListener",
        "ConfigureHealthCheck",
    ],
);
/// Everything that takes something away.
const DELETIONS: &[(&str, &[&str])] = &[
    ("acm", &["DeleteCertificate"]),
    ("autoscaling", &["DeleteAutoScalingGroup"]),
    (
        "ec2",
        &[
            "DeleteInternetGateway",
            "DeleteKeyPair",
            "DeleteLaunchTemplate",
            "DeleteRouteTable",
            "DeleteSecurityGroup",
            "DeleteSubnet",
            "DeleteVpc",
            "DeleteVpcEndpoints",
            "DetachInternetGateway",
            "DisassociateRouteTable",
        ],
    ),
    ("elasticloadbalancing", &["DeleteListener", "DeleteLoadBalancer", "DeleteTargetGroup"]),
    ("iam", &["DeleteInstanceProfile", "DeleteRole", "DeleteRolePolicy", "RemoveRoleFromInstanceProfile"]),
    ("kms", &["DeleteAlias", "ScheduleKeyDeletion"]),
    ("rds", &["DeleteDBInstance", "DeleteDBSubnetGroup"]),
    ("route53", &["ChangeResourceRecordSets"]),
    ("s3", &["DeleteBucket", "DeleteObjects"]),
];
const PEERING: (&str, &[&str]) = ("ec2", &["CreateVpcPeeringConnection", "AcceptVpcPeeringConnection"]);

/// The first answer of each of these is lost.
fn lost(operations: &[(&str, &[&str])]) -> Vec<Value> {
    let each = |(service, actions): &(&str, &[&str])| {
        let fault = |action: &&str| {
            json!({
                "id": format!("{service} {action}"), "fault": { "kind": "cut" },
                "agent": "under-test", "service": service, "action": action, "count": 1,
            })
        };
        actions.iter().map(fault).collect::<Vec<_>>()
    };
    operations.iter().flat_map(each).collect()
}

/// Makes a cluster while the first answer of each operation is lost, and again while all arrive: there is no difference.
fn is_made_once(account: &Account, operations: &[(&str, &[&str])], spec: &[(&str, &str)]) {
    let nothing = account.inventory();
    let mut faults = lost(operations);
    for object in ["cluster/spec", "cluster/genesis"] {
        faults.push(json!({
            "id": object, "fault": { "kind": "cut" },
            "agent": "under-test", "action": "PutObject", "path": object, "count": 1,
        }));
    }
    account.faults(&Value::from(faults.clone()));
    let made = account.provision_with(APPLY, spec);
    let progress = account.progress();
    account.clear_faults();
    assert!(made.status.success(), "{:?}", texts(&made));
    let spared: Vec<_> = progress.faults.iter().filter(|one| one.counts.hit != 1).collect();
    assert!(spared.is_empty(), "each answer was lost once: {spared:?}");
    let plan = account.provision_with(PLAN, spec);
    assert_eq!(plan.status.code(), Some(0), "{:?}", texts(&plan));
    let disturbed = account.inventory();
    account.must_provision(DESTROY);
    assert_eq!(account.inventory(), nothing, "nothing is left of what was made unseen");
    let made = account.provision_with(APPLY, spec);
    assert!(made.status.success(), "{:?}", texts(&made));
    assert_eq!(disturbed, account.inventory(), "nothing twice");
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn a_whole_cluster_is_made_once_although_the_first_answer_of_each_call_is_lost() {
    let account = Account::start("local-provision");
    is_made_once(&account, &[CREATIONS, &[APPLICATION]].concat(), &[]);
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn a_whole_cluster_is_gone_although_the_first_answer_of_each_deletion_is_lost() {
    let account = Account::start("local-provision");
    let nothing = account.inventory();
    account.must_provision(APPLY);
    account.faults(&Value::from(lost(DELETIONS)));
    let destroyed = account.provision(DESTROY).output().unwrap();
    let progress = account.progress();
    account.clear_faults();
    assert!(destroyed.status.success(), "{:?}", texts(&destroyed));
    assert_eq!(account.inventory(), nothing);
    let spared: Vec<_> = progress.faults.iter().filter(|one| one.counts.hit != 1).collect();
    assert!(spared.is_empty(), "each answer was lost once: {spared:?}");
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn so_are_a_classic_balancer_and_a_peering() {
    let account = Account::start("local-provision");
    let vpc = json!([["ec2", null, "create_vpc", { "CidrBlock": "172.20.0.0/16" }]]);
    let office = account.call(&vpc)[0]["Vpc"]["VpcId"].as_str().unwrap().to_owned();
    let more = format!(
        "[load_balancer]\nkind = \"classic\"\nhttp = \"forward\"\n\n\
         [ldap]\nuri = \"ldaps://ldap.example.com\"\nbase_dn = \"dc=example,dc=com\"\n\n\
         [peering.office]\nvpc = \"{office}\"\ncidr = \"172.20.0.0/16\"\nldap = true\n\n[rds]"
    );
    is_made_once(&account, &[CREATIONS, &[CLASSIC, PEERING]].concat(), &[("[rds]", &more)]);
}

#[test]
#[ignore = "starts an emulated AWS account: `cargo xtask test` runs it"]
fn what_aws_has_already_and_is_not_ours_is_refused_as_before() {
    let account = Account::start("local-provision");
    account.faults(&json!({
        "fault": { "kind": "refused", "code": "EntityAlreadyExists", "status": 409 },
        "agent": "under-test", "service": "iam", "action": "CreateRole", "count": 1_000_000,
    }));
    let refused = account.provision(APPLY).output().unwrap();
    let hits = account.progress().all.hit;
    account.clear_faults();
    let (_, stderr) = texts(&refused);
    assert_eq!(refused.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("CreateRole answered EntityAlreadyExists"), "{stderr}");
    assert_eq!(hits, 2, "each role is asked for once: {stderr}");
    account.must_provision(APPLY);
    assert_eq!(account.provision(PLAN).status().unwrap().code(), Some(0));
}
