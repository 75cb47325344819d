//! The VPC.

use aws_sdk_ec2::types::{AttributeBooleanValue, ResourceType, Tag, Vpc as Found};

use super::marks;
use crate::cloud::ec2_not_twice;
use crate::consistency::{until_free, until_visible};
use crate::error::{Error, aws, incomplete};
use crate::{Cloud, ec2_tags, world};
use futuswarm_converge::{Changed, Fields, Resource};

pub(crate) const PART: &str = "vpc";
/// A tag that says that the VPC gives its instances names: asking EC2 for the attribute would be a request of its own.
const HOSTNAMES: &str = "futuswarm:dns-hostnames";

/// The cluster's VPC.
pub(crate) struct Vpc;

impl Resource<Cloud> for Vpc {
    type Observed = Found;

    fn kind(&self) -> &'static str {
        "VPC"
    }

    fn name(&self, cloud: &Cloud) -> String {
        cloud.names.of(PART)
    }

    fn component(&self) -> String {
        PART.to_owned()
    }

    fn adoptable_prefix(&self) -> Option<&'static str> {
        Some("vpc-")
    }

    async fn observe(&self, cloud: &Cloud) -> Result<Option<Found>, Error> {
        world::part(cloud, cloud.world.vpcs(cloud).await?, "VPCs", PART)
    }

    fn id(&self, found: &Found) -> String {
        found.vpc_id().unwrap_or_default().to_owned()
    }

    fn desired(&self, cloud: &Cloud) -> Result<Fields, Error> {
        let fields = Fields::new().with("CIDR", cloud.spec.network.cidr).with(HOSTNAMES, "on");
        Ok(fields.with_desired_tags(&cloud.tags(PART)))
    }

    fn current(&self, cloud: &Cloud, found: &Found) -> Fields {
        Fields::new()
            .with("CIDR", found.cidr_block().unwrap_or_default())
            .with_some(HOSTNAMES, world::tag(found.tags(), HOSTNAMES))
            .with_tags(world::pairs(found.tags()), &cloud.tags(PART))
    }

    fn immutable(&self) -> &'static [&'static str] {
        &["CIDR"]
    }

    async fn create(&self, cloud: &Cloud) -> Result<String, Error> {
        let create = cloud.ec2.create_vpc().cidr_block(cloud.spec.network.cidr.to_string());
        // Whatever is made from here on has the spec's tags, also when this call's answer is lost.
        let mut tags = cloud.ec2_tags(ResourceType::Vpc, PART);
        tags.tags.get_or_insert_default().extend(marks::new(cloud));
        let made = create.tag_specifications(tags).customize().config_override(ec2_not_twice()).send().await;
        let made = made.map_err(aws("CreateVpc"))?.vpc.and_then(|vpc| vpc.vpc_id);
        let id = made.ok_or_else(incomplete("CreateVpc", "VpcId"))?;
        name_hosts(cloud, &id).await?;
        Ok(id)
    }

    async fn update(&self, cloud: &Cloud, found: &Found, changed: Changed<'_>) -> Result<(), Error> {
        let id = self.id(found);
        if changed.any(&[HOSTNAMES]) {
            name_hosts(cloud, &id).await?;
        }
        if changed.tags() {
            cloud.tag_ec2(&id, PART).await?;
        }
        Ok(())
    }

    async fn delete(&self, cloud: &Cloud, found: &Found) -> Result<(), Error> {
        let id = self.id(found);
        until_free("the VPC", || async { cloud.ec2.delete_vpc().vpc_id(&id).send().await.map_err(aws("DeleteVpc")) })
            .await?;
        Ok(())
    }
}

/// Without it instances have no names, and load balancers' names do not resolve to private addresses.
async fn name_hosts(cloud: &Cloud, id: &str) -> Result<(), Error> {
    until_visible("the VPC", || async {
        let on = AttributeBooleanValue::builder().value(true).build();
        let modify = cloud.ec2.modify_vpc_attribute().vpc_id(id).enable_dns_hostnames(on);
        modify.send().await.map_err(aws("ModifyVpcAttribute"))
    })
    .await?;
    let tag = Tag::builder().key(HOSTNAMES).value("on").build();
    ec2_tags::put(&cloud.ec2, id, vec![tag]).await
}
