//! What is in an Auto Scaling group, as fields to compare, and the calls beside CreateAutoScalingGroup.

use aws_sdk_autoscaling::types::{
    AutoScalingGroup, InstancesDistribution, LaunchTemplate, LaunchTemplateOverrides, LaunchTemplateSpecification,
    LifecycleHook, LifecycleState, MixedInstancesPolicy,
};
use futuswarm_spec::{Group, Role};

use crate::components::Tier;
use crate::consistency::{until_free, until_visible};
use crate::error::{Error, failed};
use crate::field::{Field, Fields, sorted};
use crate::{Aws, Run, components};

/// The hook that holds an ending instance until its node has handed over its tasks.
const HOOK_NAME: &str = "futuswarm-drain";
const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";
/// A node that has not handed over by then, in seconds, never will.
const HOOK_SECONDS: i32 = 300;
/// Balancing zones ends a living instance to start one elsewhere, which a manager must not suffer.
const REBALANCE: &str = "AZRebalance";

/// Fields that UpdateAutoScalingGroup sets.
pub(super) const UPDATED: &[Field] = &[
    Field::Nodes,
    Field::MinSize,
    Field::MaxSize,
    Field::Subnets,
    Field::Template,
    Field::InstanceTypes,
    Field::HealthCheck,
    Field::Spot,
    Field::ScaleInProtection,
];

pub(super) fn size(nodes: u32) -> i32 {
    i32::try_from(nodes).unwrap_or(i32::MAX)
}

fn hook_in_words(seconds: i32, result: &str) -> String {
    format!("{seconds} s, then {result}")
}

pub(super) fn desired(run: &Run, name: &str, group: &Group, attachment: &str) -> Fields {
    let subnets: Vec<String> = group.zones.iter().map(|zone| run.id_or_unknown(&Tier::Public.subnet(zone))).collect();
    let version = run.id_or_unknown(&components::template(name));
    let mixed = is_mixed(group);
    Fields::new()
        .with_some(Field::Nodes, (group.min == group.max).then_some(group.min))
        .with(Field::MinSize, group.min)
        .with(Field::MaxSize, group.max)
        .with(Field::Subnets, sorted(subnets.iter().map(String::as_str)))
        .with(Field::Template, format!("{} version {version}", run.cluster.names.of(name)))
        .with_some(Field::InstanceTypes, mixed.then(|| group.instance_types.join(" ")))
        .with_some(Field::Spot, mixed.then_some(group.spot))
        .with(Field::HealthCheck, "EC2")
        .with(Field::Attachment, attachment)
        .with(Field::TerminationHook, hook_in_words(HOOK_SECONDS, "CONTINUE"))
        .with_some(Field::ScaleInProtection, (group.role == Role::Manager).then_some(true))
}

pub(super) fn observed(group: &AutoScalingGroup, hooks: &[LifecycleHook], fixed: bool) -> Fields {
    let policy = group.mixed_instances_policy();
    let template = policy.and_then(|policy| policy.launch_template()?.launch_template_specification());
    let template = template.or_else(|| group.launch_template());
    let types = policy.and_then(|policy| policy.launch_template()).map(|template| {
        template.overrides().iter().filter_map(|one| one.instance_type()).collect::<Vec<_>>().join(" ")
    });
    let spot = policy
        .and_then(|policy| policy.instances_distribution())
        .map(|distribution| distribution.on_demand_percentage_above_base_capacity() == Some(0));
    let hook = hooks.iter().find(|hook| hook.lifecycle_hook_name() == Some(HOOK_NAME));
    let hook = hook
        .filter(|hook| hook.lifecycle_transition() == Some(TERMINATING))
        .map(|hook| hook_in_words(hook.heartbeat_timeout().unwrap_or(0), hook.default_result().unwrap_or("nothing")));
    let kept = group.new_instances_protected_from_scale_in() == Some(true)
        && group.suspended_processes().iter().any(|process| process.process_name() == Some(REBALANCE));
    let subnets = group.vpc_zone_identifier().unwrap_or_default().split(',');
    Fields::new()
        .with_some(Field::Nodes, group.desired_capacity().filter(|_| fixed))
        .with_some(Field::MinSize, group.min_size())
        .with_some(Field::MaxSize, group.max_size())
        .with(Field::Subnets, sorted(subnets))
        .with_some(
            Field::Template,
            template.map(|template| {
                let name = template.launch_template_name().unwrap_or_default();
                format!("{name} version {}", template.version().unwrap_or_default())
            }),
        )
        .with_some(Field::InstanceTypes, types)
        .with_some(Field::Spot, spot)
        .with(Field::HealthCheck, group.health_check_type().unwrap_or_default())
        .with_some(Field::TerminationHook, hook)
        .with_some(Field::ScaleInProtection, kept.then_some(true))
}

/// A group of one type at the ordinary price needs no policy.
fn is_mixed(group: &Group) -> bool {
    group.spot || group.instance_types.len() > 1
}

