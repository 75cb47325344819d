//! Peerings with other VPCs: the connection, its acceptance, the routes back to us, and the rule that lets nodes ask the LDAP
//! server there. What another account has to do itself is said in a note.

mod peer;

use aws_sdk_ec2::config::SharedCredentialsProvider;
use aws_sdk_ec2::types::{
    Filter, ResourceType, RouteState, Tag, VpcPeeringConnection as Described,
    VpcPeeringConnectionStateReasonCode as State,
};
use futuswarm_converge::Resource;
use futuswarm_spec::Peering as Settings;

use crate::aws::ec2_not_twice;
use crate::consistency::until_visible;
use crate::error::{Error, failed, incomplete};
use crate::field::{Changed, Field, Fields};
use crate::names::PART_TAG;
use crate::{Aws, Cluster, Run, components, ec2_tags, inventory};

/// How long the other side's credentials live, in seconds; the shortest that AWS gives.
const SECONDS: i32 = 900;

/// The role on the other side, on the connection: what is no longer in the spec is cleaned up there, too.
const ROLE_TAG: &str = "futuswarm:peer-role";

pub(crate) struct Peering {
    name: String,
    /// As in the spec; of one that the spec no longer has, as the connection tells them.
    settings: Settings,
    desired: bool,
}

/// As AWS describes it on both sides.
pub(crate) struct Observed {
    connection: Described,
    peer: Option<Peer>,
}

/// The other VPC; absent when it may not be asked for.
struct Peer {
    /// Route tables without the route to us.
    unrouted: Vec<String>,
    /// The group with the LDAP rule: id, and whether it has the rule.
    ldap: Option<(String, bool)>,
}

/// The peerings of this cluster that live and that the spec does not have, by name.
async fn undesired(aws: &Aws, run: &Run) -> Result<Vec<(String, Described)>, Error> {
    // A peering of ours has routes in our tables, and these were asked for already.
    let tables = run.inventory.route_tables(aws).await?.iter();
    let mut routes = tables.flat_map(|table| table.routes());
    if run.cluster.spec.peering.is_empty() && !routes.any(|route| route.vpc_peering_connection_id().is_some()) {
        return Ok(Vec::new());
    }
    let observed = run.inventory.peerings(aws).await?.iter().filter(|one| lives(one)).cloned();
    let named = observed.filter_map(|one| {
        let name = components::name_of_peering(inventory::tag(one.tags(), PART_TAG)?)?.to_owned();
        Some((name, one))
    });
    Ok(named.filter(|(name, _)| !run.cluster.spec.peering.contains_key(name)).collect())
}

/// Ids of the peerings that are about to go: their routes in our tables go with them, not before, because by them they are found.
pub(super) async fn to_delete(aws: &Aws, run: &Run) -> Result<Vec<String>, Error> {
    let ids = undesired(aws, run).await?.into_iter();
    Ok(ids.filter_map(|(_, connection)| connection.vpc_peering_connection_id).collect())
}

/// The settings of a peering as its connection tells them.
fn settings_from_connection(cluster: &Cluster, connection: &Described) -> Settings {
    let side = connection.accepter_vpc_info();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let other = |value: Option<&str>, ours: &str| value.filter(|value| *value != ours).map(str::to_owned);
    Settings {
        vpc: text(side.and_then(|side| side.vpc_id())),
        cidr: side.and_then(|side| side.cidr_block()?.parse().ok()).unwrap_or_default(),
        account: other(side.and_then(|side| side.owner_id()), &cluster.names.account),
        region: other(side.and_then(|side| side.region()), &cluster.names.region),
        role_arn: inventory::tag(connection.tags(), ROLE_TAG).map(str::to_owned),
        ldap: false,
    }
}

impl Peering {
    pub(crate) fn all(spec: &futuswarm_spec::Spec) -> Vec<Self> {
        let of = |(name, desired): (&String, &Settings)| Self {
            name: name.clone(),
            settings: desired.clone(),
            desired: true,
        };
        spec.peering.iter().map(of).collect()
    }

    pub(crate) async fn orphans(aws: &Aws, run: &Run) -> Result<Vec<Self>, Error> {
        let of = |(name, connection): (String, Described)| Self {
            name,
            settings: settings_from_connection(&run.cluster, &connection),
            desired: false,
        };
        Ok(undesired(aws, run).await?.into_iter().map(of).collect())
    }

    fn role_tag(&self) -> Option<Tag> {
        self.settings.role_arn.as_ref().map(|arn| Tag::builder().key(ROLE_TAG).value(arn).build())
    }

    /// Whether we may act on the other side.
    fn can_manage_peer(&self, cluster: &Cluster) -> bool {
        self.settings.role_arn.is_some()
            || self.settings.account.as_ref().is_none_or(|account| *account == cluster.names.account)
    }

