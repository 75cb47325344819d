//! Peerings with other VPCs: the connection, its acceptance, the routes back to us, and the rule that lets nodes ask the LDAP
//! server there. What another account has to do itself is said in a note.

use aws_sdk_ec2::config::SharedCredentialsProvider;
use aws_sdk_ec2::types::{
    Filter, IpPermission, IpRange, ResourceType, RouteState, Tag, TagSpecification, VpcPeeringConnection as Found,
    VpcPeeringConnectionStateReasonCode as State,
};
use futuswarm_aws::at_most_one;
use futuswarm_spec::Peering as Wanted;

use super::vpc;
use crate::Cloud;
use crate::engine::Resource;
use crate::error::{Error, aws, incomplete};
use crate::names::CLUSTER_TAG;
use crate::plan::{Changed, Fields};
use crate::settle::until_visible;
use crate::world;

/// How long the other side's credentials live, in seconds; the shortest that AWS gives.
const SECONDS: i32 = 900;

/// One peering; one that is not wanted has no settings.
pub(crate) struct Peering {
    name: String,
    wanted: Option<Wanted>,
}

/// What was seen of it, on both sides.
pub(crate) struct Seen {
    connection: Found,
    there: Option<There>,
}

/// What was seen in the other VPC; absent when we may not look.
struct There {
    /// Route tables without the route to us.
    unrouted: Vec<String>,
    /// The group with the LDAP rule: id, and whether it has the rule.
    ldap: Option<(String, bool)>,
}

pub(crate) fn part(name: &str) -> String {
    format!("peering-{name}")
}

impl Peering {
    pub(crate) fn all(spec: &futuswarm_spec::Spec) -> Vec<Self> {
        spec.peering.iter().map(|(name, wanted)| Self { name: name.clone(), wanted: Some(wanted.clone()) }).collect()
    }

    pub(crate) async fn strays(cloud: &Cloud) -> Result<Vec<Self>, Error> {
        // A peering of ours has routes in our tables, and these were asked for already.
        let tables = cloud.world.route_tables(cloud).await?.iter();
        let mut routes = tables.flat_map(|table| table.routes());
        if cloud.spec.peering.is_empty() && !routes.any(|route| route.vpc_peering_connection_id().is_some()) {
            return Ok(Vec::new());
        }
        let found = cloud.world.peerings(cloud).await?.iter();
        let names = found.filter(|one| lives(one)).filter_map(|one| {
            world::tag(one.tags(), crate::names::PART_TAG)?.strip_prefix("peering-").map(str::to_owned)
        });
        Ok(names
            .filter(|name| !cloud.spec.peering.contains_key(name))
            .map(|name| Self { name, wanted: None })
            .collect())
    }

    /// EC2 on the other side, if we may act there.
    async fn other_side(&self, cloud: &Cloud) -> Result<Option<aws_sdk_ec2::Client>, Error> {
        let Some(wanted) = &self.wanted else { return Ok(None) };
        let mut config = aws_sdk_ec2::config::Builder::from(&cloud.sdk);
        if let Some(region) = &wanted.region {
            config = config.region(futuswarm_aws::Region::new(region.clone()));
        }
        match &wanted.role_arn {
            Some(arn) => {
                let session = format!("futuswarm-{}", cloud.spec.cluster);
                let assume = cloud.sts.assume_role().role_arn(arn).role_session_name(session).duration_seconds(SECONDS);
                let assumed = assume.send().await.map_err(aws("AssumeRole"))?;
                let keys = assumed.credentials.ok_or_else(incomplete("AssumeRole", "Credentials"))?;
                let keys = aws_sdk_ec2::config::Credentials::new(
                    keys.access_key_id,
                    keys.secret_access_key,
                    Some(keys.session_token),
                    None,
                    "the other side of the peering",
                );
                config = config.credentials_provider(SharedCredentialsProvider::new(keys));
            }
            None if wanted.account.as_ref().is_some_and(|account| *account != cloud.names.account) => return Ok(None),
            None => {}
        }
        Ok(Some(aws_sdk_ec2::Client::from_conf(config.build())))
    }

