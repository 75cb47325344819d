//! The rule by which a listener that leads to the login leads the open domain to the edge.

use aws_sdk_elasticloadbalancingv2::types::{HostHeaderConditionConfig, Rule, RuleCondition};

use super::{forward, in_words};
use crate::consistency::until_visible;
use crate::error::{Error, failed, ignore_not_found, incomplete};
use crate::field::sorted;
use crate::{Aws, Run, components, resources::tags};

/// By this number of ours a rule is known as this one; the lowest is asked first, and whoever adds rules by hand has others.
const PRIORITY: i32 = 1000;
const HOST: &str = "host-header";
/// The most that a page may have (Elastic Load Balancing API Reference, DescribeRules); a listener has at most a hundred rules.
const PAGE: i32 = 400;

/// # Errors
/// When AWS does not answer.
pub(super) async fn find(aws: &Aws, listener: &str) -> Result<Option<Rule>, Error> {
    let ask = aws.balancing.describe_rules().listener_arn(listener).page_size(PAGE);
    let rules = ask.send().await.map_err(failed("DescribeRules"))?.rules.unwrap_or_default();
    let priority = PRIORITY.to_string();
    Ok(rules.into_iter().find(|rule| rule.priority() == Some(priority.as_str())))
}

fn hosts(domain: &str) -> [String; 2] {
    [domain.to_owned(), format!("*.{domain}")]
}

/// How it should be.
pub(super) fn desired(run: &Run, domain: &str) -> String {
    format!("{} forward to {}", sorted(hosts(domain)), run.id_or_unknown(components::TARGET_GROUP))
}

/// How it is.
pub(super) fn current(rule: &Rule) -> String {
    let words = |condition: &RuleCondition| match (condition.field(), condition.host_header_config()) {
        (Some(HOST), Some(hosts)) => hosts.values().to_vec(),
        (field, _) => vec![format!("a condition on {}", field.unwrap_or("?"))],
    };
    format!("{} {}", sorted(rule.conditions().iter().flat_map(words)), in_words(rule.actions()))
}

/// Makes or changes it.
///
/// # Errors
/// When AWS refuses.
pub(super) async fn put(
    aws: &Aws,
    run: &Run,
    listener: &str,
    component: &str,
    domain: &str,
    there: Option<&Rule>,
) -> Result<(), Error> {
    let action = forward(run.need(components::TARGET_GROUP)?);
    let hosts = HostHeaderConditionConfig::builder().set_values(Some(hosts(domain).to_vec())).build();
    let condition = RuleCondition::builder().field(HOST).host_header_config(hosts).build();
    let mut arn = there.and_then(|rule| rule.rule_arn()).map(str::to_owned);
    if arn.is_none() {
        let made = until_visible("the listener", || async {
            let create = aws.balancing.create_rule().listener_arn(listener).priority(PRIORITY);
            let create = create.conditions(condition.clone()).actions(action.clone());
            let create = create.set_tags(Some(tags::balancing(&run.cluster, &tagged_as(component))));
            create.send().await.map_err(failed("CreateRule"))
        });
        match made.await {
            Ok(_) => return Ok(()),
            // By a call of ours whose answer was lost.
            Err(error) if error.is(&["PriorityInUse"]) => {
                arn = find(aws, listener).await?.and_then(|rule| rule.rule_arn)
            }
            Err(error) => return Err(error.into()),
        }
    }
    let arn = arn.ok_or_else(incomplete("DescribeRules", "RuleArn"))?;
    let modify = aws.balancing.modify_rule().rule_arn(arn).conditions(condition).actions(action);
    modify.send().await.map_err(failed("ModifyRule"))?;
    Ok(())
}

/// The part of the cluster that it is, for who looks at its tags.
fn tagged_as(listener: &str) -> String {
    format!("{listener}-open")
}

/// # Errors
/// When AWS refuses.
pub(super) async fn put_tags(aws: &Aws, run: &Run, rule: &Rule, component: &str) -> Result<(), Error> {
    let arn = rule.rule_arn().unwrap_or_default();
    tags::put_balancing(aws, &run.cluster, arn, &tagged_as(component)).await
}

/// # Errors
/// When AWS refuses; that it is gone is none.
pub(super) async fn delete(aws: &Aws, rule: &Rule) -> Result<(), Error> {
    let delete = aws.balancing.delete_rule().rule_arn(rule.rule_arn().unwrap_or_default());
    ignore_not_found(delete.send().await.map_err(failed("DeleteRule")))?;
    Ok(())
}

#[cfg(test)]
mod tests;
