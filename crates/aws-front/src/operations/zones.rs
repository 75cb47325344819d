//! Auto Scaling groups spread over zones. The emulator puts every instance of a group into the first of its subnets; so here
//! groups grow and shrink by one instance at a time, each time with the right subnet first, and before an instance is
//! terminated the subnet in which its replacement belongs comes first.

use aws_sdk_autoscaling::types::AutoScalingGroup;
use aws_sdk_ec2::types::Filter;
use aws_sdk_elasticloadbalancingv2::types::TargetDescription;
use futuswarm_aws::Error as AwsError;
use http::Response;

use super::lifecycle::{self, Lifecycle};
use super::request::{OperationRequest, Outcome, Refusal, result, whole};
use crate::clients::Clients;
use crate::form::Form;
use crate::server::Body;
use crate::service::Service;
use crate::terminating::TerminatingInstances;
use crate::xml::{self, Element, leaf, node};
use futuswarm_local_api::faults::Caller;

/// The spreading of groups.
pub struct Zones {
    /// By the bypass, where nothing is completed.
    inner: Clients,
    /// One change at a time: each looks at what the one before has made.
    turn: tokio::sync::Mutex<()>,
    /// Hooks that keep instances from going at once.
    pub lifecycle: Lifecycle,
    terminating: TerminatingInstances,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    id: String,
    zone: String,
    kind: String,
    protected: bool,
}

/// What there is of a group.
struct Group {
    found: AutoScalingGroup,
    name: String,
    /// Subnet and its zone, in the emulator's order.
    subnets: Vec<(String, String)>,
    /// In service, oldest first.
    members: Vec<Member>,
}

impl Zones {
    /// Nothing is asked yet.
    pub fn new(inner: Clients, terminating: TerminatingInstances) -> Self {
        let lifecycle = Lifecycle::new(inner.clone(), terminating.clone());
        Self { inner, turn: tokio::sync::Mutex::default(), lifecycle, terminating }
    }

    /// Makes a group of its size, one instance at a time, with its hooks.
    pub async fn create(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let form = &asked.call.form;
        let (Some(name), Some(target)) =
            (form.get("AutoScalingGroupName"), form.number("DesiredCapacity").or_else(|| form.number("MinSize")))
        else {
            return Ok(None);
        };
        let _turn = self.turn.lock().await;
        // The emulator would make another group in its place, and forget the instances of the first.
        if self.group(name).await?.is_some() {
            let message = format!("A group with the name {name} already exists");
            return Ok(Some(asked.refuse(&Refusal::new("AlreadyExists", message))));
        }
        let mut empty = form.clone();
        empty.set("DesiredCapacity", "0");
        let (head, body) = asked.forward(empty.encode()).await?;
        if head.status.is_success() {
            // The emulator forgets the hooks that come with a new group.
            for hook in form.structures("LifecycleHookSpecificationList.member") {
                self.put_hook(name, &hook).await?;
            }
            self.reach(name, target).await?;
        }
        Ok(Some(whole(head, body)))
    }

    async fn put_hook(&self, group: &str, hook: &Form) -> Result<(), AwsError> {
        let put = self.inner.autoscaling.put_lifecycle_hook().auto_scaling_group_name(group);
        put.set_lifecycle_hook_name(hook.get("LifecycleHookName").map(str::to_owned))
            .set_lifecycle_transition(hook.get("LifecycleTransition").map(str::to_owned))
            .set_default_result(hook.get("DefaultResult").map(str::to_owned))
            .set_heartbeat_timeout(hook.number("HeartbeatTimeout"))
            .send()
            .await
            .map_err(|error| AwsError::new("PutLifecycleHook", error))?;
        Ok(())
    }