    /// The ports of the LDAP server, when nodes may ask it.
    fn ldap_port(&self, cloud: &Cloud) -> Option<i32> {
        let ldap = cloud.spec.ldap.as_ref().filter(|_| self.wanted.as_ref().is_some_and(|wanted| wanted.ldap))?;
        Some(if ldap.uri.starts_with("ldaps://") { 636 } else { 389 })
    }

    async fn look_there(&self, cloud: &Cloud, connection: &str) -> Result<Option<There>, Error> {
        let (Some(wanted), Some(other)) = (&self.wanted, self.other_side(cloud).await?) else { return Ok(None) };
        let in_vpc = Filter::builder().name("vpc-id").values(&wanted.vpc).build();
        let tables = other.describe_route_tables().filters(in_vpc.clone()).send().await;
        let tables = tables.map_err(aws("DescribeRouteTables"))?;
        let ours = cloud.spec.network.cidr.to_string();
        let routed = |table: &&aws_sdk_ec2::types::RouteTable| {
            table.routes().iter().any(|route| {
                route.destination_cidr_block() == Some(&ours)
                    && route.vpc_peering_connection_id() == Some(connection)
                    && route.state() != Some(&RouteState::Blackhole)
            })
        };
        let unrouted = tables.route_tables().iter().filter(|table| !routed(table));
        let unrouted = unrouted.filter_map(|table| table.route_table_id().map(str::to_owned)).collect();
        let ldap = match self.ldap_port(cloud) {
            Some(port) => find_ldap_group(cloud, &other, in_vpc, port).await?,
            None => None,
        };
        Ok(Some(There { unrouted, ldap }))
    }

    /// Accepts, and sets routes and rule on the other side.
    async fn settle(&self, cloud: &Cloud, connection: &str) -> Result<(), Error> {
        let Some(wanted) = &self.wanted else { return Ok(()) };
        let Some(other) = self.other_side(cloud).await? else {
            let account = wanted.account.as_deref().unwrap_or_default();
            cloud.note(format!(
                "the peering {} waits for the account {account}: accept {connection} there, and route {} to it in the tables of {}",
                self.name, cloud.spec.network.cidr, wanted.vpc
            ));
            return Ok(());
        };
        until_visible("the peering connection", || async {
            match other
                .accept_vpc_peering_connection()
                .vpc_peering_connection_id(connection)
                .send()
                .await
                .map_err(aws("AcceptVpcPeeringConnection"))
            {
                // It is accepted already.
                Err(error) if error.is(&["OperationNotPermitted", "InvalidStateTransition"]) => Ok(()),
                outcome => outcome.map(|_| ()),
            }
        })
        .await?;
        let Some(there) = self.look_there(cloud, connection).await? else { return Ok(()) };
        for table in there.unrouted {
            let ours = cloud.spec.network.cidr.to_string();
            let route = other.create_route().route_table_id(&table).destination_cidr_block(&ours);
            let made = route.vpc_peering_connection_id(connection).send().await.map_err(aws("CreateRoute"));
            match made {
                Err(error) if error.is(&["RouteAlreadyExists"]) => {
                    let replace = other.replace_route().route_table_id(&table).destination_cidr_block(&ours);
                    let replace = replace.vpc_peering_connection_id(connection);
                    replace.send().await.map_err(aws("ReplaceRoute"))?;
                }
                outcome => drop(outcome?),
            }
        }
        match (self.ldap_port(cloud), there.ldap) {
            (Some(_), Some((_, true))) | (None, _) => Ok(()),
            (Some(port), found) => allow_ldap(cloud, &other, &wanted.vpc, found.map(|(id, _)| id), port).await,
        }
    }
}

fn lives(found: &Found) -> bool {
    let state = found.status().and_then(|status| status.code());
    state.is_none_or(|state| {
        [State::Active, State::PendingAcceptance, State::InitiatingRequest, State::Provisioning].contains(state)
    })
}

/// The group's name in the other VPC, as Futuswarm's.
fn ldap_group_name(cloud: &Cloud) -> String {
    format!("allow-from-{}", cloud.spec.cluster)
}

