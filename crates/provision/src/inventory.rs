//! What AWS says there is, asked for once per run and kind: dozens of resources are found with one request for each kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_acm::types::{CertificateStatus, CertificateSummary};
use aws_sdk_autoscaling::types::AutoScalingGroup;
use aws_sdk_ec2::types::{
    Filter, Instance, InternetGateway, KeyPairInfo, LaunchTemplateVersion, RouteTable, SecurityGroup, Subnet, Tag, Vpc,
    VpcEndpoint, VpcPeeringConnection,
};
use aws_sdk_elasticloadbalancingv2::types::Listener;
use aws_sdk_iam::types::{EntityType, InstanceProfile, RoleDetail};
use aws_sdk_rds::types::DbInstance;
use futuswarm_aws::at_most_one;
use tokio::sync::OnceCell;

use crate::error::{Error, failed};
use crate::names::{CLUSTER_TAG, PART_TAG};
use crate::{Aws, Cluster};

/// Everything that was asked for so far.
pub(crate) struct Inventory {
    cluster: Arc<Cluster>,
    /// What the operator says to be components: component → id.
    adopt: BTreeMap<String, String>,
    answers: Answers,
}

#[derive(Default)]
struct Answers {
    vpcs: OnceCell<Vec<Vpc>>,
    subnets: OnceCell<Vec<Subnet>>,
    gateways: OnceCell<Vec<InternetGateway>>,
    route_tables: OnceCell<Vec<RouteTable>>,
    endpoints: OnceCell<Vec<VpcEndpoint>>,
    security_groups: OnceCell<Vec<SecurityGroup>>,
    peerings: OnceCell<Vec<VpcPeeringConnection>>,
    key_pairs: OnceCell<Vec<KeyPairInfo>>,
    templates: OnceCell<Vec<LaunchTemplateVersion>>,
    groups: OnceCell<Vec<AutoScalingGroup>>,
    roles: OnceCell<Vec<RoleDetail>>,
    zones: OnceCell<Vec<(String, String)>>,
    images: OnceCell<BTreeMap<String, String>>,
    certificates: OnceCell<Vec<CertificateSummary>>,
    listeners: OnceCell<Vec<Listener>>,
    database: OnceCell<Option<DbInstance>>,
    aliases: OnceCell<Vec<(String, String)>>,
}

/// A resource of EC2 that is known by its tags.
pub(crate) trait Tagged {
    fn id(&self) -> String;
    fn tags(&self) -> &[Tag];
}

macro_rules! tagged {
    ($($kind:ty: $id:ident),*) => {$(
        impl Tagged for $kind {
            fn id(&self) -> String {
                self.$id().unwrap_or_default().to_owned()
            }
            fn tags(&self) -> &[Tag] {
                self.tags()
            }
        }
    )*};
}

tagged! {
    Vpc: vpc_id, Subnet: subnet_id, InternetGateway: internet_gateway_id, RouteTable: route_table_id,
    VpcEndpoint: vpc_endpoint_id, SecurityGroup: group_id, VpcPeeringConnection: vpc_peering_connection_id
}

/// The value of a tag.
pub(crate) fn tag<'a>(tags: &'a [Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key() == Some(key)).and_then(|tag| tag.value())
}

/// Tags as pairs.
pub(crate) fn pairs(tags: &[Tag]) -> impl Iterator<Item = (&str, &str)> {
    tags.iter().filter_map(|tag| Some((tag.key()?, tag.value().unwrap_or_default())))
}

/// Everything of a kind that carries the cluster's tag, page by page, and what is to be adopted of it.
macro_rules! tagged_list {
    ($self:ident, $aws:ident, $cell:ident, $describe:ident, $operation:literal, $list:ident, $id_filter:literal, $prefix:literal) => {
        $self
            .answers
            .$cell
            .get_or_try_init(|| async {
                let mut all = Vec::new();
                let mut filters = vec![$self.cluster.filter()];
                // With ids to adopt there are two questions: filters are all-of.
                let adopt: Vec<String> = $self.adopt.values().filter(|id| id.starts_with($prefix)).cloned().collect();
                if !adopt.is_empty() {
                    filters.push(Filter::builder().name($id_filter).set_values(Some(adopt)).build());
                }
                for filter in filters {
                    let mut pages = $aws.ec2.$describe().filters(filter).into_paginator().send();
                    while let Some(page) = pages.next().await {
                        all.extend(page.map_err(failed($operation))?.$list.unwrap_or_default());
                    }
                }
                let mut ids = std::collections::BTreeSet::new();
                all.retain(|one| ids.insert(Tagged::id(one)));
                Ok(all)
            })
            .await
            .map(Vec::as_slice)
    };
}

