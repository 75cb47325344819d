//! Lifecycle hooks of Auto Scaling groups. The emulator keeps hooks and does nothing with them; here an instance that its group
//! ends stays in `Terminating:Wait`, and its machine runs, until the hook is completed or its time is over.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futuswarm_aws::Error as AwsError;
use futuswarm_local_api::faults::Caller;
use http::Response;

use super::request::{OperationRequest, Outcome, Refusal, result};
use crate::clients::Clients;
use crate::server::Body;
use crate::service::Service;
use crate::terminating::{Pending, TerminatingInstances, Waiting};
use crate::xml::{self, Element, leaf, node};

/// The transition that these hooks are about.
const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";
/// AWS's own when a hook says nothing.
const HEARTBEAT: Duration = Duration::from_secs(3600);
/// However often a heartbeat comes: 48 hours, or a hundred times the timeout if that is less.
const LONGEST: Duration = Duration::from_secs(48 * 3600);
/// What the emulator shows of every hook, whatever it was told.
const INVENTED: [(&str, &str); 2] = [
    ("NotificationTargetARN", "arn:aws:sqs:us-east-1:123456789012:my-queue"),
    ("RoleARN", "arn:aws:iam::1234567890:role/my-auto-scaling-role"),
];

/// The member of a group that leaves it.
pub struct Member<'a> {
    /// Instance id.
    pub id: &'a str,
    pub group: &'a str,
    pub zone: &'a str,
    /// Its instance type.
    pub kind: &'a str,
}

pub struct Lifecycle {
    /// By the bypass, where nothing is completed.
    inner: Clients,
    terminating: TerminatingInstances,
}

impl Lifecycle {
    /// Nothing waits yet.
    pub fn new(inner: Clients, terminating: TerminatingInstances) -> Self {
        Self { inner, terminating }
    }

    /// Leaves out of the hooks what the emulator has invented.
    ///
    /// # Errors
    /// When the emulator does not answer; so with every call below.
    pub async fn describe_hooks(&self, request: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let complete = |answer: &mut Element| {
            for hook in xml::entries_mut(answer, "LifecycleHooks") {
                xml::retain(hook, |field| {
                    !INVENTED.contains(&(field.name.as_str(), &*field.get_text().unwrap_or_default()))
                });
            }
        };
        request.completed(complete).await.map(Some)
    }

    /// Adds those who wait to their groups.
    ///
    /// # Errors
    /// As [`Self::describe_hooks`].
    pub async fn describe_groups(&self, request: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        request.completed(|answer| in_groups(answer, &self.terminating.all())).await.map(Some)
    }

    /// Adds those who wait to the instances of groups.
    ///
    /// # Errors
    /// As [`Self::describe_hooks`].
    pub async fn describe_instances(&self, request: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let ids = request.call.form.list("InstanceIds.member");
        let complete = |answer: &mut Element| {
            // After the emulator has answered: whoever leaves a group meanwhile is in one of both.
            let mut terminating = self.terminating.all().clone();
            terminating.retain(|id, _| ids.is_empty() || ids.contains(&id.as_str()));
            in_instances(answer, &terminating);
        };
        request.completed(complete).await.map(Some)
    }

    /// The hooks for which an instance of a group waits before it is terminated: name → heartbeat timeout.
    ///
    /// # Errors
    /// When the emulator cannot be asked.
    pub async fn hooks(&self, group: &str) -> Result<BTreeMap<String, Duration>, AwsError> {
        let found = self.inner.autoscaling.describe_lifecycle_hooks().auto_scaling_group_name(group).send().await;
        let found = found.map_err(|error| AwsError::new("DescribeLifecycleHooks", error))?;
        let hooks = found.lifecycle_hooks().iter().filter(|hook| hook.lifecycle_transition() == Some(TERMINATING));
        let timeout = |seconds: Option<i32>| match seconds.and_then(|seconds| u64::try_from(seconds).ok()) {
            Some(seconds) if seconds > 0 => Duration::from_secs(seconds),
            _ => HEARTBEAT,
        };
        let pair = |hook: &aws_sdk_autoscaling::types::LifecycleHook| {
            (hook.lifecycle_hook_name().unwrap_or_default().to_owned(), timeout(hook.heartbeat_timeout()))
        };
        Ok(hooks.map(pair).collect())
    }