/// Several types, or spot instances.
pub(super) fn mixed(group: &Group, template: &LaunchTemplateSpecification) -> Option<MixedInstancesPolicy> {
    if !is_mixed(group) {
        return None;
    }
    let overrides =
        group.instance_types.iter().map(|kind| LaunchTemplateOverrides::builder().instance_type(kind).build());
    let distribution = InstancesDistribution::builder()
        .on_demand_base_capacity(0)
        .on_demand_percentage_above_base_capacity(if group.spot { 0 } else { 100 })
        .on_demand_allocation_strategy("prioritized")
        .spot_allocation_strategy("price-capacity-optimized");
    let template = LaunchTemplate::builder()
        .launch_template_specification(template.clone())
        .set_overrides(Some(overrides.collect()));
    Some(
        MixedInstancesPolicy::builder()
            .launch_template(template.build())
            .instances_distribution(distribution.build())
            .build(),
    )
}

/// Makes or fixes the hook.
pub(super) async fn put_hook(aws: &Aws, group: &str) -> Result<(), Error> {
    until_visible("the Auto Scaling group", || async {
        let put = aws.scaling.put_lifecycle_hook().auto_scaling_group_name(group).lifecycle_hook_name(HOOK_NAME);
        let put = put.lifecycle_transition(TERMINATING).heartbeat_timeout(HOOK_SECONDS).default_result("CONTINUE");
        put.send().await.map_err(failed("PutLifecycleHook"))
    })
    .await?;
    Ok(())
}

/// Switches off what would end a manager that is well.
pub(super) async fn keep_managers(aws: &Aws, group: &str) -> Result<(), Error> {
    until_visible("the Auto Scaling group", || async {
        let suspend = aws.scaling.suspend_processes().auto_scaling_group_name(group).scaling_processes(REBALANCE);
        suspend.send().await.map_err(failed("SuspendProcesses"))
    })
    .await?;
    Ok(())
}

/// Lets the group end all of its instances.
pub(super) async fn unprotect(aws: &Aws, group: &AutoScalingGroup) -> Result<(), Error> {
    // Of others AWS refuses to change it, and ends them anyway.
    let in_service = |instance: &&aws_sdk_autoscaling::types::Instance| {
        instance.lifecycle_state() == Some(&LifecycleState::InService)
    };
    let instances = group.instances().iter().filter(in_service);
    let protected = instances.filter(|instance| instance.protected_from_scale_in() == Some(true));
    let protected: Vec<String> = protected.filter_map(|instance| instance.instance_id().map(str::to_owned)).collect();
    if protected.is_empty() {
        return Ok(());
    }
    let lift = aws.scaling.set_instance_protection().set_instance_ids(Some(protected));
    let lift = lift.set_auto_scaling_group_name(group.auto_scaling_group_name.clone()).protected_from_scale_in(false);
    until_free("the Auto Scaling group", || async {
        lift.clone().send().await.map_err(failed("SetInstanceProtection"))
    })
    .await?;
    Ok(())
}

/// Attaches the group to these target groups or this classic load balancer, by their components, and takes it off whatever else is among
/// what is `there`. The new ones come first.
pub(super) async fn attach(
    aws: &Aws,
    observed: &AutoScalingGroup,
    there: &[String],
    attachments: &[(&str, String)],
) -> Result<(), Error> {
    let name = observed.auto_scaling_group_name().unwrap_or_default();
    for (component, id) in attachments.iter().filter(|(_, id)| !there.contains(id)) {
        if *component == components::LOAD_BALANCER {
            until_visible("the load balancer", || async {
                let attach = aws.scaling.attach_load_balancers().auto_scaling_group_name(name);
                attach.load_balancer_names(id).send().await.map_err(failed("AttachLoadBalancers"))
            })
            .await?;
        } else {
            until_visible("the target group", || async {
                let attach = aws.scaling.attach_load_balancer_target_groups().auto_scaling_group_name(name);
                attach.target_group_arns(id).send().await.map_err(failed("AttachLoadBalancerTargetGroups"))
            })
            .await?;
        }
    }
    for other in there.iter().filter(|other| !attachments.iter().any(|(_, id)| id == *other)) {
        detach(aws, observed, other).await?;
    }
    Ok(())
}

/// Takes the group off a target group, by its ARN, or off a classic load balancer, by its name.
pub(super) async fn detach(aws: &Aws, observed: &AutoScalingGroup, attachment: &str) -> Result<(), Error> {
    let name = observed.auto_scaling_group_name().unwrap_or_default();
    if attachment.starts_with("arn:") {
        until_free("the Auto Scaling group", || async {
            let detach = aws.scaling.detach_load_balancer_target_groups().auto_scaling_group_name(name);
            detach.target_group_arns(attachment).send().await.map_err(failed("DetachLoadBalancerTargetGroups"))
        })
        .await?;
    } else {
        until_free("the Auto Scaling group", || async {
            let detach = aws.scaling.detach_load_balancers().auto_scaling_group_name(name);
            detach.load_balancer_names(attachment).send().await.map_err(failed("DetachLoadBalancers"))
        })
        .await?;
    }
    Ok(())
}