type Answer<'a, T> = Result<&'a [T], Error>;

impl Inventory {
    /// Nothing is known yet.
    pub(crate) fn new(cluster: Arc<Cluster>, adopt: BTreeMap<String, String>) -> Self {
        Self { cluster, adopt, answers: Answers::default() }
    }

    /// The one resource that is this component: by its tag, or because the operator said that it is. More than one is an error.
    pub(crate) fn find<T: Tagged + Clone>(&self, all: &[T], what: &str, component: &str) -> Result<Option<T>, Error> {
        let adopted = self.adopt.get(component);
        let is_component = |one: &&T| {
            tag(one.tags(), PART_TAG) == Some(component)
                && tag(one.tags(), CLUSTER_TAG) == Some(&self.cluster.spec.cluster)
        };
        let mut ours: Vec<T> = all.iter().filter(is_component).cloned().collect();
        if ours.is_empty() {
            let free = |one: &&T| tag(one.tags(), PART_TAG).is_none() && adopted.is_some_and(|id| *id == one.id());
            ours.extend(all.iter().find(free).cloned());
        }
        let what = format!("{what} tagged {CLUSTER_TAG}={} and {PART_TAG}={component}", self.cluster.spec.cluster);
        let one = at_most_one(what, ours, Tagged::id)?;
        let Some(id) = adopted else { return Ok(one) };
        let reason = match (&one, all.iter().find(|other| other.id() == *id)) {
            (Some(one), _) if one.id() == *id => return Ok(Some(one.clone())),
            (Some(one), _) => format!("the cluster has {} already", one.id()),
            (None, Some(other)) => format!(
                "it is the component {} of the cluster {}",
                tag(other.tags(), PART_TAG).unwrap_or_default(),
                tag(other.tags(), CLUSTER_TAG).unwrap_or("of somebody else")
            ),
            (None, None) => {
                format!(
                    "there is none in the region {} of the account {}",
                    self.cluster.names.region, self.cluster.names.account
                )
            }
        };
        Err(Error::NotAdoptable { id: id.clone(), component: component.to_owned(), reason })
    }

