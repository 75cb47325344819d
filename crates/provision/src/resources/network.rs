//! The VPC: one subnet per zone, an internet gateway, one route table, and a gateway endpoint so that S3 costs no traffic.

use aws_sdk_ec2::types::{AttributeBooleanValue, Filter, ResourceType, RouteTable, Subnet, VpcEndpointType};
use futuswarm_aws::at_most_one;

use super::{Made, gone};
use crate::error::{Error, aws, incomplete};
use crate::{Action, Cloud};

/// Makes the network; notes the VPC and its subnets.
pub(super) async fn ensure(cloud: &mut Cloud, made: &mut Made) -> Result<(), Error> {
    made.vpc = find_vpc(cloud).await?;
    let cidr = cloud.spec.network.cidr.to_string();
    if made.vpc.is_none() && cloud.plan.begin(Action::Create, "VPC", &cidr) {
        let tags = cloud.ec2_tags(ResourceType::Vpc, "vpc");
        let vpc =
            cloud.ec2.create_vpc().cidr_block(&cidr).tag_specifications(tags).send().await.map_err(aws("CreateVpc"))?;
        made.vpc = vpc.vpc.and_then(|vpc| vpc.vpc_id);
    }
    let Some(vpc) = made.vpc.clone() else {
        if cloud.plan.apply {
            return Err(incomplete("CreateVpc", "VpcId")());
        }
        for (zone, subnet) in cloud.spec.subnets() {
            cloud.plan.begin(Action::Create, "subnet", &format!("{zone} {subnet}"));
        }
        return Ok(());
    };
    if cloud.plan.apply {
        // Both are idempotent and cheap; without them nodes have no names and the resolver is off.
        for (support, hostnames) in [(true, false), (false, true)] {
            let on = AttributeBooleanValue::builder().value(true).build();
            let mut modify = cloud.ec2.modify_vpc_attribute().vpc_id(&vpc);
            if support {
                modify = modify.enable_dns_support(on.clone());
            }
            if hostnames {
                modify = modify.enable_dns_hostnames(on);
            }
            modify.send().await.map_err(aws("ModifyVpcAttribute"))?;
        }
    }
    let gateway = ensure_gateway(cloud, &vpc).await?;
    let table = ensure_route_table(cloud, &vpc, gateway.as_deref()).await?;
    for (zone, cidr) in cloud.spec.subnets() {
        if let Some(subnet) = ensure_subnet(cloud, &vpc, &zone, &cidr.to_string(), table.as_ref()).await? {
            made.subnets.push(subnet);
        }
    }
    ensure_s3_endpoint(cloud, &vpc, table.as_ref().and_then(|table| table.route_table_id())).await
}

async fn find_vpc(cloud: &Cloud) -> Result<Option<String>, Error> {
    let found = cloud
        .ec2
        .describe_vpcs()
        .set_filters(Some(cloud.ec2_filters("vpc")))
        .send()
        .await
        .map_err(aws("DescribeVpcs"))?;
    let ids = found.vpcs().iter().filter_map(|vpc| vpc.vpc_id().map(str::to_owned)).collect();
    Ok(at_most_one(format!("VPCs of the cluster {}", cloud.spec.cluster), ids, String::clone)?)
}

async fn find_gateway(cloud: &Cloud) -> Result<Option<(String, bool)>, Error> {
    let found = cloud.ec2.describe_internet_gateways().set_filters(Some(cloud.ec2_filters("gateway"))).send().await;
    let found = found.map_err(aws("DescribeInternetGateways"))?;
    let all = found.internet_gateways().iter();
    let all =
        all.filter_map(|gateway| Some((gateway.internet_gateway_id()?.to_owned(), !gateway.attachments().is_empty())));
    Ok(at_most_one("internet gateways of the cluster", all.collect(), |(id, _): &(String, bool)| id.clone())?)
}

async fn ensure_gateway(cloud: &mut Cloud, vpc: &str) -> Result<Option<String>, Error> {
    let (id, attached) = match find_gateway(cloud).await? {
        Some(found) => found,
        None => {
            if !cloud.plan.begin(Action::Create, "internet gateway", vpc) {
                return Ok(None);
            }
            let tags = cloud.ec2_tags(ResourceType::InternetGateway, "gateway");
            let made = cloud.ec2.create_internet_gateway().tag_specifications(tags).send().await;
            let made = made.map_err(aws("CreateInternetGateway"))?;
            let id = made.internet_gateway.and_then(|gateway| gateway.internet_gateway_id);
            (id.ok_or_else(incomplete("CreateInternetGateway", "InternetGatewayId"))?, false)
        }
    };
    if !attached && cloud.plan.apply {
        let attach = cloud.ec2.attach_internet_gateway().internet_gateway_id(&id).vpc_id(vpc);
        attach.send().await.map_err(aws("AttachInternetGateway"))?;
    }
    Ok(Some(id))
}