    /// Changes a group, and its size one instance at a time.
    pub async fn update(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let form = &asked.call.form;
        let Some(name) = form.get("AutoScalingGroupName") else { return Ok(None) };
        let _turn = self.turn.lock().await;
        let Some(before) = self.group(name).await? else { return Ok(None) };
        let (min, max) = (form.number("MinSize"), form.number("MaxSize"));
        let desired = before.found.desired_capacity().unwrap_or_default();
        let target = form.number("DesiredCapacity").unwrap_or_else(|| within(desired, min, max));
        let mut same_size = form.clone();
        same_size.set("DesiredCapacity", before.members.len().to_string());
        let (head, body) = asked.forward(same_size.encode()).await?;
        if head.status.is_success() {
            let new_source = ["MixedInstancesPolicy", "LaunchTemplate", "LaunchConfigurationName"]
                .iter()
                .any(|name| form.mentions(name));
            // The emulator forgets the policy with each update that does not repeat it.
            if before.found.mixed_instances_policy().is_some() && !new_source {
                self.order(&before, None, None).await?;
            }
            self.reach(name, target).await?;
        }
        Ok(Some(whole(head, body)))
    }

    /// Grows or shrinks a group.
    pub async fn resize(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let form = &asked.call.form;
        let (Some(name), Some(target)) = (form.get("AutoScalingGroupName"), form.number("DesiredCapacity")) else {
            return Ok(None);
        };
        let _turn = self.turn.lock().await;
        if self.group(name).await?.is_some() {
            self.reach(name, target).await?;
        }
        let (head, body) = asked.forward_unchanged().await?;
        Ok(Some(whole(head, body)))
    }

    /// EC2's own call: the group replaces what is terminated. One instance at a time, since the emulator would put all
    /// replacements of one call into one subnet.
    pub async fn terminate(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let _turn = self.turn.lock().await;
        let groups = self.groups(None).await?;
        let (mut rounds, mut strangers) = (Vec::new(), Vec::new());
        for id in asked.call.form.list("InstanceId") {
            // EC2's own call waits for no hook.
            self.terminating.remove(id);
            match groups.iter().find(|group| group.has(id)) {
                Some(group) => rounds.push((Some(group), vec![id.to_owned()])),
                None => strangers.push(id.to_owned()),
            }
        }
        if rounds.is_empty() {
            return Ok(None);
        }
        if !strangers.is_empty() {
            rounds.insert(0, (None, strangers));
        }
        let mut items = Vec::new();
        let mut last = None;
        for (group, ids) in rounds {
            if let Some(group) = group {
                self.make_room(&group.name, &ids[0]).await?;
            }
            let mut part = asked.call.form.clone();
            part.remove("InstanceId");
            for (index, id) in ids.iter().enumerate() {
                part.set(&format!("InstanceId.{}", index + 1), id);
            }
            let (head, body) = asked.forward(part.encode()).await?;
            if !head.status.is_success() {
                return Ok(Some(whole(head, body)));
            }
            if let Some(group) = group {
                self.attach(group, &ids[0]).await?;
            }
            let body = xml::change(body, |answer| {
                if let Some(set) = xml::find_mut(answer, "instancesSet") {
                    items.append(&mut set.children);
                }
            });
            last = Some((head, body));
        }
        // The last answer tells of all.
        Ok(last.map(|(head, body)| {
            let merge = |answer: &mut Element| {
                if let Some(set) = xml::find_mut(answer, "instancesSet") {
                    set.children = items;
                }
            };
            whole(head, xml::change(body, merge))
        }))
    }

