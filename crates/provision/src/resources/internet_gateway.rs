//! The internet gateway: the public subnets' way out.

use aws_sdk_ec2::types::{InternetGateway as Described, ResourceType, RouteState, RouteTable};
use futuswarm_converge::Resource;

use crate::aws::ec2_not_twice;
use crate::components::Tier;
use crate::consistency::{until_free, until_visible};
use crate::error::{Error, failed, incomplete};
use crate::field::{Changed, Field, Fields};
use crate::{Aws, Run, components, ec2_tags, inventory};

pub(crate) struct InternetGateway;

/// As AWS describes it.
pub(crate) enum Observed {
    /// With all that a Describe call tells.
    Described(Described),
    /// The public route table leads to it, so it is there and attached: a request less.
    Routed(String),
}

/// The gateway behind the public subnets' way out.
fn routed(run: &Run, tables: &[RouteTable]) -> Option<String> {
    let public = Tier::Public.route_table();
    let table = run.inventory.find(tables, "route tables", public).ok()??;
    let route = table.routes().iter().find(|route| route.destination_cidr_block() == Some("0.0.0.0/0"))?;
    let living = route.state() == Some(&RouteState::Active);
    route.gateway_id().filter(|id| living && id.starts_with("igw-")).map(str::to_owned)
}

impl Resource<Run> for InternetGateway {
    type Observed = Observed;

    fn kind(&self) -> &'static str {
        "internet gateway"
    }

    fn name(&self, run: &Run) -> String {
        run.cluster.names.of(components::INTERNET_GATEWAY)
    }

    fn component(&self) -> String {
        components::INTERNET_GATEWAY.to_owned()
    }

    fn depends_on(&self) -> Vec<String> {
        vec![components::VPC.to_owned()]
    }

    fn adoptable_prefix(&self) -> Option<&'static str> {
        Some("igw-")
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Observed>, Error> {
        let tags_count = run.has_stale_tags() || run.overrides.adopt.contains_key(components::INTERNET_GATEWAY);
        if run.mode().applies()
            && !tags_count
            && let Some(id) = routed(run, run.inventory.route_tables(aws).await?)
        {
            return Ok(Some(Observed::Routed(id)));
        }
        let observed = run.inventory.find(
            run.inventory.gateways(aws).await?,
            "internet gateways",
            components::INTERNET_GATEWAY,
        )?;
        Ok(observed.map(Observed::Described))
    }

    fn id(&self, observed: &Observed) -> String {
        match observed {
            Observed::Described(observed) => observed.internet_gateway_id().unwrap_or_default().to_owned(),
            Observed::Routed(id) => id.clone(),
        }
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        Ok(Fields::new()
            .with(Field::AttachedTo, run.id_or_unknown(components::VPC))
            .with_desired_tags(&run.cluster.tags(components::INTERNET_GATEWAY)))
    }

    fn current(&self, run: &Run, observed: &Observed) -> Fields {
        let Observed::Described(observed) = observed else {
            let attached = Fields::new().with(Field::AttachedTo, run.id_or_unknown(components::VPC));
            return attached.with_desired_tags(&run.cluster.tags(components::INTERNET_GATEWAY));
        };
        let attached = observed.attachments().iter().find_map(|attachment| attachment.vpc_id());
        Fields::new()
            .with_some(Field::AttachedTo, attached)
            .with_tags(inventory::pairs(observed.tags()), &run.cluster.tags(components::INTERNET_GATEWAY))
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let create = aws.ec2.create_internet_gateway();
        let create = create
            .tag_specifications(run.cluster.ec2_tags(ResourceType::InternetGateway, components::INTERNET_GATEWAY));
        let made = create.customize().config_override(ec2_not_twice()).send().await;
        let made = made.map_err(failed("CreateInternetGateway"))?.internet_gateway;
        let id = made.and_then(|made| made.internet_gateway_id);
        let id = id.ok_or_else(incomplete("CreateInternetGateway", "InternetGatewayId"))?;
        if let Err(error) = attach(aws, run, &id).await {
            // One that is not attached would stand in the way of the VPC's own, once that is adopted.
            let delete = aws.ec2.delete_internet_gateway().internet_gateway_id(&id).send().await;
            if let Err(left) = delete.map_err(failed("DeleteInternetGateway")) {
                run.note(format!("the internet gateway {id} is left, attached to nothing: {left}"));
            }
            return Err(error);
        }
        Ok(id)
    }

    async fn update(&self, aws: &Aws, run: &Run, observed: &Observed, changed: &Changed) -> Result<(), Error> {
        let id = self.id(observed);
        if changed.any(&[Field::AttachedTo]) {
            detach(aws, observed).await?;
            attach(aws, run, &id).await?;
        }
        if changed.tags() {
            ec2_tags::set(aws, &run.cluster, &id, components::INTERNET_GATEWAY).await?;
        }
        Ok(())
    }

    async fn delete(&self, aws: &Aws, _: &Run, observed: &Observed) -> Result<(), Error> {
        detach(aws, observed).await?;
        let id = self.id(observed);
        let delete = aws.ec2.delete_internet_gateway().internet_gateway_id(id);
        delete.send().await.map_err(failed("DeleteInternetGateway"))?;
        Ok(())
    }
}

async fn attach(aws: &Aws, run: &Run, id: &str) -> Result<(), Error> {
    let vpc = run.need(components::VPC)?;
    let attached = until_visible("the internet gateway", || async {
        let attach = aws.ec2.attach_internet_gateway().internet_gateway_id(id).vpc_id(&vpc);
        attach.send().await.map_err(failed("AttachInternetGateway"))
    });
    match attached.await {
        // Perhaps by a call of ours whose answer was lost.
        Err(error) if error.is(&["Resource.AlreadyAssociated"]) && is_attached(aws, id, &vpc).await? => Ok(()),
        attached => {
            attached?;
            Ok(())
        }
    }
}

async fn is_attached(aws: &Aws, id: &str, vpc: &str) -> Result<bool, Error> {
    let ask = aws.ec2.describe_internet_gateways().internet_gateway_ids(id).send().await;
    let observed = ask.map_err(failed("DescribeInternetGateways"))?.internet_gateways.unwrap_or_default();
    let mut attachments = observed.iter().flat_map(|gateway| gateway.attachments());
    Ok(attachments.any(|attachment| attachment.vpc_id() == Some(vpc)))
}

async fn detach(aws: &Aws, observed: &Observed) -> Result<(), Error> {
    let Observed::Described(observed) = observed else { return Ok(()) };
    let id = observed.internet_gateway_id().unwrap_or_default();
    for vpc in observed.attachments().iter().filter_map(|attachment| attachment.vpc_id()) {
        // It waits for the last public address of the VPC.
        until_free("the internet gateway", || async {
            let detach = aws.ec2.detach_internet_gateway().internet_gateway_id(id).vpc_id(vpc);
            detach.send().await.map_err(failed("DetachInternetGateway"))
        })
        .await?;
    }
    Ok(())
}