async fn find_route_table(cloud: &Cloud) -> Result<Option<RouteTable>, Error> {
    let found = cloud.ec2.describe_route_tables().set_filters(Some(cloud.ec2_filters("routes"))).send().await;
    let found = found.map_err(aws("DescribeRouteTables"))?;
    let id = |table: &RouteTable| table.route_table_id().unwrap_or_default().to_owned();
    Ok(at_most_one("route tables of the cluster", found.route_tables().to_vec(), id)?)
}

async fn ensure_route_table(cloud: &mut Cloud, vpc: &str, gateway: Option<&str>) -> Result<Option<RouteTable>, Error> {
    let table = match find_route_table(cloud).await? {
        Some(table) => table,
        None => {
            if !cloud.plan.begin(Action::Create, "route table", vpc) {
                return Ok(None);
            }
            let tags = cloud.ec2_tags(ResourceType::RouteTable, "routes");
            let made = cloud.ec2.create_route_table().vpc_id(vpc).tag_specifications(tags).send().await;
            made.map_err(aws("CreateRouteTable"))?
                .route_table
                .ok_or_else(incomplete("CreateRouteTable", "RouteTable"))?
        }
    };
    let id = table.route_table_id().unwrap_or_default().to_owned();
    let outward = table.routes().iter().any(|route| route.destination_cidr_block() == Some("0.0.0.0/0"));
    if let (false, Some(gateway), true) = (outward, gateway, cloud.plan.apply) {
        let route =
            cloud.ec2.create_route().route_table_id(&id).destination_cidr_block("0.0.0.0/0").gateway_id(gateway);
        route.send().await.map_err(aws("CreateRoute"))?;
    }
    Ok(Some(table))
}

/// One subnet with its public addresses and its place in the route table, each only if it is not there yet.
async fn ensure_subnet(
    cloud: &mut Cloud,
    vpc: &str,
    zone: &str,
    cidr: &str,
    table: Option<&RouteTable>,
) -> Result<Option<String>, Error> {
    let part = format!("subnet-{zone}");
    let found = cloud.ec2.describe_subnets().set_filters(Some(cloud.ec2_filters(&part))).send().await;
    let found = found.map_err(aws("DescribeSubnets"))?;
    let ids = |subnet: &Subnet| subnet.subnet_id().unwrap_or_default().to_owned();
    let mut subnet = at_most_one(format!("subnets of the cluster in {zone}"), found.subnets().to_vec(), ids)?;
    if subnet.is_none() && cloud.plan.begin(Action::Create, "subnet", &format!("{zone} {cidr}")) {
        let tags = cloud.ec2_tags(ResourceType::Subnet, &part);
        let create =
            cloud.ec2.create_subnet().vpc_id(vpc).availability_zone(zone).cidr_block(cidr).tag_specifications(tags);
        subnet = create.send().await.map_err(aws("CreateSubnet"))?.subnet;
    }
    let Some(subnet) = subnet else { return Ok(None) };
    let id = subnet.subnet_id().ok_or_else(incomplete("CreateSubnet", "SubnetId"))?;
    // Nodes reach AWS's endpoints through the gateway; a NAT gateway would cost more than a small cluster.
    if subnet.map_public_ip_on_launch() != Some(true)
        && cloud.plan.begin(Action::Update, "subnet", &format!("{zone}: public addresses"))
    {
        let on = AttributeBooleanValue::builder().value(true).build();
        let modify = cloud.ec2.modify_subnet_attribute().subnet_id(id).map_public_ip_on_launch(on);
        modify.send().await.map_err(aws("ModifySubnetAttribute"))?;
    }
    let associated = |table: &RouteTable| table.associations().iter().any(|found| found.subnet_id() == Some(id));
    if let Some(table) = table.filter(|table| !associated(table))
        && cloud.plan.begin(Action::Update, "subnet", &format!("{zone}: routes"))
    {
        let table = table.route_table_id().unwrap_or_default();
        let associate = cloud.ec2.associate_route_table().route_table_id(table).subnet_id(id);
        associate.send().await.map_err(aws("AssociateRouteTable"))?;
    }
    Ok(Some(id.to_owned()))
}

