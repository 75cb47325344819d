//! ModifyVpcEndpoint: a route table of a gateway endpoint has a route to it, which comes and goes with the association. The emulator
//! makes that route with a new endpoint only.

use aws_sdk_ec2::types::Filter;
use futuswarm_aws::Error as AwsError;
use http::Response;

use super::request::{OperationRequest, Outcome, whole};
use crate::clients::Clients;
use crate::server::Body;

/// The routes to gateway endpoints.
pub struct EndpointRoutes(Clients);

impl EndpointRoutes {
    /// Routes of an account whose emulator is asked by the bypass.
    pub fn new(inner: Clients) -> Self {
        Self(inner)
    }

    /// Makes and removes the routes of a change that the emulator accepts.
    pub async fn modify(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let form = &asked.call.form;
        let Some(endpoint) = form.get("VpcEndpointId") else { return Ok(None) };
        let (head, body) = asked.forward_unchanged().await?;
        let (added, removed) = (form.list("AddRouteTableId"), form.list("RemoveRouteTableId"));
        if head.status.is_success() && !(added.is_empty() && removed.is_empty()) {
            self.follow(endpoint, &added, &removed).await?;
        }
        Ok(Some(whole(head, body)))
    }

    async fn follow(&self, endpoint: &str, added: &[&str], removed: &[&str]) -> Result<(), AwsError> {
        let Some(prefixes) = self.prefixes(endpoint).await? else { return Ok(()) };
        for table in added {
            let create = self.0.ec2.create_route().route_table_id(*table).destination_prefix_list_id(&prefixes);
            let made = create.gateway_id(endpoint).send().await;
            made.map_err(|error| AwsError::new("CreateRoute", error))?;
        }
        for table in removed {
            let delete = self.0.ec2.delete_route().route_table_id(*table).destination_prefix_list_id(&prefixes);
            match delete.send().await.map_err(|error| AwsError::new("DeleteRoute", error)) {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// The list of networks behind an endpoint; none when it is not a gateway.
    async fn prefixes(&self, endpoint: &str) -> Result<Option<String>, AwsError> {
        let ask = self.0.ec2.describe_vpc_endpoints().vpc_endpoint_ids(endpoint).send().await;
        let found = ask.map_err(|error| AwsError::new("DescribeVpcEndpoints", error))?;
        let service = found.vpc_endpoints().first().and_then(|found| found.service_name()).map(str::to_owned);
        let name = Filter::builder().name("prefix-list-name").set_values(service.map(|service| vec![service])).build();
        let ask = self.0.ec2.describe_managed_prefix_lists().filters(name).send().await;
        let lists = ask.map_err(|error| AwsError::new("DescribeManagedPrefixLists", error))?;
        Ok(lists.prefix_lists().first().and_then(|list| list.prefix_list_id()).map(str::to_owned))
    }
}
