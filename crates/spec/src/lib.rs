//! The cluster spec: one TOML file, read into types, with every problem reported at once, each with its line.

mod problem;
mod reader;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

pub use futuswarm_store::Role;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

pub use problem::{Problem, Problems};
use reader::Table;

/// A cluster as its operator wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Name of the cluster: part of the name of everything that is made.
    pub cluster: String,
    /// AWS region.
    pub region: String,
    /// Domain below which services live.
    pub domain: String,
    /// Addresses.
    pub network: Network,
    /// Overlay networks.
    pub swarm: Swarm,
    /// Networks from which nodes accept SSH.
    pub ssh_allowed_cidrs: Vec<Ipv4Net>,
    /// Groups of nodes by name.
    pub groups: BTreeMap<String, Group>,
    /// Tags on everything that is made.
    pub tags: BTreeMap<String, String>,
    /// Settings of the local cloud.
    pub local: Local,
}

/// The VPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// All its addresses.
    pub cidr: Ipv4Net,
    /// Availability zones, in order; each gets one subnet.
    pub zones: Vec<String>,
}

/// The Swarm's overlay networks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swarm {
    /// The pool they are taken from.
    pub address_pool: Ipv4Net,
    /// Prefix length of each.
    pub address_pool_mask: u8,
}

/// Nodes that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Their part in the Swarm.
    pub role: Role,
    /// How many.
    pub count: u32,
    /// EC2 instance type.
    pub instance_type: String,
    /// Size of the root volume in GiB.
    pub disk_gib: u32,
    /// Swarm labels.
    pub labels: BTreeMap<String, String>,
}

/// The local cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Local {
    /// Loopback port of the AWS API.
    pub api_port: u16,
    /// Loopback port of the load balancer's port 80.
    pub http_port: u16,
    /// Loopback port of the load balancer's port 443.
    pub https_port: u16,
    /// Memory of a virtual machine in MiB.
    pub memory_mib: u32,
    /// Virtual CPUs of a virtual machine.
    pub cpus: u32,
}

/// Prefix length of a zone's subnet.
const SUBNET_PREFIX: u8 = 20;
/// EC2's smallest root volume that holds the image and leaves room for containers, in GiB.
const LEAST_DISK_GIB: i64 = 4;

impl Spec {
    /// Reads a spec. `file` is only for messages.
    ///
    /// # Errors
    /// With every problem that was found.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let mut root = Table::parse(file, text)?;
        let spec = read(&mut root);
        let mut problems = root.finish();
        match spec {
            Some(spec) if problems.is_empty() => {
                spec.check(&root, &mut problems);
                if problems.is_empty() { Ok(spec) } else { Err(problems) }
            }
            _ => Err(problems),
        }
    }

    /// The groups of one role.
    pub fn groups_of(&self, role: Role) -> impl Iterator<Item = (&String, &Group)> {
        self.groups.iter().filter(move |(_, group)| group.role == role)
    }

    /// How many nodes of a role there should be.
    #[must_use]
    pub fn count_of(&self, role: Role) -> u32 {
        self.groups_of(role).map(|(_, group)| group.count).sum()
    }

    /// The subnet of each zone.
    #[must_use]
    pub fn subnets(&self) -> Vec<(String, Ipv4Net)> {
        let prefix = SUBNET_PREFIX.max(self.network.cidr.prefix_len());
        let subnets = self.network.cidr.subnets(prefix).into_iter().flatten();
        self.network.zones.iter().cloned().zip(subnets).collect()
    }

    /// What the types cannot say.
    fn check(&self, root: &Table, problems: &mut Problems) {
        let managers = self.count_of(Role::Manager);
        if ![1, 3, 5, 7].contains(&managers) {
            let message = format!(
                "the groups with role \"manager\" have {managers} nodes together; a Swarm needs 1, 3, 5 or 7, because a majority of them must be alive"
            );
            problems.add(root.line_of("groups"), "groups", message);
        }
        if self.subnets().len() < self.network.zones.len() {
            let message = format!(
                "{} has no room for {} subnets of /{SUBNET_PREFIX}; take a larger network",
                self.network.cidr,
                self.network.zones.len()
            );
            problems.add(root.line_of("network"), "network.cidr", message);
        }
        let (pool, vpc) = (self.swarm.address_pool, self.network.cidr);
        if pool.contains(&vpc) || vpc.contains(&pool) {
            let message = format!(
                "the overlay networks' pool {pool} and the VPC {vpc} overlap; containers could not reach the nodes"
            );
            problems.add(root.line_of("swarm"), "swarm.address_pool", message);
        }
        if self.swarm.address_pool_mask <= pool.prefix_len() || self.swarm.address_pool_mask > 29 {
            let message = format!(
                "a network of /{} cannot be taken from {pool}; choose a number between {} and 29",
                self.swarm.address_pool_mask,
                pool.prefix_len() + 1
            );
            problems.add(root.line_of("swarm"), "swarm.address_pool_mask", message);
        }
        for zone in &self.network.zones {
            if !zone.starts_with(&self.region) {
                let message = format!("the zone {zone:?} is not in the region {:?}", self.region);
                problems.add(root.line_of("network"), "network.zones", message);
            }
        }
        if self.local.api_port == self.local.http_port {
            problems.add(
                root.line_of("local"),
                "local.http_port",
                "it is the same as local.api_port; choose two ports".to_owned(),
            );
        }
    }
}

