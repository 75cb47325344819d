//! Lifecycle hooks of Auto Scaling groups. The emulator keeps hooks and does nothing with them; here an instance that its group
//! ends stays in `Terminating:Wait`, and its machine runs, until the hook is completed or its time is over.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use futuswarm_aws::Error as AwsError;
use http::Response;

use super::request::{OperationRequest, Outcome, ok, refused, whole};
use crate::clients::Clients;
use crate::server::Body;
use crate::terminating::{Pending, TerminatingInstances, Waiting};
use crate::xml::escape;
use futuswarm_local_api::faults::Caller;

/// The transition that these hooks are about.
const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";
/// AWS's own when a hook says nothing.
const HEARTBEAT: Duration = Duration::from_secs(3600);
/// However often a heartbeat comes: 48 hours, or a hundred times the timeout if that is less.
const LONGEST: Duration = Duration::from_secs(48 * 3600);
/// What the emulator shows of every hook, whatever it was told.
const INVENTED: [&str; 2] = [
    "<NotificationTargetARN>arn:aws:sqs:us-east-1:123456789012:my-queue</NotificationTargetARN>",
    "<RoleARN>arn:aws:iam::1234567890:role/my-auto-scaling-role</RoleARN>",
];

/// The member of a group that leaves it.
pub struct Member<'a> {
    /// Instance id.
    pub id: &'a str,
    /// Its group.
    pub group: &'a str,
    /// Its zone.
    pub zone: &'a str,
    /// Its instance type.
    pub kind: &'a str,
}

/// The hooks.
pub struct Lifecycle {
    /// Straight to the emulator.
    inner: Clients,
    terminating: TerminatingInstances,
}

impl Lifecycle {
    /// Nothing waits yet.
    pub fn new(inner: Clients, terminating: TerminatingInstances) -> Self {
        Self { inner, terminating }
    }

    /// The answer to a call about hooks, or one that shows instances which wait.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn answer(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        match asked.call.action.as_str() {
            "CompleteLifecycleAction" => Ok(Some(self.complete(asked).await)),
            "RecordLifecycleActionHeartbeat" => Ok(Some(self.heartbeat(asked).await)),
            "DescribeLifecycleHooks" => {
                let (head, body) = asked.forward_unchanged().await?;
                let text = String::from_utf8_lossy(&body).into_owned();
                Ok(Some(whole(head, INVENTED.iter().fold(text, |text, invented| text.replace(invented, "")))))
            }
            "DescribeAutoScalingGroups" => {
                let (head, body) = asked.forward_unchanged().await?;
                Ok(Some(whole(head, in_groups(&String::from_utf8_lossy(&body), &self.terminating.all()))))
            }
            "DescribeAutoScalingInstances" => {
                let (head, body) = asked.forward_unchanged().await?;
                let ids = asked.call.form.list("InstanceIds.member");
                let mut terminating = self.terminating.all().clone();
                terminating.retain(|id, _| ids.is_empty() || ids.contains(&id.as_str()));
                Ok(Some(whole(head, in_instances(&String::from_utf8_lossy(&body), &terminating))))
            }
            _ => Ok(None),
        }
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

    async fn complete(&self, asked: &OperationRequest<'_>) -> Response<Body> {
        match self.pending(asked).await {
            Err(refusal) => refusal,
            Ok((instance, hook)) => {
                if let Some(waiting) = self.terminating.all().get_mut(&instance) {
                    waiting.hooks.remove(&hook);
                }
                // The task that waits for it looks once more at once.
                ok("CompleteLifecycleAction", "autoscaling")
            }
        }
    }

    async fn heartbeat(&self, asked: &OperationRequest<'_>) -> Response<Body> {
        match self.pending(asked).await {
            Err(refusal) => refusal,
            Ok((instance, hook)) => {
                let mut terminating = self.terminating.all();
                if let Some(pending) = terminating.get_mut(&instance).and_then(|waiting| waiting.hooks.get_mut(&hook)) {
                    pending.until = (Instant::now() + pending.heartbeat).min(pending.at_most);
                }
                ok("RecordLifecycleActionHeartbeat", "autoscaling")
            }
        }
    }

    /// The instance and hook that a call means, if its caller may and if the hook is waited for.
    async fn pending(&self, asked: &OperationRequest<'_>) -> Result<(String, String), Response<Body>> {
        let form = &asked.call.form;
        let field = |name: &str| form.get(name).unwrap_or_default().to_owned();
        let (group, hook) = (field("AutoScalingGroupName"), field("LifecycleHookName"));
        if asked.caller == Caller::Node {
            let found =
                self.inner.autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(&group).send().await;
            let arn = found
                .ok()
                .and_then(|found| found.auto_scaling_groups().first()?.auto_scaling_group_arn().map(str::to_owned));
            asked.authorise(&arn.unwrap_or_else(|| "*".to_owned())).await?;
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
        Err(refused("ValidationError", &message))
    }
}

