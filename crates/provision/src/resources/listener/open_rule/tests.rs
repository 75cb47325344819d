//! The rule as it is compared, and how it is made when answers are lost.

use std::sync::mpsc::Receiver;

use aws_sdk_elasticloadbalancingv2::types::Action;
use futuswarm_testkit::answers::{Answer, on_loopback};

use super::*;

const DOMAIN: &str = "open.example.com";

fn rule(values: &[&str], target: &str) -> Rule {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    let hosts = HostHeaderConditionConfig::builder().set_values(Some(values)).build();
    let condition = RuleCondition::builder().field(HOST).host_header_config(hosts).build();
    let action: Action = forward(target.to_owned());
    Rule::builder().rule_arn("arn:rule").priority("1000").conditions(condition).actions(action).build()
}

fn run() -> Run {
    let run = Run::local();
    run.note_id(components::TARGET_GROUP, "arn:edge");
    run
}

#[test]
fn the_rule_is_compared_by_its_hosts_and_where_it_leads() {
    let good = desired(&run(), DOMAIN);
    assert_eq!(good, "*.open.example.com open.example.com forward to arn:edge");
    assert_eq!(current(&rule(&["open.example.com", "*.open.example.com"], "arn:edge")), good);
    assert_ne!(current(&rule(&["open.example.com"], "arn:edge")), good);
    assert_ne!(current(&rule(&["open.example.com", "*.open.example.com"], "arn:login")), good);
    // Somebody has made it narrower.
    let narrower = RuleCondition::builder().field("path-pattern").build();
    let mut both = rule(&["open.example.com", "*.open.example.com"], "arn:edge");
    both.conditions.as_mut().unwrap().push(narrower);
    assert_ne!(current(&both), good);
}

/// A balancing service that gives these answers.
fn service(answers: Vec<Answer>) -> (Aws, Run, Receiver<String>) {
    let (endpoint, requests) = on_loopback(answers);
    let run = run();
    (Aws::at(&endpoint, &run.cluster), run, requests)
}

fn answer(operation: &str, result: &str) -> Answer {
    let body = format!("<{operation}Response><{operation}Result>{result}</{operation}Result></{operation}Response>");
    Answer { status: Some(200), body, ..Answer::default() }
}

/// The operations that were asked for.
fn operations(requests: &Receiver<String>) -> Vec<String> {
    let operation =
        |asked: String| asked.split("Action=").nth(1).and_then(|rest| rest.split('&').next()).map(str::to_owned);
    requests.iter().filter_map(operation).collect()
}

#[tokio::test]
async fn a_rule_that_was_made_without_an_answer_is_found_and_put_right() {
    let refused = "<ErrorResponse><Error><Code>PriorityInUse</Code><Message>no</Message></Error></ErrorResponse>";
    let rules = "<Rules><member><RuleArn>arn:rule</RuleArn><Priority>1000</Priority></member></Rules>";
    let answers = vec![
        Answer::default(),
        Answer { status: Some(400), body: refused.to_owned(), ..Answer::default() },
        answer("DescribeRules", rules),
        answer("ModifyRule", rules),
    ];
    let (aws, run, requests) = service(answers);
    put(&aws, &run, "arn:listener", "https", DOMAIN, None).await.unwrap();
    assert_eq!(operations(&requests), ["CreateRule", "CreateRule", "DescribeRules", "ModifyRule"]);
}

#[tokio::test]
async fn rules_of_other_priorities_are_somebody_elses() {
    let rules = "<Rules><member><RuleArn>arn:theirs</RuleArn><Priority>10</Priority></member>\
                 <member><RuleArn>arn:default</RuleArn><Priority>default</Priority></member></Rules>";
    let (aws, _, _requests) = service(vec![answer("DescribeRules", rules)]);
    assert!(find(&aws, "arn:listener").await.unwrap().is_none());
}

#[tokio::test]
async fn a_refusal_is_told_and_that_a_rule_is_gone_is_none() {
    let refused = |code: &str| {
        let body = format!("<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>");
        Answer { status: Some(400), body, ..Answer::default() }
    };
    let (aws, run, _requests) =
        service(vec![refused("TooManyRules"), refused("RuleNotFound"), refused("AccessDenied")]);
    let error = put(&aws, &run, "arn:listener", "https", DOMAIN, None).await.unwrap_err().to_string();
    assert!(error.contains("CreateRule answered TooManyRules"), "{error}");
    let there = rule(&[DOMAIN], "arn:edge");
    delete(&aws, &there).await.unwrap();
    assert!(delete(&aws, &there).await.is_err());
}
