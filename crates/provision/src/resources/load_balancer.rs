//! The application load balancer in front of every node's edge.

use aws_sdk_elasticloadbalancingv2::types::{
    LoadBalancer as Described, LoadBalancerAttribute, LoadBalancerSchemeEnum, LoadBalancerTypeEnum,
};
use futuswarm_converge::Resource;

use super::{fingerprint, tags};
use crate::consistency::until_visible;
use crate::error::{Error, failed, incomplete};
use crate::field::{Changed, Field, Fields, sorted};
use crate::{Aws, Cluster, Run, components};

const IDLE: &str = "idle_timeout.timeout_seconds";
/// Headers that HTTP does not allow have no business behind the balancer.
const STRICT: &str = "routing.http.drop_invalid_header_fields.enabled";

/// The balancer, with the components of its subnets.
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
pub(crate) fn address(run: &Run) -> Option<Address> {
    Some(Address { name: run.id(DNS_NAME)?, zone: run.id(DNS_ZONE)? })
}

pub(crate) fn note_address(run: &Run, name: Option<&str>, zone: Option<&str>) {
    run.note_id(DNS_NAME.to_owned(), name.unwrap_or_default().to_owned());
    run.note_id(DNS_ZONE.to_owned(), zone.unwrap_or_default().to_owned());
}

pub(crate) fn scheme(cluster: &Cluster) -> LoadBalancerSchemeEnum {
    match cluster.spec.load_balancer.internal {
        true => LoadBalancerSchemeEnum::Internal,
        false => LoadBalancerSchemeEnum::InternetFacing,
    }
}

/// As AWS describes it.
pub(crate) struct Observed {
    balancer: Described,
    attributes: Vec<LoadBalancerAttribute>,
}

