//! The gateway endpoint for S3: the nodes' traffic to the bucket costs nothing and never leaves AWS.

use aws_sdk_ec2::types::{ResourceType, VpcEndpoint as Found, VpcEndpointType};

use super::route_table::Table;
use super::subnet::Tier;
use super::vpc;
use crate::Cloud;
use crate::engine::Resource;
use crate::error::{Error, aws, incomplete};
use crate::plan::{Changed, Fields};
use crate::settle::until_visible;
use crate::world;

const PART: &str = "s3-endpoint";

/// The endpoint.
pub(crate) struct S3Endpoint;

fn tables() -> [&'static str; 2] {
    [Tier::Public, Tier::Private].map(Table::part_of)
}

impl Resource for S3Endpoint {
    type Found = Found;

    fn kind(&self) -> &'static str {
        "S3 endpoint"
    }

    fn name(&self, cloud: &Cloud) -> String {
        cloud.names.of(PART)
    }

    fn part(&self) -> String {
        PART.to_owned()
    }

    fn needs(&self) -> Vec<String> {
        tables().into_iter().chain([vpc::PART]).map(str::to_owned).collect()
    }

    fn adopts(&self) -> Option<&'static str> {
        Some("vpce-")
    }

    async fn observe(&self, cloud: &Cloud) -> Result<Option<Found>, Error> {
        // A deleted one stays visible for a while.
        let all: Vec<Found> = cloud.world.endpoints(cloud).await?.to_vec();
        let gone = |endpoint: &Found| {
            endpoint
                .state()
                .is_some_and(|state| ["deleted", "deleting"].contains(&state.as_str().to_lowercase().as_str()))
        };
        let living: Vec<Found> = all.into_iter().filter(|endpoint| !gone(endpoint)).collect();
        world::part(cloud, &living, "VPC endpoints", PART)
    }

    fn id(&self, found: &Found) -> String {
        found.vpc_endpoint_id().unwrap_or_default().to_owned()
    }

    fn wanted(&self, cloud: &Cloud) -> Result<Fields, Error> {
        let mut fields = Fields::new();
        for part in tables() {
            fields = fields.with(format!("route table {}", cloud.id_or_unknown(part)), "associated");
        }
        Ok(fields.with_wanted_tags(&cloud.tags(PART)))
    }

    fn current(&self, cloud: &Cloud, found: &Found) -> Fields {
        let mut fields = Fields::new();
        for table in found.route_table_ids() {
            fields = fields.with(format!("route table {table}"), "associated");
        }
        fields.with_tags(world::pairs(found.tags()), &cloud.tags(PART))
    }

    async fn create(&self, cloud: &Cloud) -> Result<String, Error> {
        let vpc = cloud.need(vpc::PART)?;
        let tables: Vec<String> = tables().into_iter().map(|part| cloud.need(part)).collect::<Result<_, _>>()?;
        let made = until_visible("the VPC and its route tables", || async {
            cloud
                .ec2
                .create_vpc_endpoint()
                .vpc_id(&vpc)
                .vpc_endpoint_type(VpcEndpointType::Gateway)
                .service_name(format!("com.amazonaws.{}.s3", cloud.spec.region))
                .set_route_table_ids(Some(tables.clone()))
                .tag_specifications(cloud.ec2_tags(ResourceType::VpcEndpoint, PART))
                .send()
                .await
                .map_err(aws("CreateVpcEndpoint"))
        });
        let id = made.await?.vpc_endpoint.and_then(|endpoint| endpoint.vpc_endpoint_id);
        id.ok_or_else(incomplete("CreateVpcEndpoint", "VpcEndpointId"))
    }

    async fn update(&self, cloud: &Cloud, found: &Found, changed: Changed<'_>) -> Result<(), Error> {
        let id = self.id(found);
        if changed.any_with_prefix("route table ") {
            let wanted: Vec<String> = tables().into_iter().map(|part| cloud.need(part)).collect::<Result<_, _>>()?;
            let there = found.route_table_ids();
            let missing: Vec<String> = wanted.iter().filter(|table| !there.contains(table)).cloned().collect();
            let extra: Vec<String> = there.iter().filter(|table| !wanted.contains(table)).cloned().collect();
            let modify = cloud.ec2.modify_vpc_endpoint().vpc_endpoint_id(&id);
            let modify = modify.set_add_route_table_ids((!missing.is_empty()).then_some(missing));
            let modify = modify.set_remove_route_table_ids((!extra.is_empty()).then_some(extra));
            modify.send().await.map_err(aws("ModifyVpcEndpoint"))?;
        }
        if changed.tags() {
            cloud.tag_ec2(&id, PART).await?;
        }
        Ok(())
    }

    async fn delete(&self, cloud: &Cloud, found: &Found) -> Result<(), Error> {
        let delete = cloud.ec2.delete_vpc_endpoints().vpc_endpoint_ids(self.id(found));
        let answer = delete.send().await.map_err(aws("DeleteVpcEndpoints"))?;
        match answer.unsuccessful().first().and_then(|failed| failed.error()) {
            Some(error) => Err(Error::Missing(format!(
                "DeleteVpcEndpoints: {}: {}",
                error.code().unwrap_or_default(),
                error.message().unwrap_or_default()
            ))),
            None => Ok(()),
        }
    }
}