    pub(crate) async fn vpcs(&self, aws: &Aws) -> Answer<'_, Vpc> {
        tagged_list!(self, aws, vpcs, describe_vpcs, "DescribeVpcs", vpcs, "vpc-id", "vpc-")
    }

    pub(crate) async fn subnets(&self, aws: &Aws) -> Answer<'_, Subnet> {
        tagged_list!(self, aws, subnets, describe_subnets, "DescribeSubnets", subnets, "subnet-id", "subnet-")
    }

    pub(crate) async fn gateways(&self, aws: &Aws) -> Answer<'_, InternetGateway> {
        tagged_list!(
            self,
            aws,
            gateways,
            describe_internet_gateways,
            "DescribeInternetGateways",
            internet_gateways,
            "internet-gateway-id",
            "igw-"
        )
    }

    pub(crate) async fn route_tables(&self, aws: &Aws) -> Answer<'_, RouteTable> {
        tagged_list!(
            self,
            aws,
            route_tables,
            describe_route_tables,
            "DescribeRouteTables",
            route_tables,
            "route-table-id",
            "rtb-"
        )
    }

    pub(crate) async fn endpoints(&self, aws: &Aws) -> Answer<'_, VpcEndpoint> {
        tagged_list!(
            self,
            aws,
            endpoints,
            describe_vpc_endpoints,
            "DescribeVpcEndpoints",
            vpc_endpoints,
            "vpc-endpoint-id",
            "vpce-"
        )
    }

    pub(crate) async fn security_groups(&self, aws: &Aws) -> Answer<'_, SecurityGroup> {
        tagged_list!(
            self,
            aws,
            security_groups,
            describe_security_groups,
            "DescribeSecurityGroups",
            security_groups,
            "group-id",
            "sg-"
        )
    }

    pub(crate) async fn peerings(&self, aws: &Aws) -> Answer<'_, VpcPeeringConnection> {
        tagged_list!(
            self,
            aws,
            peerings,
            describe_vpc_peering_connections,
            "DescribeVpcPeeringConnections",
            vpc_peering_connections,
            "vpc-peering-connection-id",
            "pcx-"
        )
    }

    /// The newest version of every launch template whose name is one of ours.
    pub(crate) async fn templates(&self, aws: &Aws) -> Answer<'_, LaunchTemplateVersion> {
        self.answers
            .templates
            .get_or_try_init(|| async {
                let mut pages = aws.ec2.describe_launch_template_versions().versions("$Latest").into_paginator().send();
                let mut all = Vec::new();
                while let Some(page) = pages.next().await {
                    let page = page.map_err(failed("DescribeLaunchTemplateVersions"))?;
                    all.extend(page.launch_template_versions.unwrap_or_default());
                }
                let prefix = self.cluster.names.of("");
                all.retain(|version| version.launch_template_name().is_some_and(|name| name.starts_with(&prefix)));
                Ok(all)
            })
            .await
            .map(Vec::as_slice)
    }

    /// The cluster's Auto Scaling groups.
    pub(crate) async fn groups(&self, aws: &Aws) -> Answer<'_, AutoScalingGroup> {
        self.answers
            .groups
            .get_or_try_init(|| async {
                let filter = aws_sdk_autoscaling::types::Filter::builder();
                let filter = filter.name(format!("tag:{CLUSTER_TAG}")).values(&self.cluster.spec.cluster).build();
                let mut pages = aws.scaling.describe_auto_scaling_groups().filters(filter).into_paginator().send();
                let mut all = Vec::new();
                while let Some(page) = pages.next().await {
                    let page = page.map_err(failed("DescribeAutoScalingGroups"))?;
                    all.extend(page.auto_scaling_groups.unwrap_or_default());
                }
                // A group that is being deleted stays visible until its instances are gone.
                all.retain(|group| group.status().is_none());
                Ok(all)
            })
            .await
            .map(Vec::as_slice)
    }

    /// Roles with their policies, tags and instance profiles: one request instead of three per role.
    pub(crate) async fn roles(&self, aws: &Aws) -> Answer<'_, RoleDetail> {
        self.answers
            .roles
            .get_or_try_init(|| async {
                let request = aws.iam.get_account_authorization_details().filter(EntityType::Role).max_items(1000);
                let mut pages = request.into_paginator().send();
                let mut all = Vec::new();
                while let Some(page) = pages.next().await {
                    all.extend(
                        page.map_err(failed("GetAccountAuthorizationDetails"))?.role_detail_list.unwrap_or_default(),
                    );
                }
                Ok(all)
            })
            .await
            .map(Vec::as_slice)
    }

    /// Public hosted zones: id and name without the last dot.
    pub(crate) async fn zones(&self, aws: &Aws) -> Answer<'_, (String, String)> {
        self.answers.zones.get_or_try_init(|| zones(aws)).await.map(Vec::as_slice)
    }

    /// Certificates that are issued or may yet be.
    pub(crate) async fn certificates(&self, aws: &Aws) -> Answer<'_, CertificateSummary> {
        self.answers
            .certificates
            .get_or_try_init(|| async {
                let living = [CertificateStatus::Issued, CertificateStatus::PendingValidation];
                let ask = aws.acm.list_certificates().set_certificate_statuses(Some(living.to_vec()));
                let mut pages = ask.into_paginator().send();
                let mut all = Vec::new();
                while let Some(page) = pages.next().await {
                    all.extend(page.map_err(failed("ListCertificates"))?.certificate_summary_list.unwrap_or_default());
                }
                Ok(all)
            })
            .await
            .map(Vec::as_slice)
    }

    /// The listeners of the cluster's load balancer.
    pub(crate) async fn listeners(&self, aws: &Aws, balancer: &str) -> Answer<'_, Listener> {
        self.answers
            .listeners
            .get_or_try_init(|| async {
                let ask = aws.balancing.describe_listeners().load_balancer_arn(balancer).send().await;
                Ok(ask.map_err(failed("DescribeListeners"))?.listeners.unwrap_or_default())
            })
            .await
            .map(Vec::as_slice)
    }

    /// Aliases of KMS keys: name and key id.
    pub(crate) async fn aliases(&self, aws: &Aws) -> Answer<'_, (String, String)> {
        self.answers
            .aliases
            .get_or_try_init(|| async {
                let mut pages = aws.kms.list_aliases().limit(100).into_paginator().send();
                let mut all = Vec::new();
                while let Some(page) = pages.next().await {
                    let aliases = page.map_err(failed("ListAliases"))?.aliases.unwrap_or_default();
                    all.extend(aliases.into_iter().filter_map(|alias| Some((alias.alias_name?, alias.target_key_id?))));
                }
                Ok(all)
            })
            .await
            .map(Vec::as_slice)
    }

    /// Key pairs with the cluster's tags and those of this component, with their public keys.
    pub(crate) async fn key_pairs(&self, aws: &Aws, component: &str) -> Answer<'_, KeyPairInfo> {
        self.answers
            .key_pairs
            .get_or_try_init(|| async {
                let of_component = Filter::builder().name(format!("tag:{PART_TAG}")).values(component).build();
                let request = aws.ec2.describe_key_pairs().filters(self.cluster.filter()).filters(of_component);
                let answer = request.include_public_key(true).send().await.map_err(failed("DescribeKeyPairs"))?;
                Ok(answer.key_pairs.unwrap_or_default())
            })
            .await
            .map(Vec::as_slice)
    }

    /// The cluster's database, with its subnets.
    pub(crate) async fn database(
        &self,
        ask: impl Future<Output = Result<Option<DbInstance>, Error>>,
    ) -> Result<Option<&DbInstance>, Error> {
        Ok(self.answers.database.get_or_try_init(|| ask).await?.as_ref())
    }

    /// The id of the image for an architecture; looked up once for all.
    pub(crate) async fn image(
        &self,
        architecture: &str,
        ask: impl Future<Output = Result<BTreeMap<String, String>, Error>>,
    ) -> Result<Option<String>, Error> {
        Ok(self.answers.images.get_or_try_init(|| ask).await?.get(architecture).cloned())
    }
}

