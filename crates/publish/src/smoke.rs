//! A smoke boot: one instance of the image, without a cluster, must say on its console that the agent runs.

use std::path::Path;
use std::time::Duration;

use aws_sdk_ec2::types::{
    Filter, HttpTokensState, InstanceMetadataOptionsRequest, InstanceStateName, InstanceType, ResourceType,
    ShutdownBehavior, Tag, TagSpecification,
};
use base64::Engine as _;
use futuswarm_retry::{Failure, Policy, wait_for};

use crate::debris::{Debris, Thing, terminate};
use crate::error::{Error, Result, aws, gave_up, incomplete};
use crate::place::Place;
use crate::snapshot::{Lease, is_left, tag};
use crate::{FAMILY_TAG, UPLOAD_TAG};

/// What the agent says when it has reached the metadata service and found no user data: firmware, verified root, network and
/// agent work. (`crates/agent/src/identity.rs`; a test compares.)
pub const AGENT_SAYS: &str = "the instance has no user data";

/// How to boot.
#[derive(Debug, Clone)]
pub struct Boot {
    /// Where; the default VPC's own choice otherwise.
    pub subnet: Option<String>,
    /// On what.
    pub instance_type: String,
    /// How long it may take until the agent has spoken. EC2 shows a console late: minutes are usual.
    pub deadline: Duration,
}

/// Boots an image, waits for the agent's words, and terminates the instance whatever happens.
///
/// # Errors
/// When the instance cannot be started, ends, or says nothing within the deadline; its last words are in the message.
pub async fn boot(place: &Place, image: &str, family: &str, boot: &Boot, lease: &Lease, debris: &Debris) -> Result<()> {
    let instance = start(place, image, family, boot, lease).await?;
    let thing = Thing::Instance(instance.clone());
    debris.add(place, thing.clone());
    let heard = listen(place, &instance, boot.deadline).await;
    terminate(place, &instance).await?;
    debris.keep(&thing);
    heard
}

/// Terminates smoke boots whose run was killed; returns their ids.
///
/// # Errors
/// When EC2 cannot be asked or refuses.
pub async fn sweep(place: &Place, family: &str, leases: &Path) -> Result<Vec<String>> {
    let filter = |name: String, values: &[&str]| {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Filter::builder().name(name).set_values(Some(values)).build()
    };
    let found = place
        .ec2
        .describe_instances()
        .filters(filter(format!("tag:{FAMILY_TAG}"), &[family]))
        .filters(filter("instance-state-name".to_owned(), &["pending", "running", "stopping", "stopped"]))
        .send()
        .await
        .map_err(aws(&place.region, "DescribeInstances"))?;
    let mut swept = Vec::new();
    for instance in found.reservations().iter().flat_map(|reservation| reservation.instances()) {
        let (Some(id), Some(lease)) = (instance.instance_id(), tag(instance.tags(), UPLOAD_TAG)) else { continue };
        if is_left(leases, lease, instance.launch_time().map_or(0, aws_sdk_ec2::primitives::DateTime::secs)) {
            terminate(place, id).await?;
            swept.push(id.to_owned());
        }
    }
    Ok(swept)
}

async fn start(place: &Place, image: &str, family: &str, boot: &Boot, lease: &Lease) -> Result<String> {
    let tags = [("Name", "futuswarm smoke boot"), (FAMILY_TAG, family), (UPLOAD_TAG, &lease.id)];
    let tags = tags.map(|(key, value)| Tag::builder().key(key).value(value).build());
    let tags = TagSpecification::builder().resource_type(ResourceType::Instance).set_tags(Some(tags.to_vec())).build();
    let metadata = InstanceMetadataOptionsRequest::builder().http_tokens(HttpTokensState::Required).build();
    let run = place
        .ec2
        .run_instances()
        .image_id(image)
        .instance_type(InstanceType::from(boot.instance_type.as_str()))
        .set_subnet_id(boot.subnet.clone())
        .min_count(1)
        .max_count(1)
        .metadata_options(metadata)
        .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
        .client_token(format!("smoke-{:032x}", fastrand::u128(..)))
        .tag_specifications(tags)
        .send()
        .await
        .map_err(aws(&place.region, "RunInstances"))?;
    let instance = run.instances().first().and_then(|instance| instance.instance_id()).map(str::to_owned);
    instance.ok_or_else(incomplete(&place.region, "RunInstances", "InstanceId"))
}

