//! Auto Scaling groups: one per group of nodes in the spec.

use std::time::Duration;

use aws_sdk_autoscaling::types::{AutoScalingGroup, Filter, LaunchTemplateSpecification, Tag};
use futuswarm_retry::{Failure, Policy};
use futuswarm_spec::Group;

use super::{Made, gone, template};
use crate::error::{Error, aws};
use crate::names::{CLUSTER_TAG, PART_TAG};
use crate::{Action, Cloud};

/// A node needs this long to boot before its health counts, in seconds.
const GRACE_SECONDS: i32 = 300;
/// Things that hang on terminated instances vanish with a delay.
const PATIENCE: Policy = Policy {
    first: Duration::from_secs(1),
    cap: Duration::from_secs(10),
    total: Duration::from_secs(300),
    attempt: Duration::from_secs(60),
};

/// Tries again while AWS says that a resource is still in use.
pub(super) async fn patiently<T, F, Fut>(what: &'static str, mut operation: F) -> Result<T, futuswarm_aws::Error>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, futuswarm_aws::Error>>,
{
    let in_use = [
        "DependencyViolation",
        "ResourceInUse",
        "ResourceInUseFault",
        "InvalidGroup.InUse",
        "ScalingActivityInProgress",
    ];
    let start = tokio::time::Instant::now();
    let mut attempt = 0;
    loop {
        let error = match operation().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let delay = PATIENCE.delay(attempt);
        attempt += 1;
        if !error.is(&in_use) || start.elapsed() + delay > PATIENCE.total {
            return Err(error);
        }
        tracing::debug!(what, attempt, reason = %error, "still in use");
        tokio::time::sleep(delay).await;
    }
}

/// Makes the group, or puts its size, subnets and template right.
pub(super) async fn ensure(
    cloud: &mut Cloud,
    made: &Made,
    group_name: &str,
    group: &Group,
    version: Option<&str>,
) -> Result<(), Error> {
    let name = cloud.names.of(group_name);
    let size = i32::try_from(group.count).unwrap_or(i32::MAX);
    let subnets = made.subnets.join(",");
    let current = find(cloud).await?.into_iter().find(|found| found.auto_scaling_group_name() == Some(name.as_str()));
    let Some(version) = version else {
        cloud.plan.begin(if current.is_some() { Action::Update } else { Action::Create }, "Auto Scaling group", &name);
        return Ok(());
    };
    let template = LaunchTemplateSpecification::builder()
        .launch_template_name(template::name(cloud, group_name))
        .version(version)
        .build();
    let Some(current) = current else {
        if !cloud.plan.begin(Action::Create, "Auto Scaling group", &name) {
            return Ok(());
        }
        let mut tags = Vec::new();
        for (key, value) in cloud.tags(&format!("node-{group_name}")) {
            let tag = Tag::builder().key(key).value(value).propagate_at_launch(true).build();
            tags.push(tag);
        }
        cloud
            .scaling
            .create_auto_scaling_group()
            .auto_scaling_group_name(&name)
            .launch_template(template)
            .min_size(size)
            .max_size(size)
            .desired_capacity(size)
            .vpc_zone_identifier(subnets)
            .set_target_group_arns(made.target_group.clone().map(|arn| vec![arn]))
            .health_check_type("EC2")
            .health_check_grace_period(GRACE_SECONDS)
            .set_tags(Some(tags))
            .send()
            .await
            .map_err(aws("CreateAutoScalingGroup"))?;
        return Ok(());
    };
    let same_size =
        [current.min_size(), current.max_size(), current.desired_capacity()].iter().all(|found| *found == Some(size));
    let same_template = current.launch_template().and_then(|template| template.version()) == Some(version);
    if (same_size && same_template && same_subnets(&current, &made.subnets))
        || !cloud.plan.begin(Action::Update, "Auto Scaling group", &name)
    {
        return Ok(());
    }
    let update = cloud.scaling.update_auto_scaling_group().auto_scaling_group_name(&name).launch_template(template);
    let update = update.min_size(size).max_size(size).desired_capacity(size).vpc_zone_identifier(subnets);
    update.send().await.map_err(aws("UpdateAutoScalingGroup"))?;
    Ok(())
}

fn same_subnets(group: &AutoScalingGroup, wanted: &[String]) -> bool {
    let mut found: Vec<&str> =
        group.vpc_zone_identifier().unwrap_or_default().split(',').filter(|id| !id.is_empty()).collect();
    let mut wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    found.sort_unstable();
    wanted.sort_unstable();
    found == wanted
}

/// All groups of the cluster.
pub(crate) async fn find(cloud: &Cloud) -> Result<Vec<AutoScalingGroup>, Error> {
    let filter = Filter::builder().name(format!("tag:{CLUSTER_TAG}")).values(&cloud.spec.cluster).build();
    let mut pages = cloud.scaling.describe_auto_scaling_groups().filters(filter).into_paginator().send();
    let mut all = Vec::new();
    while let Some(page) = pages.next().await {
        all.extend(page.map_err(aws("DescribeAutoScalingGroups"))?.auto_scaling_groups.unwrap_or_default());
    }
    all.retain(|group| group.tags().iter().any(|tag| tag.key() == Some(PART_TAG)));
    Ok(all)
}

/// Deletes groups that the spec no longer has.
pub(super) async fn remove_unwanted(cloud: &mut Cloud) -> Result<(), Error> {
    let wanted: Vec<String> = cloud.spec.groups.keys().map(|group| cloud.names.of(group)).collect();
    for group in find(cloud).await? {
        let name = group.auto_scaling_group_name().unwrap_or_default().to_owned();
        if !wanted.contains(&name) {
            delete(cloud, &name).await?;
        }
    }
    Ok(())
}

/// Deletes all groups and waits until their instances are gone.
pub(super) async fn delete_all(cloud: &mut Cloud) -> Result<(), Error> {
    for group in find(cloud).await? {
        delete(cloud, group.auto_scaling_group_name().unwrap_or_default()).await?;
    }
    if !cloud.plan.apply {
        return Ok(());
    }
    let waited = futuswarm_retry::wait_for("the end of the instances", PATIENCE, || async {
        match crate::status::instances(cloud).await {
            Ok(instances) if instances.is_empty() => Ok(Some(())),
            Ok(_) => Ok(None),
            Err(error) => Err(Failure::Transient(error.to_string())),
        }
    });
    waited.await.map_err(|error| Error::Late(error.to_string()))
}

async fn delete(cloud: &mut Cloud, name: &str) -> Result<(), Error> {
    let scaling = cloud.scaling.clone();
    let delete = async {
        let delete = scaling.delete_auto_scaling_group().auto_scaling_group_name(name).force_delete(true);
        delete.send().await.map_err(aws("DeleteAutoScalingGroup"))
    };
    gone(cloud, "Auto Scaling group", name, delete).await
}
