//! The VPC.

use aws_sdk_ec2::types::{AttributeBooleanValue, ResourceType, Tag, Vpc as Observed};
use futuswarm_converge::Resource;

use super::fingerprint;
use crate::aws::ec2_not_twice;
use crate::consistency::{until_free, until_visible};
use crate::error::{Error, failed, incomplete};
use crate::field::{Changed, Field, Fields};
use crate::{Aws, Run, components, ec2_tags, inventory};

/// A tag that says that the VPC gives its instances names: asking EC2 for the attribute would be a request of its own.
const HOSTNAMES: &str = "futuswarm:dns-hostnames";

pub(crate) struct Vpc;

impl Resource<Run> for Vpc {
    type Observed = Observed;

    fn kind(&self) -> &'static str {
        "VPC"
    }

    fn name(&self, run: &Run) -> String {
        run.cluster.names.of(components::VPC)
    }

    fn component(&self) -> String {
        components::VPC.to_owned()
    }

    fn adoptable_prefix(&self) -> Option<&'static str> {
        Some("vpc-")
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Observed>, Error> {
        run.inventory.find(run.inventory.vpcs(aws).await?, "VPCs", components::VPC)
    }

    fn id(&self, observed: &Observed) -> String {
        observed.vpc_id().unwrap_or_default().to_owned()
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        let fields = Fields::new().with(Field::Cidr, run.cluster.spec.network.cidr).with(Field::DnsHostnames, "on");
        Ok(fields.with_desired_tags(&run.cluster.tags(components::VPC)))
    }

    fn current(&self, run: &Run, observed: &Observed) -> Fields {
        Fields::new()
            .with(Field::Cidr, observed.cidr_block().unwrap_or_default())
            .with_some(Field::DnsHostnames, inventory::tag(observed.tags(), HOSTNAMES))
            .with_tags(inventory::pairs(observed.tags()), &run.cluster.tags(components::VPC))
    }

    fn immutable(&self) -> &'static [Field] {
        const { &[Field::Cidr] }
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let create = aws.ec2.create_vpc().cidr_block(run.cluster.spec.network.cidr.to_string());
        // Whatever is made from here on has the spec's tags, also when this call's answer is lost.
        let mut tags = run.cluster.ec2_tags(ResourceType::Vpc, components::VPC);
        tags.tags.get_or_insert_default().extend(fingerprint::new(&run.cluster));
        let made = create.tag_specifications(tags).customize().config_override(ec2_not_twice()).send().await;
        let made = made.map_err(failed("CreateVpc"))?.vpc.and_then(|vpc| vpc.vpc_id);
        let id = made.ok_or_else(incomplete("CreateVpc", "VpcId"))?;
        name_hosts(aws, &id).await?;
        Ok(id)
    }

    async fn update(&self, aws: &Aws, run: &Run, observed: &Observed, changed: &Changed) -> Result<(), Error> {
        let id = self.id(observed);
        if changed.any(&[Field::DnsHostnames]) {
            name_hosts(aws, &id).await?;
        }
        if changed.tags() {
            ec2_tags::set(aws, &run.cluster, &id, components::VPC).await?;
        }
        Ok(())
    }

    async fn delete(&self, aws: &Aws, _: &Run, observed: &Observed) -> Result<(), Error> {
        let id = self.id(observed);
        until_free("the VPC", || async { aws.ec2.delete_vpc().vpc_id(&id).send().await.map_err(failed("DeleteVpc")) })
            .await?;
        Ok(())
    }
}

/// Without it instances have no names, and load balancers' names do not resolve to private addresses.
async fn name_hosts(aws: &Aws, id: &str) -> Result<(), Error> {
    until_visible("the VPC", || async {
        let on = AttributeBooleanValue::builder().value(true).build();
        let modify = aws.ec2.modify_vpc_attribute().vpc_id(id).enable_dns_hostnames(on);
        modify.send().await.map_err(failed("ModifyVpcAttribute"))
    })
    .await?;
    let tag = Tag::builder().key(HOSTNAMES).value("on").build();
    ec2_tags::put(&aws.ec2, id, vec![tag]).await
}