    /// Lets an instance wait that has left its group; it is terminated when its hooks are through.
    pub fn wait(&self, member: &Member<'_>, hooks: &BTreeMap<String, Duration>) {
        let now = Instant::now();
        let pending = |heartbeat: Duration| Pending {
            heartbeat,
            until: now + heartbeat,
            at_most: now + LONGEST.min(heartbeat.saturating_mul(100)),
        };
        let waiting = Waiting {
            group: member.group.to_owned(),
            zone: member.zone.to_owned(),
            kind: member.kind.to_owned(),
            hooks: hooks.iter().map(|(name, heartbeat)| (name.clone(), pending(*heartbeat))).collect(),
        };
        tracing::info!(instance = member.id, group = member.group, hooks = ?waiting.hooks.keys(), "waits for its hooks");
        self.terminating.all().insert(member.id.to_owned(), waiting);
        tokio::spawn(until_over(self.inner.clone(), self.terminating.clone(), member.id.to_owned()));
    }

    /// Completes a hook: the instance waits for it no longer.
    ///
    /// # Errors
    /// As [`Self::describe_hooks`].
    pub async fn complete(&self, request: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        Ok(Some(match self.pending(request).await {
            Err(refusal) => refusal,
            Ok((instance, hook)) => {
                if let Some(waiting) = self.terminating.all().get_mut(&instance) {
                    waiting.hooks.remove(&hook);
                }
                // The task that waits for it polls again at once.
                result("CompleteLifecycleAction", &Service::AutoScaling, [])
            }
        }))
    }

    /// Prolongs a hook.
    ///
    /// # Errors
    /// As [`Self::describe_hooks`].
    pub async fn heartbeat(&self, request: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        Ok(Some(match self.pending(request).await {
            Err(refusal) => refusal,
            Ok((instance, hook)) => {
                let mut terminating = self.terminating.all();
                if let Some(pending) = terminating.get_mut(&instance).and_then(|waiting| waiting.hooks.get_mut(&hook)) {
                    pending.until = (Instant::now() + pending.heartbeat).min(pending.at_most);
                }
                result("RecordLifecycleActionHeartbeat", &Service::AutoScaling, [])
            }
        }))
    }

    /// The instance and hook that a call means, if its caller may and if the hook is waited for.
    async fn pending(&self, request: &OperationRequest<'_>) -> Result<(String, String), Response<Body>> {
        let form = &request.call.form;
        let field = |name: &str| form.get(name).unwrap_or_default().to_owned();
        let (group, hook) = (field("AutoScalingGroupName"), field("LifecycleHookName"));
        if request.caller == Caller::Node {
            let found =
                self.inner.autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(&group).send().await;
            let arn = found
                .ok()
                .and_then(|found| found.auto_scaling_groups().first()?.auto_scaling_group_arn().map(str::to_owned));
            request.authorise(&arn.unwrap_or_else(|| "*".to_owned())).await?;
        }
        // Our tokens are the ids of instances: an instance waits once for each of its hooks.
        let instance =
            form.get("InstanceId").or_else(|| form.get("LifecycleActionToken")).unwrap_or_default().to_owned();
        let terminating = self.terminating.all();
        let known = terminating
            .get(&instance)
            .is_some_and(|waiting| waiting.group == group && waiting.hooks.contains_key(&hook));
        drop(terminating);
        if known {
            return Ok((instance, hook));
        }
        let message = format!("No active Lifecycle Action found with instance ID {instance}");
        Err(request.refuse(&Refusal::new("ValidationError", message)))
    }
}