async fn find_ldap_group(
    cloud: &Cloud,
    other: &aws_sdk_ec2::Client,
    in_vpc: Filter,
    port: i32,
) -> Result<Option<(String, bool)>, Error> {
    let name = ldap_group_name(cloud);
    let named = Filter::builder().name("group-name").values(&name).build();
    let found = other.describe_security_groups().filters(in_vpc).filters(named).send().await;
    let found = found.map_err(aws("DescribeSecurityGroups"))?.security_groups.unwrap_or_default();
    let id = |group: &aws_sdk_ec2::types::SecurityGroup| group.group_id().unwrap_or_default().to_owned();
    let Some(group) = at_most_one(format!("security groups {name}"), found, id)? else { return Ok(None) };
    let ours = cloud.spec.network.cidr.to_string();
    let allowed = group.ip_permissions().iter().any(|permission| {
        permission.from_port() == Some(port)
            && permission.ip_ranges().iter().any(|range| range.cidr_ip() == Some(&ours))
    });
    Ok(Some((id(&group), allowed)))
}

async fn allow_ldap(
    cloud: &Cloud,
    other: &aws_sdk_ec2::Client,
    vpc: &str,
    group: Option<String>,
    port: i32,
) -> Result<(), Error> {
    let group = match group {
        Some(group) => group,
        None => {
            let tag = Tag::builder().key(CLUSTER_TAG).value(&cloud.spec.cluster).build();
            let tags = TagSpecification::builder().resource_type(ResourceType::SecurityGroup).tags(tag).build();
            let create = other.create_security_group().group_name(ldap_group_name(cloud)).vpc_id(vpc);
            let create = create.description("LDAP for the nodes of a Futuswarm cluster").tag_specifications(tags);
            let made = create.send().await.map_err(aws("CreateSecurityGroup"))?.group_id;
            made.ok_or_else(incomplete("CreateSecurityGroup", "GroupId"))?
        }
    };
    let from = IpRange::builder().cidr_ip(cloud.spec.network.cidr.to_string()).build();
    let rule = IpPermission::builder().ip_protocol("tcp").from_port(port).to_port(port).ip_ranges(from).build();
    let allow = other.authorize_security_group_ingress().group_id(&group).ip_permissions(rule);
    match allow.send().await.map_err(aws("AuthorizeSecurityGroupIngress")) {
        Err(error) if !error.is(&["InvalidPermission.Duplicate"]) => Err(error.into()),
        _ => {
            cloud.note(format!("put the security group {group} of {vpc} on the LDAP server there, once"));
            Ok(())
        }
    }
}

impl Resource for Peering {
    type Found = Seen;