/// Public hosted zones of the account: id and name without the last dot.
pub(crate) async fn zones(aws: &Aws) -> Result<Vec<(String, String)>, Error> {
    let mut pages = aws.dns.list_hosted_zones().into_paginator().send();
    let mut all = Vec::new();
    while let Some(page) = pages.next().await {
        for zone in page.map_err(failed("ListHostedZones"))?.hosted_zones {
            if zone.config.as_ref().is_none_or(|config| !config.private_zone) {
                let id = zone.id.trim_start_matches("/hostedzone/").to_owned();
                all.push((id, zone.name.trim_end_matches('.').to_owned()));
            }
        }
    }
    Ok(all)
}

/// The cluster's instances that run or are about to.
pub(crate) async fn instances(aws: &Aws, cluster: &Cluster) -> Result<Vec<Instance>, Error> {
    let ours = cluster.filter();
    let alive = Filter::builder()
        .name("instance-state-name")
        .values("pending")
        .values("running")
        .values("shutting-down")
        .values("stopping")
        .build();
    let mut pages = aws.ec2.describe_instances().filters(ours).filters(alive).into_paginator().send();
    let mut observed = Vec::new();
    while let Some(page) = pages.next().await {
        for reservation in page.map_err(failed("DescribeInstances"))?.reservations.unwrap_or_default() {
            observed.extend(reservation.instances.unwrap_or_default());
        }
    }
    observed.sort_by_key(|instance| instance.launch_time().map(|time| time.secs()));
    Ok(observed)
}

/// Instance profiles of a role.
pub(crate) fn profiles(role: &RoleDetail) -> &[InstanceProfile] {
    role.instance_profile_list()
}