    /// Terminates an instance of a group, when the hooks of its group are through.
    pub async fn terminate_in_group(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let form = &asked.call.form;
        let Some(id) = form.get("InstanceId") else { return Ok(None) };
        let _turn = self.turn.lock().await;
        let groups = self.groups(None).await?;
        let Some(group) = groups.iter().find(|group| group.has(id)) else { return Ok(None) };
        let decrement = form.get("ShouldDecrementDesiredCapacity") == Some("true");
        if asked.caller == Caller::Node
            && let Err(refusal) = asked.authorise(group.found.auto_scaling_group_arn().unwrap_or("*")).await
        {
            return Ok(Some(refusal));
        }
        if !decrement {
            self.make_room(&group.name, id).await?;
        }
        if self.leave(group, id, decrement).await? {
            self.attach(group, id).await?;
            return Ok(Some(activity(&group.name, id)));
        }
        let (head, body) = asked.forward_unchanged().await?;
        if head.status.is_success() {
            self.attach(group, id).await?;
        }
        Ok(Some(whole(head, body)))
    }

    /// Takes an instance out of its group and lets it wait for the group's hooks; says no when there are none.
    async fn leave(&self, group: &Group, id: &str, decrement: bool) -> Result<bool, AwsError> {
        let hooks = self.lifecycle.hooks(&group.name).await?;
        let Some(member) = group.members.iter().find(|member| member.id == id).filter(|_| !hooks.is_empty()) else {
            return Ok(false);
        };
        let member = lifecycle::Member { id, group: &group.name, zone: &member.zone, kind: &member.kind };
        // First the wish to wait, so that the instance is never seen to be in no state at all.
        self.lifecycle.wait(&member, &hooks);
        let detach = self.inner.autoscaling.detach_instances().auto_scaling_group_name(&group.name).instance_ids(id);
        let detached = detach.should_decrement_desired_capacity(decrement).send().await;
        if let Err(error) = detached.map_err(|error| AwsError::new("DetachInstances", error)) {
            self.terminating.remove(id);
            return Err(error);
        }
        Ok(true)
    }

    /// Makes the subnet come first in which the replacement of an instance belongs.
    async fn make_room(&self, name: &str, terminated: &str) -> Result<(), AwsError> {
        let Some(group) = self.group(name).await? else { return Ok(()) };
        let staying: Vec<&str> =
            group.members.iter().filter(|member| member.id != terminated).map(|member| member.zone.as_str()).collect();
        match emptiest(&group.subnets, &staying) {
            Some(subnet) if group.subnets.first().is_some_and(|(first, _)| first != subnet) => {
                self.order(&group, Some(subnet), None).await
            }
            _ => Ok(()),
        }
    }

    /// Takes an instance that has left out of its group's target groups.
    async fn take_out(&self, group: &Group, left: &str) {
        for arn in group.found.target_group_arns() {
            let target = TargetDescription::builder().id(left).build();
            let out = self.inner.elb.deregister_targets().target_group_arn(arn).targets(target).send().await;
            if let Err(error) = out {
                // The target group may be gone already; the instance is, in any case.
                tracing::debug!(arn, error = %AwsError::new("DeregisterTargets", error), "cannot take a target out");
            }
        }
    }

    /// Registers a replacement with its group's target groups, which the emulator forgets, and takes out what has left.
    async fn attach(&self, group: &Group, left: &str) -> Result<(), AwsError> {
        self.take_out(group, left).await;
        let Some(now) = self.group(&group.name).await? else { return Ok(()) };
        self.set_desired(&now.name, now.found.desired_capacity().unwrap_or_default()).await
    }

    /// Grows or shrinks a group to its size, one instance at a time.
    async fn reach(&self, name: &str, target: i32) -> Result<(), AwsError> {
        let target = usize::try_from(target).unwrap_or_default();
        while let Some(group) = self.group(name).await? {
            let count = group.members.len();
            let zones: Vec<&str> = group.members.iter().map(|member| member.zone.as_str()).collect();
            if count < target {
                self.order(&group, emptiest(&group.subnets, &zones), Some(count + 1)).await?;
                if self.group(name).await?.is_none_or(|now| now.members.len() <= count) {
                    break;
                }
            } else if count > target
                && let Some(victim) = fullest(&group.members)
            {
                if !self.leave(&group, victim, true).await? {
                    let end = self.inner.autoscaling.terminate_instance_in_auto_scaling_group().instance_id(victim);
                    let end = end.should_decrement_desired_capacity(true).send().await;
                    end.map_err(|error| AwsError::new("TerminateInstanceInAutoScalingGroup", error))?;
                }
                self.take_out(&group, victim).await;
            } else {
                break;
            }
        }
        self.set_desired(name, i32::try_from(target).unwrap_or(i32::MAX)).await
    }

