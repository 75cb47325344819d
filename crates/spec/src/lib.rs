//! The cluster spec: one TOML file, read into types, with every problem reported at once, each with its line.

mod check;
mod instance_type;
mod problem;
mod read;
mod reader;
pub mod ssh_key;
mod value;

use std::collections::BTreeMap;

pub use futuswarm_model::{ImportSource, Role};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

pub use instance_type::Architecture;
pub use problem::{Problem, Problems};
use reader::Table;

/// A cluster as its operator wants it. `clusters/example.toml` says what every key means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Name of the cluster: part of the name of everything that is made.
    pub cluster: String,
    /// The AWS account that it belongs to; any other is refused.
    #[serde(default)]
    pub account: Option<String>,
    /// For example `eu-west-1`.
    pub region: String,
    /// Domain below which services live, behind the single sign-on.
    pub domain: String,
    /// Domain below which services live that are open to everybody.
    #[serde(default)]
    pub open_domain: Option<String>,
    /// The VPC and its subnets.
    pub network: Network,
    /// Address pools of the Docker Swarm.
    pub swarm: Swarm,
    /// Who may log in to nodes.
    pub ssh: Ssh,
    /// Groups of nodes by name.
    pub groups: BTreeMap<String, Group>,
    /// What is in front of the nodes.
    pub load_balancer: LoadBalancer,
    /// The login of the private domain; without one, everything is open.
    #[serde(default)]
    pub login: Option<Login>,
    /// The PostgreSQL server of the apps.
    #[serde(default)]
    pub rds: Option<Rds>,
    /// Where the accounts of users are.
    #[serde(default)]
    pub ldap: Option<Ldap>,
    /// Other VPCs, by a name of their own.
    #[serde(default)]
    pub peering: BTreeMap<String, Peering>,
    /// Where the config and secrets of the old tool are.
    #[serde(default)]
    pub import: Option<ImportSource>,
    /// How long things are kept in the bucket.
    pub retention: Retention,
    /// Tags on everything that is made.
    pub tags: BTreeMap<String, String>,
    /// Settings of the local cloud.
    pub local: Local,
}

/// The VPC that the cluster makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The VPC's CIDR block.
    pub cidr: Ipv4Net,
    /// Availability zones, in order; each gets a public and a private subnet.
    pub zones: Vec<String>,
    /// The public subnet of each zone: nodes and load balancer.
    pub public_subnets: Vec<Ipv4Net>,
    /// The private subnet of each zone, without a way out: databases.
    pub private_subnets: Vec<Ipv4Net>,
}

/// Address pools of Docker networks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swarm {
    /// The pool of overlay networks (`default-addr-pool` of `docker swarm init`).
    pub address_pool: Ipv4Net,
    /// Prefix length of one overlay network.
    pub address_pool_mask: u8,
    /// The pool that a node's own bridges are taken from (`docker0`, `docker_gwbridge`, the edge's), by networks of /24.
    pub bridge_pool: Ipv4Net,
}

/// SSH access to nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ssh {
    /// Networks from which nodes accept SSH; nobody from outside when there are none.
    pub allowed_cidrs: Vec<Ipv4Net>,
    /// The operators' public key in OpenSSH's format, for the nodes' `admin`.
    #[serde(default)]
    pub public_key: Option<String>,
}

/// Nodes of one Auto Scaling group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Their part in the Swarm.
    pub role: Role,
    /// The minimum, and the number to begin with.
    pub min: u32,
    /// The most there may be.
    pub max: u32,
    /// EC2 instance types, the preferred one first; all of one architecture.
    pub instance_types: Vec<String>,
    /// Size of the root volume in GiB.
    pub disk_gib: u32,
    /// Availability zones that the nodes are spread over.
    pub zones: Vec<String>,
    /// Whether spot instances are used, which AWS may take back within two minutes.
    pub spot: bool,
    /// Node labels of the Swarm.
    pub labels: BTreeMap<String, String>,
}

impl Group {
    /// The processor architecture of the group's instance types.
    #[must_use]
    pub fn architecture(&self) -> Architecture {
        self.instance_types.first().map_or(Architecture::X86_64, |first| Architecture::of(first))
    }
}

/// AWS's product behind the load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BalancerKind {
    /// Application Load Balancer (API `elasticloadbalancingv2`).
    Application,
    /// Classic Load Balancer, as Futuswarm had at first.
    Classic,
}

/// What the load balancer does with plain HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlainHttp {
    /// Answers 301 to HTTPS.
    Redirect,
    /// Forwards it to the nodes like HTTPS.
    Forward,
}

