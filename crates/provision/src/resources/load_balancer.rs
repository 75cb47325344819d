//! The application load balancer in front of every node's edge.

use aws_sdk_elasticloadbalancingv2::types::{
    LoadBalancer as Found, LoadBalancerAttribute, LoadBalancerSchemeEnum, LoadBalancerTypeEnum,
};

use super::security_group::SecurityGroup;
use super::{internet_gateway, marks, target_group};
use crate::Cloud;
use crate::consistency::until_visible;
use crate::error::{Error, aws, incomplete};
use futuswarm_converge::{Changed, Fields, Resource};

/// The part; its id is the balancer's ARN, or the name of a classic one.
pub(crate) const PART: &str = "load-balancer";
const IDLE: &str = "idle_timeout.timeout_seconds";
/// Headers that HTTP does not allow have no business behind the balancer.
const STRICT: &str = "routing.http.drop_invalid_header_fields.enabled";

/// The balancer, with the parts of its subnets.
pub(crate) struct LoadBalancer(pub(crate) Vec<String>);

/// Where a balancer is found in DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) name: String,
    pub(crate) zone: String,
}

/// Parts under which the two halves of an address are noted.
const DNS_NAME: &str = "load-balancer/name";
const DNS_ZONE: &str = "load-balancer/zone";

/// Where the balancer of this run is.
pub(crate) fn address(cloud: &Cloud) -> Option<Address> {
    Some(Address { name: cloud.id(DNS_NAME)?, zone: cloud.id(DNS_ZONE)? })
}

pub(crate) fn note_address(cloud: &Cloud, name: Option<&str>, zone: Option<&str>) {
    cloud.note_id(DNS_NAME.to_owned(), name.unwrap_or_default().to_owned());
    cloud.note_id(DNS_ZONE.to_owned(), zone.unwrap_or_default().to_owned());
}

pub(crate) fn scheme(cloud: &Cloud) -> LoadBalancerSchemeEnum {
    match cloud.spec.load_balancer.internal {
        true => LoadBalancerSchemeEnum::Internal,
        false => LoadBalancerSchemeEnum::InternetFacing,
    }
}

pub(crate) fn sorted(mut words: Vec<String>) -> String {
    words.sort_unstable();
    words.join(" ")
}

/// What was seen of it.
pub(crate) struct Seen {
    balancer: Found,
    attributes: Vec<LoadBalancerAttribute>,
}