fn read(root: &mut Table) -> Option<Spec> {
    let cluster = root.string("cluster", None, |name| {
        let good = (2..=24).contains(&name.len())
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        good.then_some(()).ok_or("2 to 24 lower-case letters, digits and hyphens, a letter first")
    });
    let region = root.string("region", None, |name| {
        let good = name.split('-').count() >= 3
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        good.then_some(()).ok_or("an AWS region such as \"eu-west-1\"")
    });
    let domain = root.string("domain", None, |name| {
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        name.split('.').all(label).then_some(()).ok_or("a domain name such as \"apps.example.com\"")
    });
    let default_region = region.clone().unwrap_or_default();
    let network = root.table("network", |table| {
        let cidr = table.network("cidr", Some(Ipv4Net::new_assert(Ipv4Addr::new(10, 42, 0, 0), 16)));
        let zones = table.strings("zones").unwrap_or_default();
        let zones = if zones.is_empty() {
            ["a", "b", "c"].map(|zone| format!("{default_region}{zone}")).to_vec()
        } else {
            zones
        };
        Some(Network { cidr: cidr?, zones })
    });
    let swarm = root.table("swarm", |table| {
        let pool = table.network("address_pool", Some(Ipv4Net::new_assert(Ipv4Addr::new(10, 128, 0, 0), 9)));
        let mask = table.integer("address_pool_mask", Some(24), 8..=29);
        Some(Swarm { address_pool: pool?, address_pool_mask: u8::try_from(mask?).ok()? })
    });
    let ssh = root.table("ssh", |table| table.networks("allowed_cidrs"));
    let groups = root.tables("groups", |_, table| {
        let role = table.choice("role", &[("manager", Role::Manager), ("worker", Role::Worker)]);
        let count = table.integer("count", None, 0..=100);
        let instance_type = table.string("instance_type", None, |name| {
            name.contains('.').then_some(()).ok_or("an EC2 instance type such as \"t3.small\"")
        });
        let disk_gib = table.integer("disk_gib", Some(20), LEAST_DISK_GIB..=16384);
        let labels = table.map("labels");
        Some(Group {
            role: role?,
            count: u32::try_from(count?).ok()?,
            instance_type: instance_type?,
            disk_gib: u32::try_from(disk_gib?).ok()?,
            labels: labels?,
        })
    });
    let tags = root.map("tags");
    let local = root.table("local", |table| {
        let api_port = table.integer("api_port", Some(4566), 1..=65535);
        let http_port = table.integer("http_port", Some(8080), 1..=65535);
        let https_port = table.integer("https_port", Some(8443), 1..=65535);
        let memory_mib = table.integer("memory_mib", Some(1536), 768..=65536);
        let cpus = table.integer("cpus", Some(1), 1..=64);
        Some(Local {
            api_port: u16::try_from(api_port?).ok()?,
            http_port: u16::try_from(http_port?).ok()?,
            https_port: u16::try_from(https_port?).ok()?,
            memory_mib: u32::try_from(memory_mib?).ok()?,
            cpus: u32::try_from(cpus?).ok()?,
        })
    });
    Some(Spec {
        cluster: cluster?,
        region: region?,
        domain: domain?,
        network: network?,
        swarm: swarm?,
        ssh_allowed_cidrs: ssh?,
        groups: groups?,
        tags: tags?,
        local: local?,
    })
}

#[cfg(test)]
mod tests;
