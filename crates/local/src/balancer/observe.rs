//! What the emulator says of application load balancers: listeners, rules, target groups.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::types::{
    Action as AwsAction, ActionTypeEnum, Listener as AwsListener, ProtocolEnum, RedirectActionStatusCodeEnum,
    Rule as AwsRule, RuleCondition, TargetGroup, TargetTypeEnum,
};
use futuswarm_aws::Error as AwsError;

use super::Notes;
use super::model::{Action, Check, Listener, Pool, Redirect, Rule, Server};
use crate::error::Result;
use crate::observed_instances::View;
use futuswarm_aws_front::clients::Clients;

/// Listeners with the ARNs of their certificates, and what they forward to.
#[derive(Debug, Default)]
pub struct Found {
    /// Listeners; certificates are ARNs still.
    pub listeners: Vec<Listener>,
    /// Pools by name.
    pub pools: BTreeMap<String, Pool>,
}

/// Observes the application load balancers, in the order of their names.
///
/// # Errors
/// When the emulator cannot be asked.
pub async fn observe(clients: &Clients, view: &View, notes: &mut Notes) -> Result<Found> {
    let found = clients.elb.describe_load_balancers().send().await;
    let found = found.map_err(|error| AwsError::new("DescribeLoadBalancers", error))?;
    let mut balancers: Vec<_> = found.load_balancers().to_vec();
    balancers.sort_by_key(|balancer| balancer.load_balancer_name().unwrap_or_default().to_owned());
    let mut all = Found::default();
    for balancer in balancers {
        let name = balancer.load_balancer_name().unwrap_or_default();
        let arn = balancer.load_balancer_arn().unwrap_or_default();
        let found = clients.elb.describe_listeners().load_balancer_arn(arn).send().await;
        for found in found.map_err(|error| AwsError::new("DescribeListeners", error))?.listeners() {
            if let Some(listener) = listener(clients, view, name, found, &mut all.pools, notes).await? {
                all.listeners.push(listener);
            }
        }
    }
    Ok(all)
}

async fn listener(
    clients: &Clients,
    view: &View,
    balancer: &str,
    found: &AwsListener,
    pools: &mut BTreeMap<String, Pool>,
    notes: &mut Notes,
) -> Result<Option<Listener>> {
    let (arn, port) = (found.listener_arn().unwrap_or_default(), found.port().unwrap_or_default());
    if !matches!(found.protocol(), Some(ProtocolEnum::Http | ProtocolEnum::Https)) {
        notes.say(format!("port {port} of {balancer} is not for HTTP or HTTPS; the local cloud leaves it out"));
        return Ok(None);
    }
    let rules = clients.elb.describe_rules().listener_arn(arn).send().await;
    let mut rules: Vec<AwsRule> =
        rules.map_err(|error| AwsError::new("DescribeRules", error))?.rules.unwrap_or_default();
    rules.retain(|rule| !rule.is_default().unwrap_or(false));
    rules.sort_by_key(|rule| rule.priority().and_then(|priority| priority.parse::<u32>().ok()).unwrap_or(u32::MAX));
    let mut understood = Vec::new();
    for rule in &rules {
        let Some((hosts, paths)) = conditions(rule.conditions()) else {
            notes.say(format!(
                "a rule of {balancer} has a condition that the local cloud does not know; it is left out"
            ));
            continue;
        };
        if let Some(action) = action(clients, view, rule.actions(), pools).await? {
            understood.push(Rule { hosts, paths, action });
        }
    }
    let mut certificates: Vec<String> =
        found.certificates().iter().filter_map(|found| found.certificate_arn().map(str::to_owned)).collect();
    if found.protocol() == Some(&ProtocolEnum::Https) {
        let more = clients.elb.describe_listener_certificates().listener_arn(arn).send().await;
        let more = more.map_err(|error| AwsError::new("DescribeListenerCertificates", error))?;
        certificates.extend(more.certificates().iter().filter_map(|more| more.certificate_arn().map(str::to_owned)));
    }
    let mut seen = std::collections::BTreeSet::new();
    certificates.retain(|arn| seen.insert(arn.clone()));
    let Some(default) = action(clients, view, found.default_actions(), pools).await? else { return Ok(None) };
    Ok(Some(Listener { balancer: balancer.to_owned(), port, certificates, rules: understood, default }))
}

/// Hosts and paths; `None` when there is a condition of another kind.
fn conditions(conditions: &[RuleCondition]) -> Option<(Vec<String>, Vec<String>)> {
    let (mut hosts, mut paths) = (Vec::new(), Vec::new());
    for condition in conditions {
        let both = |config: Option<&[String]>| match config {
            Some(values) if !values.is_empty() => values.to_vec(),
            _ => condition.values().to_vec(),
        };
        match condition.field() {
            Some("host-header") => hosts.extend(both(condition.host_header_config().map(|config| config.values()))),
            Some("path-pattern") => paths.extend(both(condition.path_pattern_config().map(|config| config.values()))),
            _ => return None,
        }
    }
    Some((hosts, paths))
}