async fn find_s3_endpoint(cloud: &Cloud) -> Result<Option<String>, Error> {
    let found = cloud.ec2.describe_vpc_endpoints().set_filters(Some(cloud.ec2_filters("s3-endpoint"))).send().await;
    let found = found.map_err(aws("DescribeVpcEndpoints"))?;
    let live = found
        .vpc_endpoints()
        .iter()
        .filter(|endpoint| endpoint.state().is_none_or(|state| state.as_str() != "deleted"));
    let ids = live.filter_map(|endpoint| endpoint.vpc_endpoint_id().map(str::to_owned)).collect();
    Ok(at_most_one("S3 endpoints of the cluster", ids, String::clone)?)
}

async fn ensure_s3_endpoint(cloud: &mut Cloud, vpc: &str, table: Option<&str>) -> Result<(), Error> {
    if find_s3_endpoint(cloud).await?.is_some() || !cloud.plan.begin(Action::Create, "S3 endpoint", vpc) {
        return Ok(());
    }
    cloud
        .ec2
        .create_vpc_endpoint()
        .vpc_id(vpc)
        .vpc_endpoint_type(VpcEndpointType::Gateway)
        .service_name(format!("com.amazonaws.{}.s3", cloud.spec.region))
        .set_route_table_ids(table.map(|table| vec![table.to_owned()]))
        .tag_specifications(cloud.ec2_tags(ResourceType::VpcEndpoint, "s3-endpoint"))
        .send()
        .await
        .map_err(aws("CreateVpcEndpoint"))?;
    Ok(())
}

/// Deletes the network.
pub(super) async fn delete(cloud: &mut Cloud) -> Result<(), Error> {
    let Some(vpc) = find_vpc(cloud).await? else { return Ok(()) };
    let ec2 = cloud.ec2.clone();
    if let Some(endpoint) = find_s3_endpoint(cloud).await? {
        let delete = async {
            ec2.delete_vpc_endpoints().vpc_endpoint_ids(&endpoint).send().await.map_err(aws("DeleteVpcEndpoints"))
        };
        gone(cloud, "S3 endpoint", &endpoint, delete).await?;
    }
    let in_vpc = Filter::builder().name("vpc-id").values(&vpc).build();
    let subnets = ec2.describe_subnets().filters(in_vpc).send().await.map_err(aws("DescribeSubnets"))?;
    for subnet in subnets.subnets().iter().filter_map(|subnet| subnet.subnet_id()) {
        let delete = async { ec2.delete_subnet().subnet_id(subnet).send().await.map_err(aws("DeleteSubnet")) };
        gone(cloud, "subnet", subnet, delete).await?;
    }
    if let Some(table) = find_route_table(cloud).await? {
        let id = table.route_table_id().unwrap_or_default().to_owned();
        let delete = async {
            for association in table.associations().iter().filter_map(|found| found.route_table_association_id()) {
                match ec2
                    .disassociate_route_table()
                    .association_id(association)
                    .send()
                    .await
                    .map_err(aws("DisassociateRouteTable"))
                {
                    Ok(_) => {}
                    Err(error) if error.is_not_found() => {}
                    Err(error) => return Err(error),
                }
            }
            ec2.delete_route_table().route_table_id(&id).send().await.map_err(aws("DeleteRouteTable"))
        };
        gone(cloud, "route table", &id, delete).await?;
    }
    if let Some((gateway, attached)) = find_gateway(cloud).await? {
        let delete = async {
            if attached {
                let detach = ec2.detach_internet_gateway().internet_gateway_id(&gateway).vpc_id(&vpc);
                detach.send().await.map_err(aws("DetachInternetGateway"))?;
            }
            ec2.delete_internet_gateway()
                .internet_gateway_id(&gateway)
                .send()
                .await
                .map_err(aws("DeleteInternetGateway"))
        };
        gone(cloud, "internet gateway", &gateway, delete).await?;
    }
    let delete = async { ec2.delete_vpc().vpc_id(&vpc).send().await.map_err(aws("DeleteVpc")) };
    gone(cloud, "VPC", &vpc, delete).await
}