/// The balancer, without its attributes.
pub(crate) async fn find(cloud: &Cloud) -> Result<Option<Found>, Error> {
    let ask = cloud.balancing.describe_load_balancers().names(cloud.names.balancer());
    match ask.send().await.map_err(aws("DescribeLoadBalancers")) {
        Ok(found) => Ok(found.load_balancers.unwrap_or_default().into_iter().next()),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl LoadBalancer {
    fn subnets(&self, cloud: &Cloud) -> Result<Vec<String>, Error> {
        self.0.iter().map(|part| cloud.need(part)).collect()
    }

    fn attributes(cloud: &Cloud) -> Vec<(&'static str, String)> {
        vec![(IDLE, cloud.spec.load_balancer.idle_timeout_seconds.to_string()), (STRICT, true.to_string())]
    }

    async fn set_attributes(cloud: &Cloud, arn: &str) -> Result<(), Error> {
        until_visible("the load balancer", || async {
            let all = Self::attributes(cloud).into_iter();
            let all = all.map(|(key, value)| LoadBalancerAttribute::builder().key(key).value(value).build()).collect();
            let modify = cloud.balancing.modify_load_balancer_attributes().load_balancer_arn(arn);
            modify.set_attributes(Some(all)).send().await.map_err(aws("ModifyLoadBalancerAttributes"))
        })
        .await?;
        Ok(())
    }
}

impl Resource<Cloud> for LoadBalancer {
    type Observed = Seen;

    fn kind(&self) -> &'static str {
        "load balancer"
    }

    fn name(&self, cloud: &Cloud) -> String {
        cloud.names.balancer()
    }

    fn component(&self) -> String {
        PART.to_owned()
    }

    fn depends_on(&self) -> Vec<String> {
        let mut needs = self.0.clone();
        // It cannot be internet-facing before the VPC has a way out.
        needs.extend([SecurityGroup::Balancer.part_name(), internet_gateway::PART].map(str::to_owned));
        needs
    }

    async fn observe(&self, cloud: &Cloud) -> Result<Option<Seen>, Error> {
        let Some(balancer) = find(cloud).await? else { return Ok(None) };
        note_address(cloud, balancer.dns_name(), balancer.canonical_hosted_zone_id());
        let ask = cloud.balancing.describe_load_balancer_attributes();
        let attributes = ask.load_balancer_arn(balancer.load_balancer_arn().unwrap_or_default()).send().await;
        let attributes = attributes.map_err(aws("DescribeLoadBalancerAttributes"))?.attributes.unwrap_or_default();
        Ok(Some(Seen { balancer, attributes }))
    }

    fn id(&self, seen: &Seen) -> String {
        seen.balancer.load_balancer_arn().unwrap_or_default().to_owned()
    }

    fn desired(&self, cloud: &Cloud) -> Result<Fields, Error> {
        let fields = Fields::new()
            .with("scheme", scheme(cloud).as_str())
            .with("subnets", sorted(self.0.iter().map(|part| cloud.id_or_unknown(part)).collect()))
            .with("security group", cloud.id_or_unknown(SecurityGroup::Balancer.part_name()));
        let fields = Self::attributes(cloud).into_iter().fold(fields, |fields, (key, value)| fields.with(key, value));
        Ok(marks::wanted(fields))
    }

    fn current(&self, cloud: &Cloud, seen: &Seen) -> Fields {
        let subnets = seen.balancer.availability_zones().iter();
        let subnets = subnets.filter_map(|zone| zone.subnet_id().map(str::to_owned)).collect();
        let mut fields = Fields::new()
            .with("scheme", seen.balancer.scheme().map_or("?", LoadBalancerSchemeEnum::as_str))
            .with("subnets", sorted(subnets))
            .with("security group", seen.balancer.security_groups().join(" "));
        for (key, _) in Self::attributes(cloud) {
            let value = seen.attributes.iter().find(|attribute| attribute.key() == Some(key));
            fields = fields.with_some(key, value.and_then(|attribute| attribute.value()));
        }
        marks::current(cloud, fields)
    }

    fn immutable(&self) -> &'static [&'static str] {
        &["scheme"]
    }

    async fn create(&self, cloud: &Cloud) -> Result<String, Error> {
        let (subnets, group) = (self.subnets(cloud)?, cloud.need(SecurityGroup::Balancer.part_name())?);
        let made = until_visible("the subnets and the security group", || async {
            let create = cloud.balancing.create_load_balancer().name(cloud.names.balancer());
            let create = create.r#type(LoadBalancerTypeEnum::Application).scheme(scheme(cloud));
            let create = create.set_subnets(Some(subnets.clone())).security_groups(&group);
            let create = create.set_tags(Some(target_group::tags(cloud, PART)));
            create.send().await.map_err(aws("CreateLoadBalancer"))
        });
        let made = made.await?.load_balancers.unwrap_or_default().into_iter().next();
        let made = made.ok_or_else(incomplete("CreateLoadBalancer", "LoadBalancers"))?;
        note_address(cloud, made.dns_name(), made.canonical_hosted_zone_id());
        let arn = made.load_balancer_arn.ok_or_else(incomplete("CreateLoadBalancer", "LoadBalancerArn"))?;
        Self::set_attributes(cloud, &arn).await?;
        Ok(arn)
    }

    async fn update(&self, cloud: &Cloud, seen: &Seen, changed: Changed<'_>) -> Result<(), Error> {
        let arn = self.id(seen);
        if changed.any(&["subnets"]) {
            let set = cloud.balancing.set_subnets().load_balancer_arn(&arn).set_subnets(Some(self.subnets(cloud)?));
            set.send().await.map_err(aws("SetSubnets"))?;
        }
        if changed.any(&["security group"]) {
            let group = cloud.need(SecurityGroup::Balancer.part_name())?;
            let set = cloud.balancing.set_security_groups().load_balancer_arn(&arn).security_groups(group);
            set.send().await.map_err(aws("SetSecurityGroups"))?;
        }
        if changed.any(&[IDLE, STRICT]) {
            Self::set_attributes(cloud, &arn).await?;
        }
        if marks::differs(changed) {
            target_group::add_tags(cloud, &arn, PART).await?;
        }
        Ok(())
    }

    /// Its listeners go with it.
    async fn delete(&self, cloud: &Cloud, seen: &Seen) -> Result<(), Error> {
        let delete = cloud.balancing.delete_load_balancer().load_balancer_arn(self.id(seen));
        delete.send().await.map_err(aws("DeleteLoadBalancer"))?;
        Ok(())
    }
}
