//! The gateway endpoint for S3: the nodes' traffic to the bucket costs nothing and never leaves AWS.

use aws_sdk_ec2::types::{ResourceType, RouteState, RouteTable, Tag, VpcEndpoint as Described, VpcEndpointType};
use futuswarm_converge::Resource;

use crate::aws::ec2_not_twice;
use crate::components::Tier;
use crate::consistency::until_visible;
use crate::error::{Error, failed, incomplete};
use crate::field::{Changed, Field, Fields};
use crate::{Aws, Run, components, ec2_tags, inventory};

/// A tag of the VPC, which every run asks for: the endpoint's id. With it the routes tell whether the endpoint is there and associated,
/// and asking for it would be a request for nothing.
const MARK: &str = "futuswarm:s3-endpoint";

pub(crate) struct S3Endpoint;

/// As AWS describes it.
pub(crate) enum Observed {
    /// It is described; with whether the mark on the VPC names it.
    Described(Box<Described>, bool),
    /// All its route tables lead to it.
    Routed(String),
}

/// The endpoint of this id, if our route tables lead to it: EC2 has such a route in exactly those that are associated with it, as
/// long as it is there.
fn routed(run: &Run, all: &[RouteTable], id: &str) -> bool {
    let leads = |component: &str| {
        let table = run.inventory.find(all, "route tables", component).ok().flatten();
        table.is_some_and(|table| {
            table.routes().iter().any(|route| {
                route.gateway_id() == Some(id)
                    && route.destination_prefix_list_id().is_some()
                    && route.state() == Some(&RouteState::Active)
            })
        })
    };
    tables().into_iter().all(leads)
}

/// What the mark on the VPC names.
async fn marked(aws: &Aws, run: &Run) -> Result<Option<String>, Error> {
    let vpc = run.inventory.find(run.inventory.vpcs(aws).await?, "VPCs", components::VPC)?;
    Ok(vpc.and_then(|vpc| inventory::tag(vpc.tags(), MARK).map(str::to_owned)))
}

async fn mark(aws: &Aws, run: &Run, id: &str) -> Result<(), Error> {
    let tag = Tag::builder().key(MARK).value(id).build();
    ec2_tags::put(&aws.ec2, &run.need(components::VPC)?, vec![tag]).await
}

fn tables() -> [&'static str; 2] {
    [Tier::Public, Tier::Private].map(Tier::route_table)
}

impl Resource<Run> for S3Endpoint {
    type Observed = Observed;