/// Terminates an instance when none of its hooks is waited for any longer.
async fn until_over(inner: Clients, terminating: TerminatingInstances, instance: String) {
    const LOOK: Duration = Duration::from_millis(500);
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
        tokio::time::sleep(LOOK).await;
    }
}

/// Adds those who wait to their groups.
fn in_groups(answer: &str, terminating: &BTreeMap<String, Waiting>) -> String {
    let mut out = answer.to_owned();
    for (id, waiting) in terminating {
        let name = format!("<AutoScalingGroupName>{}</AutoScalingGroupName>", escape(&waiting.group));
        let Some(start) = out.find(&name) else { continue };
        let member = format!(
            "<member><InstanceId>{id}</InstanceId><InstanceType>{}</InstanceType><AvailabilityZone>{}</AvailabilityZone>{STATE}</member>",
            waiting.kind, waiting.zone
        );
        let (before, after) = out.split_at(start);
        out = before.to_owned() + &with_member(after, "Instances", &member);
    }
    out
}

/// Adds those who wait to a list of instances.
fn in_instances(answer: &str, terminating: &BTreeMap<String, Waiting>) -> String {
    let mut members = String::new();
    for (id, waiting) in terminating {
        let _infallible = write!(
            members,
            "<member><InstanceId>{id}</InstanceId><InstanceType>{}</InstanceType><AutoScalingGroupName>{}</AutoScalingGroupName><AvailabilityZone>{}</AvailabilityZone>{STATE}</member>",
            waiting.kind,
            escape(&waiting.group),
            waiting.zone
        );
    }
    with_member(answer, "AutoScalingInstances", &members)
}

const STATE: &str = "<LifecycleState>Terminating:Wait</LifecycleState><HealthStatus>Healthy</HealthStatus><ProtectedFromScaleIn>false</ProtectedFromScaleIn>";

/// Puts a member at the end of the first such list.
fn with_member(text: &str, list: &str, member: &str) -> String {
    let (empty, open, close) = (format!("<{list}/>"), format!("<{list}>"), format!("</{list}>"));
    let first = |word: &str| text.find(word).unwrap_or(usize::MAX);
    if first(&empty) < first(&open) {
        return text.replacen(&empty, &format!("{open}{member}{close}"), 1);
    }
    text.replacen(&close, &format!("{member}{close}"), 1)
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
        let answer = group("a", "<Instances/>") + &group("b", "<Instances><member>x</member></Instances>");
        let member = |id: &str| {
            format!(
                "<member><InstanceId>{id}</InstanceId><InstanceType>t</InstanceType><AvailabilityZone>z</AvailabilityZone>{STATE}</member>"
            )
        };
        let expected = group("a", &format!("<Instances>{}</Instances>", member("i-1")))
            + &group("b", &format!("<Instances><member>x</member>{}</Instances>", member("i-2")));
        assert_eq!(in_groups(&answer, &terminating), expected);
    }
}