    async fn set_desired(&self, name: &str, size: i32) -> Result<(), AwsError> {
        let set = self.inner.autoscaling.set_desired_capacity().auto_scaling_group_name(name).desired_capacity(size);
        set.send().await.map_err(|error| AwsError::new("SetDesiredCapacity", error))?;
        Ok(())
    }

    /// Tells the emulator which subnet comes first, and of which size the group is.
    async fn order(&self, group: &Group, first: Option<&str>, size: Option<usize>) -> Result<(), AwsError> {
        let mut subnets: Vec<&str> = group.subnets.iter().map(|(subnet, _)| subnet.as_str()).collect();
        subnets.sort_by_key(|subnet| Some(*subnet) != first);
        // The emulator shows the template's id and name and accepts only one of them.
        let policy = group.found.mixed_instances_policy().cloned().map(|mut policy| {
            if let Some(specification) =
                policy.launch_template.as_mut().and_then(|template| template.launch_template_specification.as_mut())
                && specification.launch_template_id.is_some()
            {
                specification.launch_template_name = None;
            }
            policy
        });
        let update = self.inner.autoscaling.update_auto_scaling_group().auto_scaling_group_name(&group.name);
        update
            .set_vpc_zone_identifier(Some(subnets.join(",")).filter(|subnets| !subnets.is_empty()))
            .set_desired_capacity(size.and_then(|size| i32::try_from(size).ok()))
            .set_mixed_instances_policy(policy)
            .send()
            .await
            .map_err(|error| AwsError::new("UpdateAutoScalingGroup", error))?;
        Ok(())
    }

    async fn group(&self, name: &str) -> Result<Option<Group>, AwsError> {
        Ok(self.groups(Some(name)).await?.pop())
    }

    async fn groups(&self, name: Option<&str>) -> Result<Vec<Group>, AwsError> {
        let describe = self.inner.autoscaling.describe_auto_scaling_groups().max_records(100);
        let found = describe.set_auto_scaling_group_names(name.map(|name| vec![name.to_owned()])).send().await;
        let found = found.map_err(|error| AwsError::new("DescribeAutoScalingGroups", error))?;
        let mut groups = Vec::new();
        for found in found.auto_scaling_groups.unwrap_or_default() {
            let ids: Vec<&str> =
                found.vpc_zone_identifier().unwrap_or_default().split(',').filter(|id| !id.is_empty()).collect();
            let subnets = self.zones_of(&ids).await?;
            let members = found.instances().iter().filter(|instance| {
                instance.lifecycle_state() == Some(&aws_sdk_autoscaling::types::LifecycleState::InService)
            });
            let member = |instance: &aws_sdk_autoscaling::types::Instance| Member {
                id: instance.instance_id().unwrap_or_default().to_owned(),
                zone: instance.availability_zone().unwrap_or_default().to_owned(),
                kind: instance.instance_type().unwrap_or_default().to_owned(),
                protected: instance.protected_from_scale_in().unwrap_or(false),
            };
            let members = members.map(member).collect();
            let name = found.auto_scaling_group_name().unwrap_or_default().to_owned();
            groups.push(Group { name, subnets, members, found });
        }
        Ok(groups)
    }

