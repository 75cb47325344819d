//! Which calls are hit, in which order, and what is counted.

use http::{HeaderMap, HeaderValue};

use futuswarm_local_api::faults::parse;

use super::*;

fn injected(text: &str) -> Injected {
    let injected = Injected::default();
    injected.set(parse(text.as_bytes()).unwrap());
    injected
}

fn agent(name: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("user-agent", HeaderValue::from_static(name));
    headers
}

fn asked<'a>(service: &'a str, action: Option<&'a str>, headers: &'a HeaderMap) -> FaultSubject<'a> {
    FaultSubject {
        service,
        region: "eu-west-1",
        action,
        path: "/bucket/cluster/genesis",
        caller: Caller::Node,
        headers,
    }
}

fn refused(code: &str) -> ApiFault {
    ApiFault::Refused { code: code.to_owned(), message: None, status: None }
}

#[test]
fn only_the_calls_that_are_meant_are_hit_and_only_so_many() {
    let injected = injected(
        r#"{"fault":{"kind":"throttle"},"service":"s3","caller":"node","path":"/cluster/","region":"eu-west-1","agent":"app/agent","after":1,"count":2}"#,
    );
    let (ours, other) = (agent("aws-sdk-rust/1.3 app/agent"), agent("curl"));
    let ask = asked("s3", None, &ours);
    for stranger in [
        asked("kms", None, &ours),
        asked("s3", None, &other),
        FaultSubject { caller: Caller::Owner, ..ask },
        FaultSubject { path: "/bucket/apps/x", ..ask },
        FaultSubject { region: "us-east-1", ..ask },
    ] {
        assert_eq!(injected.next(&stranger), Verdict::default(), "{stranger:?}");
    }
    let hits: Vec<bool> = (0..5).map(|_| injected.next(&ask).fault.is_some()).collect();
    assert_eq!(hits, [false, true, true, false, false]);
    assert_eq!(injected.progress().all, Counts { seen: 5, hit: 2, done: 0 });
}

#[test]
fn one_in_so_many_is_hit_until_they_are_enough() {
    let injected = injected(r#"{"fault":{"kind":"absent"},"after":1,"every":3,"count":2}"#);
    let none = HeaderMap::new();
    let hits: Vec<bool> =
        (0..9).map(|_| injected.next(&asked("s3", Some("GetObject"), &none)).fault.is_some()).collect();
    assert_eq!(hits, [false, true, false, false, true, false, false, false, false]);
    assert_eq!(injected.progress().all, Counts { seen: 9, hit: 2, done: 0 });
}

#[test]
fn a_kind_that_belongs_to_an_operation_leaves_all_others_alone() {
    let absent = injected(r#"{"fault":{"kind":"absent"},"count":9}"#);
    let activities = injected(r#"{"fault":{"kind":"activities","activities":[{"status":"Cancelled"}]},"count":9}"#);
    let written = injected(r#"{"fault":{"kind":"absent"},"action":"PutObject","count":9}"#);
    let none = HeaderMap::new();
    for (service, action, hits) in [
        ("s3", Some("GetObject"), [true, false, false]),
        ("s3", Some("HeadObject"), [true, false, false]),
        ("s3", Some("PutObject"), [false, false, true]),
        ("s3", None, [false, false, false]),
        ("kms", Some("GetObject"), [false, false, false]),
        ("autoscaling", Some("DescribeScalingActivities"), [false, true, false]),
        ("autoscaling", Some("DescribeAutoScalingGroups"), [false, false, false]),
    ] {
        let ask = asked(service, action, &none);
        let seen = [&absent, &activities, &written].map(|injected| injected.next(&ask).fault.is_some());
        assert_eq!(seen, hits, "{service} {action:?}");
    }
}

#[test]
fn a_lost_answer_counts_when_its_call_has_been_made() {
    let injected = injected(r#"{"fault":{"kind":"lost"},"count":1}"#);
    let none = HeaderMap::new();
    let first = injected.next(&asked("ec2", None, &none));
    let second = injected.next(&asked("ec2", None, &none));
    assert_eq!((&first.fault, &second.fault), (&Some(ApiFault::Lost), &None));
    assert_eq!(injected.progress().all, Counts { seen: 2, hit: 0, done: 0 });
    injected.done(&second);
    assert_eq!(injected.progress().all, Counts { seen: 2, hit: 0, done: 1 });
    injected.done(&first);
    assert_eq!(injected.progress().all, Counts { seen: 2, hit: 1, done: 2 });
}

#[test]
fn what_is_done_after_the_faults_were_replaced_is_not_counted_for_the_new_ones() {
    let injected = injected(r#"{"fault":{"kind":"lost"},"count":1}"#);
    let none = HeaderMap::new();
    let before = injected.next(&asked("ec2", None, &none));
    injected.set(parse(br#"{"fault":{"kind":"lost"},"count":1}"#).unwrap());
    injected.done(&before);
    assert_eq!(injected.progress().all, Counts::default());
}

#[test]
fn several_faults_are_in_force_at_a_time_and_each_counts_for_itself() {
    let injected = injected(
        r#"[{"id":"slow","fault":{"kind":"late","milliseconds":20},"count":9},
            {"fault":{"kind":"late","milliseconds":5},"action":"CreateVpc","count":9},
            {"id":"quota","fault":{"kind":"refused","code":"VpcLimitExceeded"},"action":"CreateVpc","count":1},
            {"id":"busy","fault":{"kind":"throttle"},"service":"ec2","count":1}]"#,
    );
    let none = HeaderMap::new();
    let create = asked("ec2", Some("CreateVpc"), &none);
    let first = injected.next(&create);
    assert_eq!((first.late, &first.fault), (Duration::from_millis(25), &Some(refused("VpcLimitExceeded"))));
    // The quota went first, so this one is still to come.
    assert_eq!(injected.next(&create).fault, Some(ApiFault::Throttle));
    assert_eq!(injected.next(&create).fault, None);
    assert_eq!(injected.next(&asked("kms", None, &none)).late, Duration::from_millis(20));
    injected.done(&first);
    let progress = serde_json::to_value(injected.progress()).unwrap();
    assert_eq!(
        progress,
        serde_json::json!({
            "seen": 13, "hit": 9, "done": 4,
            "faults": [
                { "id": "slow", "seen": 4, "hit": 4, "done": 1 },
                { "id": "2", "seen": 3, "hit": 3, "done": 1 },
                { "id": "quota", "seen": 3, "hit": 1, "done": 1 },
                { "id": "busy", "seen": 3, "hit": 1, "done": 1 },
            ],
        })
    );
    injected.set(parse(b"[]").unwrap());
    assert_eq!((injected.next(&create), injected.progress()), (Verdict::default(), Progress::default()));
}