    /// EC2 on the other side, if we may act there.
    async fn other_side(&self, aws: &Aws, cluster: &Cluster) -> Result<Option<aws_sdk_ec2::Client>, Error> {
        if !self.can_manage_peer(cluster) {
            return Ok(None);
        }
        let desired = &self.settings;
        let mut config = aws_sdk_ec2::config::Builder::from(&aws.sdk);
        if let Some(region) = &desired.region {
            config = config.region(futuswarm_aws::Region::new(region.clone()));
        }
        if let Some(arn) = &desired.role_arn {
            let session = format!("futuswarm-{}", cluster.spec.cluster);
            let assume = aws.sts.assume_role().role_arn(arn).role_session_name(session).duration_seconds(SECONDS);
            let assumed = assume.send().await.map_err(failed("AssumeRole"))?;
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
        Ok(Some(aws_sdk_ec2::Client::from_conf(config.build())))
    }

    /// The ports of the LDAP server, when nodes may ask it.
    fn ldap_port(&self, cluster: &Cluster) -> Option<i32> {
        let ldap = cluster.spec.ldap.as_ref().filter(|_| self.settings.ldap)?;
        Some(if ldap.uri.starts_with("ldaps://") { 636 } else { 389 })
    }

    async fn observe_peer(&self, aws: &Aws, cluster: &Cluster, connection: &str) -> Result<Option<Peer>, Error> {
        let Some(other) = self.other_side(aws, cluster).await? else { return Ok(None) };
        let in_vpc = Filter::builder().name("vpc-id").values(&self.settings.vpc).build();
        let tables = other.describe_route_tables().filters(in_vpc.clone()).send().await;
        let tables = tables.map_err(failed("DescribeRouteTables"))?;
        let ours = cluster.spec.network.cidr.to_string();
        let routed = |table: &&aws_sdk_ec2::types::RouteTable| {
            table.routes().iter().any(|route| {
                route.destination_cidr_block() == Some(&ours)
                    && route.vpc_peering_connection_id() == Some(connection)
                    && route.state() != Some(&RouteState::Blackhole)
            })
        };
        let unrouted = tables.route_tables().iter().filter(|table| !routed(table));
        let unrouted = unrouted.filter_map(|table| table.route_table_id().map(str::to_owned)).collect();
        let ldap = match self.ldap_port(cluster) {
            Some(port) => peer::find_ldap_group(cluster, &other, in_vpc, port).await?,
            None => None,
        };
        Ok(Some(Peer { unrouted, ldap }))
    }

    /// What the other account has to do itself.
    fn note_acceptance(&self, run: &Run, connection: &str) {
        let account = self.settings.account.as_deref().unwrap_or_default();
        run.note(format!(
            "the peering {} waits for the account {account}: accept {connection} there within seven days, and route {} to it in the tables of {}",
            self.name, run.cluster.spec.network.cidr, self.settings.vpc
        ));
    }

    /// Accepts, and sets routes and rule on the other side.
    async fn configure(&self, aws: &Aws, run: &Run, connection: &str) -> Result<(), Error> {
        let desired = &self.settings;
        let Some(other) = self.other_side(aws, &run.cluster).await? else {
            self.note_acceptance(run, connection);
            return Ok(());
        };
        peer::accept(&other, connection).await?;
        let Some(peer) = self.observe_peer(aws, &run.cluster, connection).await? else { return Ok(()) };
        for table in peer.unrouted {
            let ours = run.cluster.spec.network.cidr.to_string();
            let route = other.create_route().route_table_id(&table).destination_cidr_block(&ours);
            let made = route.vpc_peering_connection_id(connection).send().await.map_err(failed("CreateRoute"));
            match made {
                Err(error) if error.is(&["RouteAlreadyExists"]) => {
                    let replace = other.replace_route().route_table_id(&table).destination_cidr_block(&ours);
                    let replace = replace.vpc_peering_connection_id(connection);
                    replace.send().await.map_err(failed("ReplaceRoute"))?;
                }
                outcome => drop(outcome?),
            }
        }
        match (self.ldap_port(&run.cluster), peer.ldap) {
            (Some(_), Some((_, true))) | (None, _) => Ok(()),
            (Some(port), observed) => {
                peer::allow_ldap(run, &other, &desired.vpc, observed.map(|(id, _)| id), port).await
            }
        }
    }

    /// Takes back what was set on the other side: the routes there would lead nowhere.
    async fn clean_peer(&self, aws: &Aws, run: &Run, connection: &str) -> Result<(), Error> {
        let Some(other) = self.other_side(aws, &run.cluster).await? else { return Ok(()) };
        let ours = run.cluster.spec.network.cidr.to_string();
        let in_vpc = Filter::builder().name("vpc-id").values(&self.settings.vpc).build();
        let tables = other.describe_route_tables().filters(in_vpc.clone()).send().await;
        for table in tables.map_err(failed("DescribeRouteTables"))?.route_tables() {
            peer::delete_routes(&other, table, connection, Some(&ours)).await?;
        }
        if let Some((group, _)) = peer::find_ldap_group(&run.cluster, &other, in_vpc, 0).await? {
            let deleted = other.delete_security_group().group_id(&group).send().await;
            if let Err(error) = deleted.map_err(failed("DeleteSecurityGroup")) {
                run.note(format!("the security group {group} of {} stays: {error}", self.settings.vpc));
            }
        }
        Ok(())
    }
}

fn lives(observed: &Described) -> bool {
    let state = observed.status().and_then(|status| status.code());
    state.is_none_or(|state| {
        [State::Active, State::PendingAcceptance, State::InitiatingRequest, State::Provisioning].contains(state)
    })
}

impl Resource<Run> for Peering {
    type Observed = Observed;