/// The balancer, without its attributes.
pub(crate) async fn find(aws: &Aws, cluster: &Cluster) -> Result<Option<Described>, Error> {
    let ask = aws.balancing.describe_load_balancers().names(cluster.names.balancer());
    match ask.send().await.map_err(failed("DescribeLoadBalancers")) {
        Ok(observed) => Ok(observed.load_balancers.unwrap_or_default().into_iter().next()),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl LoadBalancer {
    fn subnets(&self, run: &Run) -> Result<Vec<String>, Error> {
        self.0.iter().map(|component| run.need(component)).collect()
    }

    fn attributes(cluster: &Cluster) -> [(Field, &'static str, String); 2] {
        let idle = cluster.spec.load_balancer.idle_timeout_seconds.to_string();
        [(Field::AttributeIdleTimeout, IDLE, idle), (Field::AttributeDropInvalidHeaders, STRICT, true.to_string())]
    }

    async fn set_attributes(aws: &Aws, cluster: &Cluster, arn: &str) -> Result<(), Error> {
        until_visible("the load balancer", || async {
            let all = Self::attributes(cluster).into_iter();
            let all =
                all.map(|(_, key, value)| LoadBalancerAttribute::builder().key(key).value(value).build()).collect();
            let modify = aws.balancing.modify_load_balancer_attributes().load_balancer_arn(arn);
            modify.set_attributes(Some(all)).send().await.map_err(failed("ModifyLoadBalancerAttributes"))
        })
        .await?;
        Ok(())
    }
}

impl Resource<Run> for LoadBalancer {
    type Observed = Observed;

    fn kind(&self) -> &'static str {
        "load balancer"
    }

    fn name(&self, run: &Run) -> String {
        run.cluster.names.balancer()
    }

    fn component(&self) -> String {
        components::LOAD_BALANCER.to_owned()
    }

    fn depends_on(&self) -> Vec<String> {
        let mut depends_on = self.0.clone();
        // It cannot be internet-facing before the VPC has a way out.
        depends_on.extend([components::SECURITY_BALANCER, components::INTERNET_GATEWAY].map(str::to_owned));
        depends_on
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Observed>, Error> {
        let Some(balancer) = find(aws, &run.cluster).await? else { return Ok(None) };
        note_address(run, balancer.dns_name(), balancer.canonical_hosted_zone_id());
        let ask = aws.balancing.describe_load_balancer_attributes();
        let attributes = ask.load_balancer_arn(balancer.load_balancer_arn().unwrap_or_default()).send().await;
        let attributes = attributes.map_err(failed("DescribeLoadBalancerAttributes"))?.attributes.unwrap_or_default();
        Ok(Some(Observed { balancer, attributes }))
    }

    fn id(&self, observed: &Observed) -> String {
        observed.balancer.load_balancer_arn().unwrap_or_default().to_owned()
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        let fields = Fields::new()
            .with(Field::Scheme, scheme(&run.cluster).as_str())
            .with(Field::Subnets, sorted(self.0.iter().map(|component| run.id_or_unknown(component))))
            .with(Field::SecurityGroup, run.id_or_unknown(components::SECURITY_BALANCER));
        let fields = Self::attributes(&run.cluster)
            .into_iter()
            .fold(fields, |fields, (field, _, value)| fields.with(field, value));
        Ok(fingerprint::desired(fields))
    }

    fn current(&self, run: &Run, observed: &Observed) -> Fields {
        let subnets = observed.balancer.availability_zones().iter();
        let subnets = subnets.filter_map(|zone| zone.subnet_id());
        let mut fields = Fields::new()
            .with(Field::Scheme, observed.balancer.scheme().map_or("?", LoadBalancerSchemeEnum::as_str))
            .with(Field::Subnets, sorted(subnets))
            .with(Field::SecurityGroup, observed.balancer.security_groups().join(" "));
        for (field, key, _) in Self::attributes(&run.cluster) {
            let value = observed.attributes.iter().find(|attribute| attribute.key() == Some(key));
            fields = fields.with_some(field, value.and_then(|attribute| attribute.value()));
        }
        fingerprint::current(run, fields)
    }

    fn immutable(&self) -> &'static [Field] {
        const { &[Field::Scheme] }
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let (subnets, group) = (self.subnets(run)?, run.need(components::SECURITY_BALANCER)?);
        let made = until_visible("the subnets and the security group", || async {
            let create = aws.balancing.create_load_balancer().name(run.cluster.names.balancer());
            let create = create.r#type(LoadBalancerTypeEnum::Application).scheme(scheme(&run.cluster));
            let create = create.set_subnets(Some(subnets.clone())).security_groups(&group);
            let create = create.set_tags(Some(tags::balancing(&run.cluster, components::LOAD_BALANCER)));
            create.send().await.map_err(failed("CreateLoadBalancer"))
        });
        let made = made.await?.load_balancers.unwrap_or_default().into_iter().next();
        let made = made.ok_or_else(incomplete("CreateLoadBalancer", "LoadBalancers"))?;
        note_address(run, made.dns_name(), made.canonical_hosted_zone_id());
        let arn = made.load_balancer_arn.ok_or_else(incomplete("CreateLoadBalancer", "LoadBalancerArn"))?;
        Self::set_attributes(aws, &run.cluster, &arn).await?;
        Ok(arn)
    }

    async fn update(&self, aws: &Aws, run: &Run, observed: &Observed, changed: &Changed) -> Result<(), Error> {
        let arn = self.id(observed);
        if changed.any(&[Field::Subnets]) {
            let set = aws.balancing.set_subnets().load_balancer_arn(&arn).set_subnets(Some(self.subnets(run)?));
            set.send().await.map_err(failed("SetSubnets"))?;
        }
        if changed.any(&[Field::SecurityGroup]) {
            let group = run.need(components::SECURITY_BALANCER)?;
            let set = aws.balancing.set_security_groups().load_balancer_arn(&arn).security_groups(group);
            set.send().await.map_err(failed("SetSecurityGroups"))?;
        }
        if changed.any(&[Field::AttributeIdleTimeout, Field::AttributeDropInvalidHeaders]) {
            Self::set_attributes(aws, &run.cluster, &arn).await?;
        }
        if fingerprint::differs(changed) {
            tags::put_balancing(aws, &run.cluster, &arn, components::LOAD_BALANCER).await?;
        }
        Ok(())
    }

    /// Its listeners go with it.
    async fn delete(&self, aws: &Aws, _: &Run, observed: &Observed) -> Result<(), Error> {
        let delete = aws.balancing.delete_load_balancer().load_balancer_arn(self.id(observed));
        delete.send().await.map_err(failed("DeleteLoadBalancer"))?;
        Ok(())
    }
}
