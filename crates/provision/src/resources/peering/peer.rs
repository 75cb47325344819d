//! The other side of a peering: acceptance, routes, and the security group with the rule for LDAP.

use aws_sdk_ec2::types::{
    Filter, IpPermission, IpRange, ResourceType, Tag, TagSpecification, VpcPeeringConnectionStateReasonCode as State,
};
use futuswarm_aws::at_most_one;

use crate::error::{Error, failed, ignore_not_found, incomplete};
use crate::names::CLUSTER_TAG;
use crate::{Cluster, Run, consistency};

/// A connection is active seconds after it was accepted.
const ACTIVE: std::time::Duration = std::time::Duration::from_secs(120);

/// Accepts a connection as soon as it can be accepted, and waits until it is active.
pub(super) async fn accept(other: &aws_sdk_ec2::Client, connection: &str) -> Result<(), Error> {
    let what = format!("the peering connection {connection} to be active");
    consistency::wait(&what, ACTIVE, || async {
        let ask = other.describe_vpc_peering_connections().vpc_peering_connection_ids(connection).send().await;
        let observed = match ask.map_err(failed("DescribeVpcPeeringConnections")) {
            Ok(observed) => observed.vpc_peering_connections.unwrap_or_default().into_iter().next(),
            // The other side does not see it yet.
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error.into()),
        };
        let Some(status) = observed.and_then(|observed| observed.status) else { return Ok(None) };
        match status.code {
            Some(State::Active) => Ok(Some(())),
            Some(State::PendingAcceptance) => {
                let accept = other.accept_vpc_peering_connection().vpc_peering_connection_id(connection);
                match accept.send().await.map_err(failed("AcceptVpcPeeringConnection")) {
                    // It is accepted by now, perhaps by a call of ours whose answer was lost: its state says so.
                    Err(error) if !error.is(&["InvalidStateTransition"]) => Err(error.into()),
                    _ => Ok(None),
                }
            }
            Some(state @ (State::Failed | State::Rejected | State::Expired | State::Deleted)) => {
                Err(Error::Missing(format!(
                    "the peering connection {connection} is {state}: {}; fix the peering in the spec and run the command again",
                    status.message.unwrap_or_default()
                )))
            }
            _ => Ok(None),
        }
    })
    .await
}

/// The group's name in the other VPC, as Futuswarm's.
fn ldap_group_name(cluster: &Cluster) -> String {
    format!("allow-from-{}", cluster.spec.cluster)
}

pub(super) async fn find_ldap_group(
    cluster: &Cluster,
    other: &aws_sdk_ec2::Client,
    in_vpc: Filter,
    port: i32,
) -> Result<Option<(String, bool)>, Error> {
    let name = ldap_group_name(cluster);
    let named = Filter::builder().name("group-name").values(&name).build();
    let observed = other.describe_security_groups().filters(in_vpc).filters(named).send().await;
    let observed = observed.map_err(failed("DescribeSecurityGroups"))?.security_groups.unwrap_or_default();
    let id = |group: &aws_sdk_ec2::types::SecurityGroup| group.group_id().unwrap_or_default().to_owned();
    let Some(group) = at_most_one(format!("security groups {name}"), observed, id)? else { return Ok(None) };
    let ours = cluster.spec.network.cidr.to_string();
    let allowed = group.ip_permissions().iter().any(|permission| {
        permission.from_port() == Some(port)
            && permission.ip_ranges().iter().any(|range| range.cidr_ip() == Some(&ours))
    });
    Ok(Some((id(&group), allowed)))
}

pub(super) async fn allow_ldap(
    run: &Run,
    other: &aws_sdk_ec2::Client,
    vpc: &str,
    group: Option<String>,
    port: i32,
) -> Result<(), Error> {
    let group = match group {
        Some(group) => group,
        None => {
            let tag = Tag::builder().key(CLUSTER_TAG).value(&run.cluster.spec.cluster).build();
            let tags = TagSpecification::builder().resource_type(ResourceType::SecurityGroup).tags(tag).build();
            let create = other.create_security_group().group_name(ldap_group_name(&run.cluster)).vpc_id(vpc);
            let create = create.description("LDAP for the nodes of a Futuswarm cluster").tag_specifications(tags);
            match create.send().await.map_err(failed("CreateSecurityGroup")) {
                // By a call of ours whose answer was lost: it has the cluster's name.
                Err(error) if error.is(&["InvalidGroup.Duplicate"]) => {
                    let in_vpc = Filter::builder().name("vpc-id").values(vpc).build();
                    let observed = find_ldap_group(&run.cluster, other, in_vpc, port).await?;
                    observed.map(|(id, _)| id).ok_or(error)?
                }
                made => made?.group_id.ok_or_else(incomplete("CreateSecurityGroup", "GroupId"))?,
            }
        }
    };
    let from = IpRange::builder().cidr_ip(run.cluster.spec.network.cidr.to_string()).build();
    let rule = IpPermission::builder().ip_protocol("tcp").from_port(port).to_port(port).ip_ranges(from).build();
    let allow = other.authorize_security_group_ingress().group_id(&group).ip_permissions(rule);
    match allow.send().await.map_err(failed("AuthorizeSecurityGroupIngress")) {
        Err(error) if !error.is(&["InvalidPermission.Duplicate"]) => Err(error.into()),
        _ => {
            run.note(format!("put the security group {group} of {vpc} on the LDAP server there, once"));
            Ok(())
        }
    }
}

/// Deletes the routes of a table that lead to a peering; all of them, or only those to one network.
pub(super) async fn delete_routes(
    ec2: &aws_sdk_ec2::Client,
    table: &aws_sdk_ec2::types::RouteTable,
    peering: &str,
    network: Option<&str>,
) -> Result<(), Error> {
    for route in table.routes().iter().filter(|route| route.vpc_peering_connection_id() == Some(peering)) {
        let Some(destination) = route.destination_cidr_block() else { continue };
        if network.is_none_or(|network| network == destination) {
            let delete = ec2.delete_route().set_route_table_id(table.route_table_id.clone());
            let deleted = delete.destination_cidr_block(destination).send().await;
            ignore_not_found(deleted.map_err(failed("DeleteRoute")))?;
        }
    }
    Ok(())
}