    fn kind(&self) -> &'static str {
        "VPC peering"
    }

    fn name(&self, run: &Run) -> String {
        run.cluster.names.of(&components::peering(&self.name))
    }

    fn component(&self) -> String {
        components::peering(&self.name)
    }

    fn depends_on(&self) -> Vec<String> {
        vec![components::VPC.to_owned()]
    }

    fn adoptable_prefix(&self) -> Option<&'static str> {
        Some("pcx-")
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Observed>, Error> {
        let living: Vec<Described> =
            run.inventory.peerings(aws).await?.iter().filter(|one| lives(one)).cloned().collect();
        let Some(connection) = run.inventory.find(&living, "VPC peerings", &Resource::component(self))? else {
            return Ok(None);
        };
        let state = connection.status().and_then(|status| status.code());
        if self.desired && !self.can_manage_peer(&run.cluster) && state == Some(&State::PendingAcceptance) {
            self.note_acceptance(run, connection.vpc_peering_connection_id().unwrap_or_default());
        }
        // What is there does not matter for what goes.
        let peer = match run.mode().applies() && self.desired {
            true => {
                self.observe_peer(aws, &run.cluster, connection.vpc_peering_connection_id().unwrap_or_default()).await?
            }
            false => None,
        };
        Ok(Some(Observed { connection, peer }))
    }

    fn id(&self, observed: &Observed) -> String {
        observed.connection.vpc_peering_connection_id().unwrap_or_default().to_owned()
    }

    fn is_desired(&self) -> bool {
        self.desired
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        let mut fields = Fields::new().with(Field::Vpc, &self.settings.vpc);
        fields = fields.with_some(Field::PeerRole, self.settings.role_arn.as_ref());
        if self.can_manage_peer(&run.cluster) {
            fields = fields.with(Field::State, "active").with(Field::PeerRoutes, "set");
            fields =
                fields.with_some(Field::Ldap, self.ldap_port(&run.cluster).map(|port| format!("port {port} allowed")));
        }
        Ok(fields.with_desired_tags(&run.cluster.tags(&Resource::component(self))))
    }

    fn current(&self, run: &Run, observed: &Observed) -> Fields {
        let peer = observed.connection.accepter_vpc_info().and_then(|info| info.vpc_id()).unwrap_or_default();
        let mut fields = Fields::new().with(Field::Vpc, peer);
        fields = fields.with_some(Field::PeerRole, inventory::tag(observed.connection.tags(), ROLE_TAG));
        if let Some(peer) = &observed.peer {
            let state = observed.connection.status().and_then(|status| status.code());
            fields = fields.with(Field::State, state.map_or("unknown", State::as_str));
            fields = fields.with(Field::PeerRoutes, if peer.unrouted.is_empty() { "set" } else { "missing" });
            let port = self.ldap_port(&run.cluster).filter(|_| peer.ldap.as_ref().is_some_and(|(_, allowed)| *allowed));
            fields = fields.with_some(Field::Ldap, port.map(|port| format!("port {port} allowed")));
        }
        fields.with_tags(inventory::pairs(observed.connection.tags()), &run.cluster.tags(&Resource::component(self)))
    }

