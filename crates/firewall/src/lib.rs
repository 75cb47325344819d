//! The node's firewall: which networks of the cluster its rules name, as nftables set elements; no input or output.
//!
//! The rules are in the image (`images/node/rootfs/usr/share/futuswarm/firewall.nft`) and name sets. What is in these sets is
//! the cluster's to say: it is rendered here, and the rules include it when they are loaded.

use std::fmt::Write as _;

use ipnet::Ipv4Net;
use serde::Deserialize;

/// The family and the name of the table, as arguments of `nft`.
pub const TABLE: [&str; 2] = ["inet", "futuswarm"];
/// The rules, which replace the whole table in one transaction when they are loaded.
pub const RULES: &str = "/usr/share/futuswarm/firewall.nft";
/// Where the rules include the elements of their sets from, in the folder that the agent writes to.
pub const ELEMENTS: &str = "firewall.nft";
/// The port of an internal load balancer that containers reach: nodes have nothing there.
const HTTPS: u16 = 443;

/// The networks that the rules are about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks {
    /// CIDR blocks of the VPC.
    pub vpc: Vec<Ipv4Net>,
    /// The subnets that nodes and load balancers are in.
    pub nodes: Vec<Ipv4Net>,
    /// The subnets of databases and of endpoints of AWS's services, where no node is.
    pub private: Vec<Ipv4Net>,
    /// From where people log in.
    pub ssh: Vec<Ipv4Net>,
    /// Whether the load balancer has addresses in the nodes' subnets only, so that containers must reach it there.
    pub internal_balancer: bool,
}

/// A specification that does not say what the firewall must know.
#[derive(Debug, thiserror::Error)]
#[error("the cluster's specification does not name its networks: {0}")]
pub struct Error(#[from] serde_json::Error);

/// The part of the cluster's specification that is read, as provisioning writes it to the bucket.
#[derive(Deserialize)]
struct Specification {
    network: Network,
    ssh: Ssh,
    load_balancer: LoadBalancer,
}

#[derive(Deserialize)]
struct Network {
    cidr: Ipv4Net,
    public_subnets: Vec<Ipv4Net>,
    private_subnets: Vec<Ipv4Net>,
}

#[derive(Deserialize)]
struct Ssh {
    allowed_cidrs: Vec<Ipv4Net>,
}

#[derive(Deserialize)]
struct LoadBalancer {
    internal: bool,
}

impl Networks {
    /// The networks of a specification.
    ///
    /// # Errors
    /// When it lacks one of them: a firewall is never rendered from half of what it must know.
    pub fn of_specification(document: serde_json::Value) -> Result<Self, Error> {
        let Specification { network, ssh, load_balancer } = serde_json::from_value(document)?;
        Ok(Self {
            vpc: vec![network.cidr],
            nodes: network.public_subnets,
            private: network.private_subnets,
            ssh: ssh.allowed_cidrs,
            internal_balancer: load_balancer.internal,
        })
    }

    /// The elements of the sets, in nftables' own language. While the nodes' subnets are unknown, what containers do not reach
    /// stays what the rules say: every private network.
    #[must_use]
    pub fn elements(&self) -> String {
        let mut text =
            String::from("# Written by the agent from the cluster's specification; included by the rules.\n");
        if !self.nodes.is_empty() {
            set(&mut text, "closed_networks", None);
        }
        for (name, networks) in [
            ("vpc", &self.vpc),
            ("node", &self.nodes),
            ("private", &self.private),
            ("ssh", &self.ssh),
            ("closed", &self.nodes),
        ] {
            // nftables refuses overlapping elements.
            let networks: Vec<String> = Ipv4Net::aggregate(networks).iter().map(ToString::to_string).collect();
            if !networks.is_empty() {
                set(&mut text, &format!("{name}_networks"), Some(&networks.join(", ")));
            }
        }
        if self.internal_balancer {
            set(&mut text, "balancer_ports", Some(&HTTPS.to_string()));
        }
        text
    }
}

/// Adds elements to a set; without any, takes away what the rules put there.
fn set(text: &mut String, name: &str, elements: Option<&str>) {
    let table = TABLE.join(" ");
    let _infallible = match elements {
        Some(elements) => writeln!(text, "add element {table} {name} {{ {elements} }}"),
        None => writeln!(text, "flush set {table} {name}"),
    };
}

#[cfg(test)]
mod tests;