    fn kind(&self) -> &'static str {
        "VPC peering"
    }

    fn name(&self, cloud: &Cloud) -> String {
        cloud.names.of(&part(&self.name))
    }

    fn part(&self) -> String {
        part(&self.name)
    }

    fn needs(&self) -> Vec<String> {
        vec![vpc::PART.to_owned()]
    }

    async fn observe(&self, cloud: &Cloud) -> Result<Option<Seen>, Error> {
        let living: Vec<Found> = cloud.world.peerings(cloud).await?.iter().filter(|one| lives(one)).cloned().collect();
        let Some(connection) = world::part(cloud, &living, "VPC peerings", &Resource::part(self))? else {
            return Ok(None);
        };
        let there = self.look_there(cloud, connection.vpc_peering_connection_id().unwrap_or_default()).await?;
        Ok(Some(Seen { connection, there }))
    }

    fn id(&self, seen: &Seen) -> String {
        seen.connection.vpc_peering_connection_id().unwrap_or_default().to_owned()
    }

    fn is_wanted(&self) -> bool {
        self.wanted.is_some()
    }

    fn wanted(&self, cloud: &Cloud) -> Result<Fields, Error> {
        let Some(wanted) = &self.wanted else { return Ok(Fields::new()) };
        let mut fields = Fields::new().with("VPC", &wanted.vpc);
        let we_may =
            wanted.role_arn.is_some() || wanted.account.as_ref().is_none_or(|account| *account == cloud.names.account);
        if we_may {
            fields = fields.with("state", "active").with("routes there", "set");
            fields = fields.with_some("LDAP", self.ldap_port(cloud).map(|port| format!("port {port} allowed")));
        }
        Ok(fields.with_wanted_tags(&cloud.tags(&Resource::part(self))))
    }

    fn current(&self, cloud: &Cloud, seen: &Seen) -> Fields {
        let peer = seen.connection.accepter_vpc_info().and_then(|info| info.vpc_id()).unwrap_or_default();
        let mut fields = Fields::new().with("VPC", peer);
        if let Some(there) = &seen.there {
            let state = seen.connection.status().and_then(|status| status.code());
            fields = fields.with("state", state.map_or("unknown", State::as_str));
            fields = fields.with("routes there", if there.unrouted.is_empty() { "set" } else { "missing" });
            let port = self.ldap_port(cloud).filter(|_| there.ldap.as_ref().is_some_and(|(_, allowed)| *allowed));
            fields = fields.with_some("LDAP", port.map(|port| format!("port {port} allowed")));
        }
        fields.with_tags(world::pairs(seen.connection.tags()), &cloud.tags(&Resource::part(self)))
    }

    fn fixed(&self) -> &'static [&'static str] {
        &["VPC"]
    }

    async fn create(&self, cloud: &Cloud) -> Result<String, Error> {
        let wanted = self.wanted.as_ref().ok_or_else(incomplete("CreateVpcPeeringConnection", "settings"))?;
        let vpc = cloud.need(vpc::PART)?;
        let made = until_visible("the VPC", || async {
            cloud
                .ec2
                .create_vpc_peering_connection()
                .vpc_id(&vpc)
                .peer_vpc_id(&wanted.vpc)
                .set_peer_owner_id(wanted.account.clone())
                .set_peer_region(wanted.region.clone())
                .tag_specifications(cloud.ec2_tags(ResourceType::VpcPeeringConnection, &Resource::part(self)))
                .send()
                .await
                .map_err(aws("CreateVpcPeeringConnection"))
        });
        let id = made.await?.vpc_peering_connection.and_then(|made| made.vpc_peering_connection_id);
        let id = id.ok_or_else(incomplete("CreateVpcPeeringConnection", "VpcPeeringConnectionId"))?;
        self.settle(cloud, &id).await?;
        Ok(id)
    }

    async fn update(&self, cloud: &Cloud, seen: &Seen, changed: Changed<'_>) -> Result<(), Error> {
        let id = self.id(seen);
        if changed.any(&["state", "routes there", "LDAP"]) {
            self.settle(cloud, &id).await?;
        }
        if changed.tags() {
            cloud.tag_ec2(&id, &Resource::part(self)).await?;
        }
        Ok(())
    }

    async fn delete(&self, cloud: &Cloud, seen: &Seen) -> Result<(), Error> {
        // The routes there would lead nowhere.
        let ours = cloud.spec.network.cidr.to_string();
        if let (Some(wanted), Some(other)) = (&self.wanted, self.other_side(cloud).await?) {
            let in_vpc = Filter::builder().name("vpc-id").values(&wanted.vpc).build();
            let tables = other.describe_route_tables().filters(in_vpc.clone()).send().await;
            for table in tables.map_err(aws("DescribeRouteTables"))?.route_tables() {
                let routes = table.routes().iter().any(|route| {
                    route.destination_cidr_block() == Some(&ours)
                        && route.vpc_peering_connection_id() == Some(&self.id(seen))
                });
                if routes {
                    let delete = other.delete_route().set_route_table_id(table.route_table_id.clone());
                    delete.destination_cidr_block(&ours).send().await.map_err(aws("DeleteRoute"))?;
                }
            }
            if let Some((group, _)) = find_ldap_group(cloud, &other, in_vpc, 0).await? {
                let deleted = other.delete_security_group().group_id(&group).send().await;
                if let Err(error) = deleted.map_err(aws("DeleteSecurityGroup")) {
                    cloud.note(format!("the security group {group} of {} stays: {error}", wanted.vpc));
                }
            }
        }
        let delete = cloud.ec2.delete_vpc_peering_connection().vpc_peering_connection_id(self.id(seen));
        delete.send().await.map_err(aws("DeleteVpcPeeringConnection"))?;
        Ok(())
    }
}