    fn immutable(&self) -> &'static [Field] {
        const { &[Field::Vpc] }
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let desired = &self.settings;
        let vpc = run.need(components::VPC)?;
        let mut tags = run.cluster.ec2_tags(ResourceType::VpcPeeringConnection, &Resource::component(self));
        tags.tags.get_or_insert_default().extend(self.role_tag());
        let made = until_visible("the VPC", || async {
            aws.ec2
                .create_vpc_peering_connection()
                .vpc_id(&vpc)
                .peer_vpc_id(&desired.vpc)
                .set_peer_owner_id(desired.account.clone())
                .set_peer_region(desired.region.clone())
                .tag_specifications(tags.clone())
                .customize()
                .config_override(ec2_not_twice())
                .send()
                .await
                .map_err(failed("CreateVpcPeeringConnection"))
        });
        let id = made.await?.vpc_peering_connection.and_then(|made| made.vpc_peering_connection_id);
        let id = id.ok_or_else(incomplete("CreateVpcPeeringConnection", "VpcPeeringConnectionId"))?;
        self.configure(aws, run, &id).await?;
        Ok(id)
    }

    async fn update(&self, aws: &Aws, run: &Run, observed: &Observed, changed: &Changed) -> Result<(), Error> {
        let id = self.id(observed);
        if changed.any(&[Field::State, Field::PeerRoutes, Field::Ldap]) {
            self.configure(aws, run, &id).await?;
        }
        if changed.tags() {
            ec2_tags::set(aws, &run.cluster, &id, &Resource::component(self)).await?;
        }
        if changed.any(&[Field::PeerRole]) {
            match self.role_tag() {
                Some(tag) => ec2_tags::put(&aws.ec2, &id, vec![tag]).await?,
                None => {
                    let tag = Tag::builder().key(ROLE_TAG).build();
                    aws.ec2.delete_tags().resources(&id).tags(tag).send().await.map_err(failed("DeleteTags"))?;
                }
            }
        }
        Ok(())
    }

    async fn delete(&self, aws: &Aws, run: &Run, observed: &Observed) -> Result<(), Error> {
        let id = self.id(observed);
        // What we may no longer do there is no reason to keep the peering.
        if let Err(error) = self.clean_peer(aws, run, &id).await {
            let vpc = &self.settings.vpc;
            run.note(format!(
                "routes to {} may be left in the tables of {vpc}: {error}",
                run.cluster.spec.network.cidr
            ));
        }
        let delete = aws.ec2.delete_vpc_peering_connection().vpc_peering_connection_id(&id);
        delete.send().await.map_err(failed("DeleteVpcPeeringConnection"))?;
        // In a deletion of everything the tables are gone already.
        if run.mode().applies() {
            for table in run.inventory.route_tables(aws).await? {
                peer::delete_routes(&aws.ec2, table, &id, None).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::VpcPeeringConnectionVpcInfo;

    use super::*;

    #[test]
    fn the_settings_of_a_peering_that_goes_are_those_of_its_connection() {
        let cluster = Cluster::local();
        let side = VpcPeeringConnectionVpcInfo::builder().vpc_id("vpc-2").cidr_block("10.9.0.0/16");
        let side = side.owner_id(&cluster.names.account).region("eu-central-1").build();
        let role = Tag::builder().key(ROLE_TAG).value("arn:aws:iam::2:role/peer").build();
        let connection = Described::builder().accepter_vpc_info(side).tags(role).build();
        let settings = settings_from_connection(&cluster, &connection);
        assert_eq!((settings.vpc.as_str(), settings.cidr.to_string().as_str()), ("vpc-2", "10.9.0.0/16"));
        assert_eq!((settings.account, settings.region.as_deref()), (None, Some("eu-central-1")));
        assert_eq!(settings.role_arn.as_deref(), Some("arn:aws:iam::2:role/peer"));
    }

    #[test]
    fn the_other_side_is_ours_to_change_in_our_account_or_with_a_role() {
        let cluster = Cluster::local();
        let peering = |account: Option<&str>, role: Option<&str>| Peering {
            name: "office".to_owned(),
            settings: Settings {
                vpc: "vpc-2".to_owned(),
                cidr: "10.9.0.0/16".parse().unwrap(),
                account: account.map(str::to_owned),
                region: None,
                role_arn: role.map(str::to_owned),
                ldap: false,
            },
            desired: true,
        };
        for (account, role, can) in [
            (None, None, true),
            (Some("123456789012"), None, true),
            (Some("210987654321"), None, false),
            (Some("210987654321"), Some("arn:aws:iam::2:role/peer"), true),
        ] {
            assert_eq!(peering(account, role).can_manage_peer(&cluster), can, "{account:?} {role:?}");
        }
        let run = Run::local();
        peering(Some("210987654321"), None).note_acceptance(&run, "pcx-1");
        let notes = futuswarm_converge::Context::ledger(&run).take_report().notes;
        assert!(
            notes[0].starts_with("the peering office waits for the account 210987654321: accept pcx-1"),
            "{notes:?}"
        );
        let theirs = peering(Some("210987654321"), None).desired(&run).unwrap();
        assert_eq!((theirs.get(&Field::State), theirs.get(&Field::Vpc)), (None, Some("vpc-2")));
    }
}
