//! A smoke boot: one instance of the image, without a cluster, must say on its console that the agent runs.

use std::time::Duration;

use aws_sdk_ec2::types::{
    HttpTokensState, Instance, InstanceMetadataOptionsRequest, InstanceStateName, InstanceType, ResourceType,
    ShutdownBehavior, Tag, TagSpecification,
};
use base64::Engine as _;
use futuswarm_image_format::FAMILY_TAG;
use futuswarm_retry::{Failure, Policy, retry};

use crate::UPLOAD_TAG;
use crate::cleanup::{CleanupList, NO_INSTANCE, Resource, terminate_new};
use crate::error::{Error, Result, aws_on, failure, gave_up, incomplete};
use crate::region::RegionClients;
use crate::run_lock::RunLock;

/// What the agent says when it has reached the metadata service and got no user data: firmware, verified root, network and
/// agent work. (`crates/agent/src/identity.rs`; a test compares.)
pub const AGENT_SAYS: &str = "the instance has no user data";

/// The instance of a smoke boot.
#[derive(Debug, Clone)]
pub struct Boot {
    /// Its id; without one EC2 chooses from the default VPC.
    pub subnet: Option<String>,
    /// For example `t3.small`.
    pub instance_type: String,
    /// How long it may take until the agent has spoken. EC2 shows a console late: minutes are usual.
    pub deadline: Duration,
}

/// Boots an image, waits for the agent's words, and terminates the instance whatever happens.
///
/// # Errors
/// When the instance cannot be started, ends, or says nothing within the deadline; its last words are in the message.
pub async fn boot(
    clients: &RegionClients,
    image: &str,
    family: &str,
    boot: &Boot,
    lock: &RunLock,
    cleanup: &CleanupList,
) -> Result<()> {
    let instance = start(clients, image, family, boot, lock).await?;
    let resource = Resource::Instance(instance.clone());
    cleanup.add(clients, resource.clone());
    let heard = listen(clients, &instance, boot.deadline).await;
    let ended = terminate_new(clients, &instance).await;
    if ended.is_ok() {
        cleanup.keep(&resource);
    }
    heard.and(ended)
}

async fn start(clients: &RegionClients, image: &str, family: &str, boot: &Boot, lock: &RunLock) -> Result<String> {
    let tags = [("Name", "futuswarm smoke boot"), (FAMILY_TAG, family), (UPLOAD_TAG, &lock.id)];
    let tags = tags.map(|(key, value)| Tag::builder().key(key).value(value).build());
    let tags = TagSpecification::builder().resource_type(ResourceType::Instance).set_tags(Some(tags.to_vec())).build();
    let metadata = InstanceMetadataOptionsRequest::builder().http_tokens(HttpTokensState::Required).build();
    let run = clients
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
        .map_err(aws_on(&clients.region, "RunInstances", image))?;
    let instance = run.instances().first().and_then(|instance| instance.instance_id()).map(str::to_owned);
    instance.ok_or_else(incomplete(&clients.region, "RunInstances", "InstanceId"))
}

async fn listen(clients: &RegionClients, instance: &str, deadline: Duration) -> Result<()> {
    let policy = Policy {
        first: Duration::from_millis(500),
        cap: Duration::from_secs(10),
        total: deadline,
        attempt: Duration::from_secs(60),
    };
    let words = std::cell::RefCell::new(String::new());
    let heard = retry(&format!("waiting for the agent on {instance}"), policy, || async {
        let text = poll(clients, instance).await?;
        let heard = text.contains(AGENT_SAYS);
        if !text.is_empty() {
            words.replace(text);
        }
        match heard {
            true => Ok(()),
            false => Err(Failure::Transient(Error::Wrong("it has not spoken".to_owned()))),
        }
    })
    .await;
    let words = words.into_inner();
    let slow = "see its last words, or give it longer with --smoke-deadline";
    match heard.map_err(gave_up(&clients.region, slow)) {
        Ok(()) => Ok(()),
        Err(error) => Err(Error::Wrong(format!("{error}; the agent never said {AGENT_SAYS:?}. {}", last(&words)))),
    }
}

/// The console as it is now, or, where the instance type cannot show that, as EC2 last took it down.
async fn console(clients: &RegionClients, instance: &str) -> Result<String> {
    let ask = |latest: bool| clients.ec2.get_console_output().instance_id(instance).latest(latest).send();
    let console = match ask(true).await.map_err(aws_on(&clients.region, "GetConsoleOutput", instance)) {
        Err(error) if error.is(&["UnsupportedOperation"]) => {
            ask(false).await.map_err(aws_on(&clients.region, "GetConsoleOutput", instance))?
        }
        other => other?,
    };
    Ok(console.output.unwrap_or_default())
}

/// The console, once the instance runs.
async fn poll(clients: &RegionClients, instance: &str) -> Result<String, Failure<Error>> {
    // An instance that was just started may not be known everywhere.
    let early = |error| failure(error, &[NO_INSTANCE]);
    let console = console(clients, instance).await.map_err(early)?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(console.split_whitespace().collect::<String>());
    let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
    if text.contains(AGENT_SAYS) {
        return Ok(text);
    }
    let answer = clients.ec2.describe_instances().instance_ids(instance).send().await;
    let answer = answer.map_err(aws_on(&clients.region, "DescribeInstances", instance)).map_err(early)?;
    let mut instances = answer.reservations().iter().flat_map(|reservation| reservation.instances());
    match instances.next().and_then(ended) {
        Some(why) => {
            let message = format!("{}: {instance} ended before the agent spoke{why}. {}", clients.region, last(&text));
            Err(Failure::Permanent(Error::Wrong(message)))
        }
        None => Ok(text),
    }
}

/// Why an instance has ended, for the end of a sentence, if it has. A key that cannot be used, for example, is told only here.
fn ended(instance: &Instance) -> Option<String> {
    match instance.state()?.name()? {
        InstanceStateName::Terminated | InstanceStateName::ShuttingDown | InstanceStateName::Stopped => {
            let why = instance.state_reason().and_then(|reason| reason.message());
            Some(why.map(|why| format!(" ({why})")).unwrap_or_default())
        }
        _ => None,
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
    use aws_sdk_ec2::types::{InstanceState, StateReason};

    use super::*;

    #[test]
    fn the_words_that_are_waited_for_are_the_agents_own() {
        let source = futuswarm_paths::workspace_root().unwrap().join("crates/agent/src/identity.rs");
        assert!(std::fs::read_to_string(source).unwrap().contains(AGENT_SAYS));
    }

    #[test]
    fn why_an_instance_has_ended_is_said() {
        let instance = |state: InstanceStateName| {
            let reason = StateReason::builder().message("Client.InternalError: Client error on launch").build();
            let state = InstanceState::builder().name(state).build();
            Instance::builder().state(state).state_reason(reason).build()
        };
        assert_eq!(ended(&instance(InstanceStateName::Pending)), None);
        let why = ended(&instance(InstanceStateName::Terminated)).unwrap();
        assert_eq!(why, " (Client.InternalError: Client error on launch)");
    }

    #[test]
    fn a_console_is_shown_by_its_end() {
        assert!(last("").contains("UEFI"));
        assert_eq!(last("1\n2\n\n3\n4\n5\n6\n"), "The console ends with: 2 | 3 | 4 | 5 | 6");
    }
}
