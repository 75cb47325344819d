//! Subnets: a public and a private one in each zone.

use aws_sdk_ec2::types::{AttributeBooleanValue, ResourceType, Subnet as Observed};
use futuswarm_converge::Resource;
use futuswarm_spec::Spec;
use ipnet::Ipv4Net;

use crate::components::Tier;
use crate::consistency::{until_free, until_visible};
use crate::error::{Error, failed, incomplete};
use crate::field::{Changed, Field, Fields};
use crate::{Aws, Run, components, ec2_tags, inventory};

/// A subnet; one without a place is there and not desired.
pub(crate) struct Subnet {
    component: String,
    place: Option<(Tier, String, Ipv4Net)>,
}

impl Subnet {
    /// All that the spec asks for.
    pub(crate) fn all(spec: &Spec) -> Vec<Self> {
        let of = |tier: Tier, subnets: Vec<(String, Ipv4Net)>| {
            subnets
                .into_iter()
                .map(move |(zone, cidr)| Self { component: tier.subnet(&zone), place: Some((tier, zone, cidr)) })
        };
        of(Tier::Public, spec.public_subnets()).chain(of(Tier::Private, spec.private_subnets())).collect()
    }

    /// Those that are there and that the spec does not ask for, for example because a zone was taken out.
    pub(crate) async fn orphans(aws: &Aws, run: &Run) -> Result<Vec<Self>, Error> {
        let desired: Vec<String> =
            [Tier::Public, Tier::Private].iter().flat_map(|tier| tier.subnets(&run.cluster.spec)).collect();
        let observed = run.inventory.subnets(aws).await?.iter();
        let existing = observed.filter_map(|subnet| inventory::tag(subnet.tags(), crate::names::PART_TAG));
        Ok(existing
            .filter(|component| !desired.iter().any(|desired| desired == component))
            .map(|component| Self { component: component.to_owned(), place: None })
            .collect())
    }
}

impl Resource<Run> for Subnet {
    type Observed = Observed;

    fn kind(&self) -> &'static str {
        "subnet"
    }

    fn name(&self, run: &Run) -> String {
        run.cluster.names.of(&self.component)
    }

    fn component(&self) -> String {
        self.component.clone()
    }

    fn depends_on(&self) -> Vec<String> {
        vec![components::VPC.to_owned()]
    }

    fn adoptable_prefix(&self) -> Option<&'static str> {
        Some("subnet-")
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Observed>, Error> {
        run.inventory.find(run.inventory.subnets(aws).await?, "subnets", &self.component)
    }

    fn id(&self, observed: &Observed) -> String {
        observed.subnet_id().unwrap_or_default().to_owned()
    }

    fn is_desired(&self) -> bool {
        self.place.is_some()
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        let Some((tier, zone, cidr)) = &self.place else { return Ok(Fields::new()) };
        Ok(Fields::new()
            .with(Field::Cidr, cidr)
            .with(Field::Zone, zone)
            .with(Field::Vpc, run.id_or_unknown(components::VPC))
            .with(Field::PublicAddresses, *tier == Tier::Public)
            .with_desired_tags(&run.cluster.tags(&self.component)))
    }

    fn current(&self, run: &Run, observed: &Observed) -> Fields {
        Fields::new()
            .with(Field::Cidr, observed.cidr_block().unwrap_or_default())
            .with(Field::Zone, observed.availability_zone().unwrap_or_default())
            .with(Field::Vpc, observed.vpc_id().unwrap_or_default())
            .with(Field::PublicAddresses, observed.map_public_ip_on_launch() == Some(true))
            .with_tags(inventory::pairs(observed.tags()), &run.cluster.tags(&self.component))
    }

    fn immutable(&self) -> &'static [Field] {
        const { &[Field::Cidr, Field::Zone, Field::Vpc] }
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let (tier, zone, cidr) = self.place.as_ref().ok_or_else(incomplete("CreateSubnet", "place"))?;
        let vpc = run.need(components::VPC)?;
        let made = until_visible("the VPC", || async {
            let create = aws.ec2.create_subnet().vpc_id(&vpc).availability_zone(zone).cidr_block(cidr.to_string());
            let create = create.tag_specifications(run.cluster.ec2_tags(ResourceType::Subnet, &self.component));
            create.send().await.map_err(failed("CreateSubnet"))
        });
        let id = made.await?.subnet.and_then(|subnet| subnet.subnet_id);
        let id = id.ok_or_else(incomplete("CreateSubnet", "SubnetId"))?;
        // A new subnet gives no public addresses.
        if *tier == Tier::Public {
            give_public_addresses(aws, &id, true).await?;
        }
        Ok(id)
    }

    async fn update(&self, aws: &Aws, run: &Run, observed: &Observed, changed: &Changed) -> Result<(), Error> {
        let id = self.id(observed);
        if changed.any(&[Field::PublicAddresses]) {
            let public = self.place.as_ref().is_some_and(|(tier, ..)| *tier == Tier::Public);
            give_public_addresses(aws, &id, public).await?;
        }
        if changed.tags() {
            ec2_tags::set(aws, &run.cluster, &id, &self.component).await?;
        }
        Ok(())
    }

    async fn delete(&self, aws: &Aws, _: &Run, observed: &Observed) -> Result<(), Error> {
        let id = self.id(observed);
        until_free("the subnet", || async {
            aws.ec2.delete_subnet().subnet_id(&id).send().await.map_err(failed("DeleteSubnet"))
        })
        .await?;
        Ok(())
    }
}

/// Nodes reach AWS's endpoints through the internet gateway; a NAT gateway would cost more than a small cluster.
async fn give_public_addresses(aws: &Aws, id: &str, public: bool) -> Result<(), Error> {
    until_visible("the subnet", || async {
        let flag = AttributeBooleanValue::builder().value(public).build();
        let modify = aws.ec2.modify_subnet_attribute().subnet_id(id).map_public_ip_on_launch(flag);
        modify.send().await.map_err(failed("ModifySubnetAttribute"))
    })
    .await?;
    Ok(())
}