async fn listen(place: &Place, instance: &str, deadline: Duration) -> Result<()> {
    let policy = Policy {
        first: Duration::from_millis(500),
        cap: Duration::from_secs(10),
        total: deadline,
        attempt: Duration::from_secs(60),
    };
    let words = std::cell::RefCell::new(String::new());
    let heard = wait_for(&format!("waiting for the agent on {instance}"), policy, || async {
        let text = look(place, instance).await?;
        let heard = text.contains(AGENT_SAYS).then_some(());
        if !text.is_empty() {
            words.replace(text);
        }
        Ok::<_, Failure<Error>>(heard)
    })
    .await;
    let words = words.into_inner();
    match heard.map_err(gave_up(&place.region)) {
        Ok(()) => Ok(()),
        Err(error) => Err(Error::Wrong(format!("{error}; the agent never said {AGENT_SAYS:?}. {}", last(&words)))),
    }
}

/// The console as it is now, or, where the instance type cannot show that, as EC2 last took it down.
async fn console(place: &Place, instance: &str) -> Result<String> {
    let ask = |latest: bool| place.ec2.get_console_output().instance_id(instance).latest(latest).send();
    let console = match ask(true).await.map_err(aws(&place.region, "GetConsoleOutput")) {
        Err(error) if error.is(&["UnsupportedOperation"]) => {
            ask(false).await.map_err(aws(&place.region, "GetConsoleOutput"))?
        }
        other => other?,
    };
    Ok(console.output.unwrap_or_default())
}

/// The console, once the instance runs.
async fn look(place: &Place, instance: &str) -> Result<String, Failure<Error>> {
    let console = match console(place, instance).await {
        Ok(console) => console,
        // An instance that was just started may not be known everywhere.
        Err(error) if error.is(&["InvalidInstanceID.NotFound"]) => return Err(Failure::Transient(error)),
        Err(error) => return Err(Failure::Permanent(error)),
    };
    let bytes = base64::engine::general_purpose::STANDARD.decode(console.split_whitespace().collect::<String>());
    let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
    if text.contains(AGENT_SAYS) {
        return Ok(text);
    }
    let found = place.ec2.describe_instances().instance_ids(instance).send().await;
    let found = match found.map_err(aws(&place.region, "DescribeInstances")) {
        Ok(found) => found,
        Err(error) if error.is(&["InvalidInstanceID.NotFound"]) => return Err(Failure::Transient(error)),
        Err(error) => return Err(Failure::Permanent(error)),
    };
    let state =
        found.reservations().iter().flat_map(|reservation| reservation.instances()).find_map(|one| one.state()?.name());
    match state {
        Some(InstanceStateName::Terminated | InstanceStateName::ShuttingDown | InstanceStateName::Stopped) => {
            let message = format!("{}: {instance} ended before the agent spoke. {}", place.region, last(&text));
            Err(Failure::Permanent(Error::Wrong(message)))
        }
        _ => Ok(text),
    }
}

/// The last lines of a console.
fn last(console: &str) -> String {
    let lines: Vec<&str> = console.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines.len().saturating_sub(5) {
        _ if lines.is_empty() => "The console is empty: the instance type may not support UEFI".to_owned(),
        start => format!("The console ends with: {}", lines[start..].join(" | ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_that_are_waited_for_are_the_agents_own() {
        let source = futuswarm_paths::workspace_root().unwrap().join("crates/agent/src/identity.rs");
        assert!(std::fs::read_to_string(source).unwrap().contains(AGENT_SAYS));
    }

    #[test]
    fn a_console_is_shown_by_its_end() {
        assert!(last("").contains("UEFI"));
        assert_eq!(last("1\n2\n\n3\n4\n5\n6\n"), "The console ends with: 2 | 3 | 4 | 5 | 6");
    }
}