/// The load balancer in front of the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadBalancer {
    /// Which of the two products.
    pub kind: BalancerKind,
    /// Whether it has private addresses only.
    pub internal: bool,
    /// Networks that may reach it.
    pub allowed_cidrs: Vec<Ipv4Net>,
    /// What becomes of plain HTTP.
    pub http: PlainHttp,
    /// Seconds after which a silent connection is closed.
    pub idle_timeout_seconds: u32,
}

/// The login of the private domain, by OpenID Connect. The client's secret is not part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// URL of the provider, to the letter as its discovery document says it.
    pub issuer: String,
    /// What the provider calls us.
    pub client_id: String,
    /// Asked for beside `openid`.
    pub scopes: Vec<String>,
    /// The claim that names users.
    pub user_claim: String,
    /// The claim that names groups; absent where the provider tells none.
    #[serde(default)]
    pub groups_claim: Option<String>,
    /// Minutes after which a session without a request ends.
    pub inactivity_minutes: u32,
    /// Minutes after which a session ends in any case.
    pub longest_minutes: u32,
    /// Whom to ask, for the pages that say no.
    pub contact: String,
}

/// The PostgreSQL server of the apps, in RDS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rds {
    /// For example `db.t4g.small`.
    pub instance_class: String,
    /// Size of its volume in GiB.
    pub storage_gib: u32,
    /// Major version of PostgreSQL, for example `17`.
    pub engine_version: String,
    /// Whether a second one in another zone takes over.
    pub multi_az: bool,
    /// Days for which backups are kept.
    pub backup_days: u32,
    /// Whether AWS refuses to delete it.
    pub deletion_protection: bool,
}

/// Where the accounts of users are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ldap {
    /// For example `ldaps://ldap.example.com`.
    pub uri: String,
    /// For example `dc=example,dc=com`.
    pub base_dn: String,
}

/// Another VPC that nodes can reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peering {
    /// For example `vpc-0123456789abcdef0`.
    pub vpc: String,
    /// The other VPC's CIDR block.
    pub cidr: Ipv4Net,
    /// Its account, when it is another one.
    pub account: Option<String>,
    /// Its region, when it is another one.
    pub region: Option<String>,
    /// A role of the other account that may accept the peering and set routes; without it, somebody there does that by hand.
    pub role_arn: Option<String>,
    /// Whether the nodes may ask the LDAP server there.
    pub ldap: bool,
}

/// How long things are kept, in days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// For noncurrent versions of everything but what is below `apps/`.
    pub versions_days: u32,
    /// For what is below `backup/`.
    pub backup_days: u32,
    /// For what is below `audit/`.
    pub audit_days: u32,
}

/// Settings that only the local cloud reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Local {
    /// Loopback port of the AWS API.
    pub api_port: u16,
    /// Loopback port of the load balancer's port 80.
    pub http_port: u16,
    /// Loopback port of the load balancer's port 443.
    pub https_port: u16,
    /// Loopback port that leads to SSH of the managers.
    pub ssh_port: u16,
    /// Memory of a virtual machine in MiB.
    pub memory_mib: u32,
    /// Virtual CPUs of a virtual machine.
    pub cpus: u32,
}

/// Whether a cluster's name is one for the local cloud, which takes no others, so that a mistake never touches a real cluster.
#[must_use]
pub fn is_local(cluster: &str) -> bool {
    cluster == "local" || cluster.starts_with("local-")
}

impl Spec {
    /// Reads a spec. `file` is only for messages.
    ///
    /// # Errors
    /// With every problem that was found.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let mut root = Table::parse(file, text)?;
        let draft = read::draft(&mut root);
        check::check(&mut root, &draft);
        let problems = root.finish();
        match draft.whole() {
            Some(spec) if problems.is_empty() => Ok(spec),
            _ => Err(problems),
        }
    }

    /// The groups of one role.
    pub fn groups_of(&self, role: Role) -> impl Iterator<Item = (&String, &Group)> {
        self.groups.iter().filter(move |(_, group)| group.role == role)
    }

    /// How many nodes of a role there should be at least.
    #[must_use]
    pub fn count_of(&self, role: Role) -> u32 {
        self.groups_of(role).map(|(_, group)| group.min).sum()
    }

    /// The public subnet of each zone.
    #[must_use]
    pub fn public_subnets(&self) -> Vec<(String, Ipv4Net)> {
        self.network.zones.iter().cloned().zip(self.network.public_subnets.iter().copied()).collect()
    }

    /// The private subnet of each zone.
    #[must_use]
    pub fn private_subnets(&self) -> Vec<(String, Ipv4Net)> {
        self.network.zones.iter().cloned().zip(self.network.private_subnets.iter().copied()).collect()
    }

    /// All domains that the cluster serves.
    #[must_use]
    pub fn domains(&self) -> Vec<&str> {
        std::iter::once(self.domain.as_str()).chain(self.open_domain.as_deref()).collect()
    }
}

#[cfg(test)]
mod tests;