    /// Subnets with their zones, in the order of `ids`.
    async fn zones_of(&self, ids: &[&str]) -> Result<Vec<(String, String)>, AwsError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        // A filter and not ids: a subnet that is gone must not hide the others.
        let filter =
            Filter::builder().name("subnet-id").set_values(Some(ids.iter().map(|id| (*id).to_owned()).collect()));
        let found = self.inner.ec2.describe_subnets().filters(filter.build()).send().await;
        let found = found.map_err(|error| AwsError::new("DescribeSubnets", error))?;
        let zone = |id: &str| {
            let subnet = found.subnets().iter().find(|subnet| subnet.subnet_id() == Some(id))?;
            Some((id.to_owned(), subnet.availability_zone().unwrap_or_default().to_owned()))
        };
        Ok(ids.iter().filter_map(|id| zone(id)).collect())
    }
}

impl Group {
    fn has(&self, id: &str) -> bool {
        self.members.iter().any(|member| member.id == id)
    }
}

/// The answer to TerminateInstanceInAutoScalingGroup when the instance waits.
fn activity(group: &str, id: &str) -> Response<Body> {
    let activity = [
        leaf("ActivityId", id),
        leaf("AutoScalingGroupName", group),
        leaf("Description", format!("Terminating EC2 instance: {id}")),
        leaf("Cause", "asked for by its user"),
        leaf("StartTime", crate::clock::now()),
        leaf("StatusCode", "InProgress"),
        leaf("Progress", "0"),
    ];
    result("TerminateInstanceInAutoScalingGroup", &Service::AutoScaling, [node("Activity", activity)])
}

/// The size that a group has after its limits were changed.
fn within(desired: i32, min: Option<i32>, max: Option<i32>) -> i32 {
    desired.max(min.unwrap_or(desired)).min(max.unwrap_or(i32::MAX))
}

/// The first subnet of a zone with the fewest instances.
fn emptiest<'a>(subnets: &'a [(String, String)], instances: &[&str]) -> Option<&'a str> {
    let fewest = subnets.iter().min_by_key(|(_, zone)| instances.iter().filter(|used| *used == zone).count());
    fewest.map(|(subnet, _)| subnet.as_str())
}

/// The oldest instance that may go, of a zone with the most.
fn fullest(members: &[Member]) -> Option<&str> {
    let in_zone = |zone: &str| members.iter().filter(|member| member.zone == zone).count();
    let candidates = members.iter().filter(|member| !member.protected).rev();
    candidates.max_by_key(|member| in_zone(&member.zone)).map(|member| member.id.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnets() -> Vec<(String, String)> {
        [("s1", "a"), ("s2", "b"), ("s3", "c")].map(|(subnet, zone)| (subnet.to_owned(), zone.to_owned())).to_vec()
    }

    #[test]
    fn the_emptiest_zone_comes_next() {
        for (instances, next) in [
            (vec![], "s1"),
            (vec!["a"], "s2"),
            (vec!["a", "b"], "s3"),
            (vec!["a", "b", "c"], "s1"),
            (vec!["a", "c"], "s2"),
        ] {
            assert_eq!(emptiest(&subnets(), &instances), Some(next), "{instances:?}");
        }
        assert_eq!(emptiest(&[], &["a"]), None);
    }

    #[test]
    fn the_oldest_of_the_fullest_zone_goes_unless_it_is_protected() {
        let member = |id: &str, zone: &str| Member {
            id: id.to_owned(),
            zone: zone.to_owned(),
            kind: String::new(),
            protected: false,
        };
        let mut members = vec![member("i-1", "a"), member("i-2", "b"), member("i-3", "b"), member("i-4", "c")];
        assert_eq!(fullest(&members), Some("i-2"));
        members[1].protected = true;
        assert_eq!(fullest(&members), Some("i-3"));
        assert_eq!(fullest(&members[3..]), Some("i-4"));
        assert_eq!(fullest(&members[1..2]), None);
    }

    #[test]
    fn new_limits_move_the_size() {
        assert_eq!(within(3, Some(5), None), 5);
        assert_eq!(within(3, None, Some(2)), 2);
        assert_eq!(within(3, Some(1), Some(4)), 3);
    }
}