/// Terminates an instance when none of its hooks is waited for any longer.
async fn until_over(inner: Clients, terminating: TerminatingInstances, instance: String) {
    const POLL_INTERVAL: Duration = Duration::from_millis(500);
    loop {
        let over = match terminating.all().get_mut(&instance) {
            // It was terminated by somebody else.
            None => return,
            Some(waiting) => {
                let now = Instant::now();
                waiting.hooks.retain(|hook, pending| {
                    let waits = pending.until > now;
                    if !waits {
                        tracing::warn!(instance, hook, "nobody has completed the hook in time; going on without");
                    }
                    waits
                });
                waiting.hooks.is_empty()
            }
        };
        if over {
            let ended = inner.ec2.terminate_instances().instance_ids(&instance).send().await;
            match ended.map_err(|error| AwsError::new("TerminateInstances", error)) {
                Ok(_) => {
                    tracing::info!(instance, "its hooks are through; terminated");
                    terminating.remove(&instance);
                    return;
                }
                Err(error) => tracing::warn!(instance, %error, "cannot terminate; will try again"),
            }
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Adds those who wait to their groups.
fn in_groups(answer: &mut Element, terminating: &BTreeMap<String, Waiting>) {
    for group in xml::entries_mut(answer, "AutoScalingGroups") {
        let name = xml::text(group, "AutoScalingGroupName").unwrap_or_default();
        if group.get_child("Instances").is_none() {
            xml::push(group, node("Instances", []));
        }
        let Some(instances) = group.get_mut_child("Instances") else { continue };
        for (id, waiting) in terminating.iter().filter(|(_, waiting)| waiting.group == name) {
            xml::push(instances, member(id, waiting, None));
        }
    }
}

/// Adds those who wait to a list of instances.
fn in_instances(answer: &mut Element, terminating: &BTreeMap<String, Waiting>) {
    let Some(instances) = xml::find_mut(answer, "AutoScalingInstances") else { return };
    for (id, waiting) in terminating {
        xml::push(instances, member(id, waiting, Some(&waiting.group)));
    }
}

fn member(id: &str, waiting: &Waiting, group: Option<&str>) -> Element {
    let mut fields = vec![leaf("InstanceId", id), leaf("InstanceType", &waiting.kind)];
    fields.extend(group.map(|group| leaf("AutoScalingGroupName", group)));
    fields.extend([
        leaf("AvailabilityZone", &waiting.zone),
        leaf("LifecycleState", "Terminating:Wait"),
        leaf("HealthStatus", "Healthy"),
        leaf("ProtectedFromScaleIn", "false"),
    ]);
    node("member", fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_wait_are_shown_in_their_group() {
        let waiting = |group: &str| Waiting {
            group: group.to_owned(),
            zone: "z".to_owned(),
            kind: "t".to_owned(),
            hooks: BTreeMap::new(),
        };
        let terminating = BTreeMap::from([("i-1".to_owned(), waiting("a")), ("i-2".to_owned(), waiting("b"))]);
        let group = |name: &str, instances: &str| {
            format!("<member><AutoScalingGroupName>{name}</AutoScalingGroupName>{instances}</member>")
        };
        let groups = |a: &str, b: &str| {
            format!("<R><AutoScalingGroups>{}{}</AutoScalingGroups></R>", group("a", a), group("b", b))
        };
        let member = |id: &str| {
            format!(
                "<member><InstanceId>{id}</InstanceId><InstanceType>t</InstanceType><AvailabilityZone>z</AvailabilityZone>\
                 <LifecycleState>Terminating:Wait</LifecycleState><HealthStatus>Healthy</HealthStatus>\
                 <ProtectedFromScaleIn>false</ProtectedFromScaleIn></member>"
            )
        };
        let before = groups("<Instances/>", "<Instances><member>x</member></Instances>");
        let mut answer = xml::parse(before.as_bytes()).unwrap();
        in_groups(&mut answer, &terminating);
        let expected = groups(
            &format!("<Instances>{}</Instances>", member("i-1")),
            &format!("<Instances><member>x</member>{}</Instances>", member("i-2")),
        );
        assert_eq!(xml::write(&answer), expected);
    }
}