/// The action that ends a request; what comes before it (authentication) is not known here.
async fn action(
    clients: &Clients,
    view: &View,
    actions: &[AwsAction],
    pools: &mut BTreeMap<String, Pool>,
) -> Result<Option<Action>> {
    let Some(last) = actions.iter().max_by_key(|action| action.order().unwrap_or_default()) else { return Ok(None) };
    Ok(match last.r#type() {
        Some(ActionTypeEnum::Forward) => {
            let groups = last.forward_config().map(|config| config.target_groups()).unwrap_or_default();
            let weighted = groups.iter().find(|group| group.weight() != Some(0));
            let arn = last.target_group_arn().or_else(|| weighted.and_then(|group| group.target_group_arn()));
            let Some(arn) = arn else { return Ok(None) };
            let pool = pool(clients, view, arn).await?;
            let name = pool.as_ref().map(|pool| pool.name.clone());
            pools.extend(pool.map(|pool| (pool.name.clone(), pool)));
            name.map(Action::Forward)
        }
        Some(ActionTypeEnum::Redirect) => last.redirect_config().map(|config| {
            let text = |value: Option<&str>, default: &str| value.unwrap_or(default).to_owned();
            Action::Redirect(Redirect {
                protocol: text(config.protocol(), "#{protocol}"),
                host: text(config.host(), "#{host}"),
                port: text(config.port(), "#{port}"),
                path: text(config.path(), "/#{path}"),
                query: text(config.query(), "#{query}"),
                code: if config.status_code() == Some(&RedirectActionStatusCodeEnum::Http301) { 301 } else { 302 },
            })
        }),
        Some(ActionTypeEnum::FixedResponse) => last.fixed_response_config().map(|config| Action::Fixed {
            status: config.status_code().unwrap_or("200").to_owned(),
            content_type: config.content_type().unwrap_or("text/plain").to_owned(),
            body: config.message_body().unwrap_or_default().to_owned(),
        }),
        _ => None,
    })
}

async fn pool(clients: &Clients, view: &View, arn: &str) -> Result<Option<Pool>> {
    let found = clients.elb.describe_target_groups().target_group_arns(arn).send().await;
    let found = found.map_err(|error| AwsError::new("DescribeTargetGroups", error))?;
    let Some(group) = found.target_groups().first() else { return Ok(None) };
    let health = clients.elb.describe_target_health().target_group_arn(arn).send().await;
    let health = health.map_err(|error| AwsError::new("DescribeTargetHealth", error))?;
    let default_port = group.port().unwrap_or(80);
    let targets: Vec<(&str, i32)> = health
        .target_health_descriptions()
        .iter()
        .filter_map(|description| description.target())
        .map(|target| (target.id().unwrap_or_default(), target.port().unwrap_or(default_port)))
        .collect();
    let by_address = group.target_type() == Some(&TargetTypeEnum::Ip);
    let address =
        |id: &str| if by_address { Some(id.to_owned()) } else { Some(view.running.get(id)?.address.to_string()) };
    let server = |(id, port): &(&str, i32)| Some(Server { id: (*id).to_owned(), address: address(id)?, port: *port });
    let mut servers: Vec<Server> = targets.iter().filter_map(server).collect();
    servers.sort_by(|a, b| (&a.id, a.port).cmp(&(&b.id, b.port)));
    servers.dedup();
    Ok(Some(from_target_group(group, targets.len(), servers)))
}

fn from_target_group(group: &TargetGroup, targets: usize, servers: Vec<Server>) -> Pool {
    let http = matches!(group.health_check_protocol(), None | Some(ProtocolEnum::Http | ProtocolEnum::Https));
    let check = Check {
        path: http.then(|| group.health_check_path().unwrap_or("/").to_owned()),
        port: group.health_check_port().and_then(|port| port.parse().ok()),
        matcher: group.matcher().and_then(|matcher| matcher.http_code()).unwrap_or("200").to_owned(),
        interval: group.health_check_interval_seconds().unwrap_or(30),
        timeout: group.health_check_timeout_seconds().unwrap_or(5),
        rise: group.healthy_threshold_count().unwrap_or(5),
        fall: group.unhealthy_threshold_count().unwrap_or(2),
    };
    let tls = group.protocol() == Some(&ProtocolEnum::Https);
    Pool { name: group.target_group_name().unwrap_or("targets").to_owned(), check, tls, targets, servers }
}