    fn kind(&self) -> &'static str {
        "S3 endpoint"
    }

    fn name(&self, run: &Run) -> String {
        run.cluster.names.of(components::S3_ENDPOINT)
    }

    fn component(&self) -> String {
        components::S3_ENDPOINT.to_owned()
    }

    fn depends_on(&self) -> Vec<String> {
        tables().into_iter().chain([components::VPC]).map(str::to_owned).collect()
    }

    fn adoptable_prefix(&self) -> Option<&'static str> {
        Some("vpce-")
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Observed>, Error> {
        let marked = marked(aws, run).await?;
        let tags_count = run.has_stale_tags() || run.overrides.adopt.contains_key(components::S3_ENDPOINT);
        if run.mode().applies()
            && !tags_count
            && let Some(id) = &marked
            && routed(run, run.inventory.route_tables(aws).await?, id)
        {
            return Ok(Some(Observed::Routed(id.clone())));
        }
        // A deleted one stays visible for a while.
        let all: Vec<Described> = run.inventory.endpoints(aws).await?.to_vec();
        let gone = |endpoint: &Described| {
            endpoint
                .state()
                .is_some_and(|state| ["deleted", "deleting"].contains(&state.as_str().to_lowercase().as_str()))
        };
        let living: Vec<Described> = all.into_iter().filter(|endpoint| !gone(endpoint)).collect();
        let observed = run.inventory.find(&living, "VPC endpoints", components::S3_ENDPOINT)?;
        Ok(observed.map(|observed| {
            let is_marked = marked.as_deref() == observed.vpc_endpoint_id();
            Observed::Described(Box::new(observed), is_marked)
        }))
    }

    fn id(&self, observed: &Observed) -> String {
        match observed {
            Observed::Described(observed, _) => observed.vpc_endpoint_id().unwrap_or_default().to_owned(),
            Observed::Routed(id) => id.clone(),
        }
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        let mut fields = Fields::new().with(Field::S3Endpoint, "set");
        for component in tables() {
            fields = fields.with(Field::RouteTable(run.id_or_unknown(component)), "associated");
        }
        Ok(fields.with_desired_tags(&run.cluster.tags(components::S3_ENDPOINT)))
    }

    fn current(&self, run: &Run, observed: &Observed) -> Fields {
        let Observed::Described(observed, is_marked) = observed else { return self.desired(run).unwrap_or_default() };
        let mut fields = Fields::new().with_some(Field::S3Endpoint, is_marked.then_some("set"));
        for table in observed.route_table_ids() {
            fields = fields.with(Field::RouteTable(table.clone()), "associated");
        }
        fields.with_tags(inventory::pairs(observed.tags()), &run.cluster.tags(components::S3_ENDPOINT))
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let vpc = run.need(components::VPC)?;
        let tables: Vec<String> =
            tables().into_iter().map(|component| run.need(component)).collect::<Result<_, _>>()?;
        let made = until_visible("the VPC and its route tables", || async {
            aws.ec2
                .create_vpc_endpoint()
                .vpc_id(&vpc)
                .vpc_endpoint_type(VpcEndpointType::Gateway)
                .service_name(format!("com.amazonaws.{}.s3", run.cluster.spec.region))
                .set_route_table_ids(Some(tables.clone()))
                .tag_specifications(run.cluster.ec2_tags(ResourceType::VpcEndpoint, components::S3_ENDPOINT))
                .customize()
                .config_override(ec2_not_twice())
                .send()
                .await
                .map_err(failed("CreateVpcEndpoint"))
        });
        let id = made.await?.vpc_endpoint.and_then(|endpoint| endpoint.vpc_endpoint_id);
        let id = id.ok_or_else(incomplete("CreateVpcEndpoint", "VpcEndpointId"))?;
        mark(aws, run, &id).await?;
        Ok(id)
    }

    async fn update(&self, aws: &Aws, run: &Run, observed: &Observed, changed: &Changed) -> Result<(), Error> {
        let id = self.id(observed);
        // What its routes tell differs in nothing.
        let Observed::Described(observed, _) = observed else { return Ok(()) };
        if changed.any_of(|field| matches!(field, Field::RouteTable(_))) {
            let desired: Vec<String> =
                tables().into_iter().map(|component| run.need(component)).collect::<Result<_, _>>()?;
            let there = observed.route_table_ids();
            let missing: Vec<String> = desired.iter().filter(|table| !there.contains(table)).cloned().collect();
            let extra: Vec<String> = there.iter().filter(|table| !desired.contains(table)).cloned().collect();
            let modify = aws.ec2.modify_vpc_endpoint().vpc_endpoint_id(&id);
            let modify = modify.set_add_route_table_ids((!missing.is_empty()).then_some(missing));
            let modify = modify.set_remove_route_table_ids((!extra.is_empty()).then_some(extra));
            modify.send().await.map_err(failed("ModifyVpcEndpoint"))?;
        }
        if changed.tags() {
            ec2_tags::set(aws, &run.cluster, &id, components::S3_ENDPOINT).await?;
        }
        // Last: from then on nobody asks for the endpoint itself.
        if changed.any(&[Field::S3Endpoint]) {
            mark(aws, run, &id).await?;
        }
        Ok(())
    }

    async fn delete(&self, aws: &Aws, _: &Run, observed: &Observed) -> Result<(), Error> {
        let delete = aws.ec2.delete_vpc_endpoints().vpc_endpoint_ids(self.id(observed));
        let answer = delete.send().await.map_err(failed("DeleteVpcEndpoints"))?;
        match answer.unsuccessful().first().and_then(|failed| failed.error()) {
            Some(error) => Err(Error::Item {
                operation: "DeleteVpcEndpoints",
                item: error.code().unwrap_or_default().to_owned(),
                reason: error.message().unwrap_or_default().to_owned(),
            }),
            None => Ok(()),
        }
    }
}
