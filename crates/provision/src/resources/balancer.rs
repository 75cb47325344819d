//! The load balancer in front of every node's edge.

use aws_sdk_elasticloadbalancingv2::types::{
    Action as ListenerAction, ActionTypeEnum, LoadBalancerSchemeEnum, LoadBalancerTypeEnum, Matcher, ProtocolEnum, Tag,
    TargetTypeEnum,
};

use super::security::EDGE_PORT;
use super::{Made, gone};
use crate::error::{Error, aws, incomplete};
use crate::{Action, Cloud};

/// The edge answers here when its host name is nobody's, as a health check's is.
const HEALTH_PATH: &str = "/status";

fn tags(cloud: &Cloud, part: &str) -> Vec<Tag> {
    cloud.tags(part).into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// Makes target group, load balancer and listener.
pub(super) async fn ensure(cloud: &mut Cloud, made: &mut Made) -> Result<(), Error> {
    made.target_group = find_target_group(cloud).await?;
    let name = cloud.names.balancer();
    if made.target_group.is_none() && cloud.plan.begin(Action::Create, "target group", &name) {
        let vpc = made.vpc.as_deref().ok_or_else(incomplete("CreateVpc", "VpcId"))?;
        let created = cloud
            .balancing
            .create_target_group()
            .name(&name)
            .protocol(ProtocolEnum::Http)
            .port(EDGE_PORT)
            .vpc_id(vpc)
            .target_type(TargetTypeEnum::Instance)
            .health_check_path(HEALTH_PATH)
            .health_check_interval_seconds(10)
            .health_check_timeout_seconds(5)
            .healthy_threshold_count(2)
            .unhealthy_threshold_count(2)
            .matcher(Matcher::builder().http_code("200").build())
            .set_tags(Some(tags(cloud, "target-group")))
            .send()
            .await
            .map_err(aws("CreateTargetGroup"))?;
        made.target_group =
            created.target_groups().first().and_then(|group| group.target_group_arn()).map(str::to_owned);
    }
    let balancer = match find(cloud).await? {
        Some((arn, _)) => Some(arn),
        None if cloud.plan.begin(Action::Create, "load balancer", &name) => {
            let group = made.balancer_group.clone().ok_or_else(incomplete("CreateSecurityGroup", "GroupId"))?;
            let created = cloud
                .balancing
                .create_load_balancer()
                .name(&name)
                .r#type(LoadBalancerTypeEnum::Application)
                .scheme(LoadBalancerSchemeEnum::InternetFacing)
                .set_subnets(Some(made.subnets.clone()))
                .security_groups(group)
                .set_tags(Some(tags(cloud, "load-balancer")))
                .send()
                .await
                .map_err(aws("CreateLoadBalancer"))?;
            created.load_balancers().first().and_then(|balancer| balancer.load_balancer_arn()).map(str::to_owned)
        }
        None => None,
    };
    let (Some(balancer), Some(target_group)) = (balancer, made.target_group.clone()) else { return Ok(()) };
    let listeners = cloud
        .balancing
        .describe_listeners()
        .load_balancer_arn(&balancer)
        .send()
        .await
        .map_err(aws("DescribeListeners"))?;
    if listeners.listeners().iter().any(|listener| listener.port() == Some(80))
        || !cloud.plan.begin(Action::Create, "listener", "HTTP 80")
    {
        return Ok(());
    }
    let forward = ListenerAction::builder().r#type(ActionTypeEnum::Forward).target_group_arn(target_group).build();
    let create = cloud.balancing.create_listener().load_balancer_arn(&balancer).protocol(ProtocolEnum::Http).port(80);
    create.default_actions(forward).send().await.map_err(aws("CreateListener"))?;
    Ok(())
}

/// The load balancer's ARN and DNS name.
pub(crate) async fn find(cloud: &Cloud) -> Result<Option<(String, String)>, Error> {
    match cloud
        .balancing
        .describe_load_balancers()
        .names(cloud.names.balancer())
        .send()
        .await
        .map_err(aws("DescribeLoadBalancers"))
    {
        Ok(found) => Ok(found.load_balancers().first().and_then(|balancer| {
            Some((balancer.load_balancer_arn()?.to_owned(), balancer.dns_name().unwrap_or_default().to_owned()))
        })),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn find_target_group(cloud: &Cloud) -> Result<Option<String>, Error> {
    match cloud
        .balancing
        .describe_target_groups()
        .names(cloud.names.balancer())
        .send()
        .await
        .map_err(aws("DescribeTargetGroups"))
    {
        Ok(found) => Ok(found.target_groups().first().and_then(|group| group.target_group_arn()).map(str::to_owned)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Deletes load balancer (its listeners go with it) and target group.
pub(super) async fn delete(cloud: &mut Cloud) -> Result<(), Error> {
    let (balancing, name) = (cloud.balancing.clone(), cloud.names.balancer());
    if let Some((arn, _)) = find(cloud).await? {
        let delete = async {
            balancing.delete_load_balancer().load_balancer_arn(arn).send().await.map_err(aws("DeleteLoadBalancer"))
        };
        gone(cloud, "load balancer", &name, delete).await?;
    }
    if let Some(arn) = find_target_group(cloud).await? {
        let delete = super::groups::patiently("DeleteTargetGroup", || async {
            balancing.delete_target_group().target_group_arn(&arn).send().await.map_err(aws("DeleteTargetGroup"))
        });
        gone(cloud, "target group", &name, delete).await?;
    }
    Ok(())
}
