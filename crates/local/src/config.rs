//! What the daemon must know of a cluster spec.

use std::collections::BTreeSet;
use std::path::Path;

use futuswarm_spec::{Role, Spec};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, file};

/// How guests are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// KVM where a probe shows that it works, software emulation otherwise.
    Auto,
    /// Hardware virtualisation.
    Kvm,
    /// Software emulation.
    Tcg,
}

/// How much of a cloud there is behind the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Only the API and the load balancer.
    Api,
    /// Databases, too, but no machines.
    Databases,
    /// Everything.
    Machines,
}

impl Mode {
    /// The mode that the two switches of the command line mean.
    pub fn of(api_only: bool, no_machines: bool) -> Self {
        match (api_only, no_machines) {
            (true, _) => Self::Api,
            (false, true) => Self::Databases,
            (false, false) => Self::Machines,
        }
    }
}

/// Keys under `[local]` that are loopback ports.
pub const PORT_KEYS: [&str; 4] = ["api_port", "http_port", "https_port", "ssh_port"];

/// The usual SSH port of a configuration that an earlier version wrote.
fn usual_ssh_port() -> u16 {
    2222
}

/// The settings of one local cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudConfig {
    /// The cluster's name.
    pub cluster: String,
    /// The AWS region that the cloud pretends to be.
    pub region: String,
    /// Domains that the pretended account has zones for.
    #[serde(default)]
    pub domains: Vec<String>,
    /// The VPC's addresses.
    pub network: Ipv4Net,
    /// Loopback port of the AWS API.
    pub api_port: u16,
    /// Loopback port of the load balancer.
    pub http_port: u16,
    /// Loopback port of the load balancer's TLS listener.
    pub https_port: u16,
    /// Loopback port that leads to SSH of the managers.
    #[serde(default = "usual_ssh_port")]
    pub ssh_port: u16,
    /// Groups of the spec whose nodes are managers.
    #[serde(default)]
    pub manager_groups: BTreeSet<String>,
    /// Keys of the ports that the spec sets. The others are only usual: where they are taken, free ones are used.
    #[serde(default)]
    pub set_ports: BTreeSet<String>,
    /// Memory of a virtual machine in MiB.
    pub memory_mib: u32,
    /// Virtual CPUs of a virtual machine.
    pub cpus: u32,
    /// How guests are run.
    pub accel: Accel,
    /// How many machines the spec asks for.
    pub machines: u32,
}

impl CloudConfig {
    /// The ports, in the order of [`PORT_KEYS`].
    pub fn ports(&self) -> [u16; 4] {
        [self.api_port, self.http_port, self.https_port, self.ssh_port]
    }

    /// The same settings with these ports, in the order of [`PORT_KEYS`].
    #[must_use]
    pub fn with_ports(self, [api_port, http_port, https_port, ssh_port]: [u16; 4]) -> Self {
        Self { api_port, http_port, https_port, ssh_port, ..self }
    }

    /// Reads a cluster spec.
    ///
    /// # Errors
    /// When the file cannot be read, or names a cluster that is not local.
    pub fn load(spec: &Path, accel: Accel) -> Result<Self> {
        let text = std::fs::read_to_string(spec).map_err(file("cannot read the cluster spec", spec))?;
        Self::parse(&spec.display().to_string(), &text, accel)
    }

    pub(crate) fn parse(file: &str, text: &str, accel: Accel) -> Result<Self> {
        let spec = Spec::parse(file, text).map_err(|problems| Error::Config(problems.to_string()))?;
        if !futuswarm_spec::is_local(&spec.cluster) {
            return Err(Error::Config(format!(
                "{file}: the cluster {:?} is not a local one: `--local` accepts only \"local\" and names that begin with \"local-\", so that a mistake never touches a real cluster",
                spec.cluster
            )));
        }
        let managers = spec.groups.iter().filter(|(_, group)| group.role == Role::Manager);
        Ok(Self {
            cluster: spec.cluster,
            domains: std::iter::once(spec.domain).chain(spec.open_domain).collect(),
            region: spec.region,
            network: spec.network.cidr,
            api_port: spec.local.api_port,
            http_port: spec.local.http_port,
            https_port: spec.local.https_port,
            ssh_port: spec.local.ssh_port,
            manager_groups: managers.map(|(name, _)| name.clone()).collect(),
            set_ports: set_ports(text),
            memory_mib: spec.local.memory_mib,
            cpus: spec.local.cpus,
            accel,
            machines: spec.groups.values().map(|group| group.min).sum(),
        })
    }
}

/// The ports that a spec, which has been read before, sets itself.
fn set_ports(text: &str) -> BTreeSet<String> {
    let table: Option<toml::Table> = text.parse().ok();
    let local = table.as_ref().and_then(|table| table.get("local")?.as_table());
    let keys = local.into_iter().flat_map(toml::Table::keys);
    keys.filter(|key| PORT_KEYS.contains(&key.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_clusters_are_accepted() {
        let text = include_str!("../../../clusters/local.toml");
        let parse = |cluster: &str| {
            CloudConfig::parse("x.toml", &text.replace("\"local\" ", &format!("\"{cluster}\" ")), Accel::Tcg)
        };
        let config = parse("local").unwrap();
        assert_eq!((config.api_port, config.http_port, config.https_port, config.machines), (4566, 8080, 8443, 3));
        assert_eq!((config.ssh_port, config.manager_groups.clone()), (2222, ["managers".to_owned()].into()));
        assert_eq!(config.domains, ["apps.localhost"]);
        assert_eq!(config.set_ports, BTreeSet::new());
        let set = text.replace("# http_port = 8080 ", "http_port = 8080 ");
        let set = CloudConfig::parse("x.toml", &set, Accel::Tcg).unwrap();
        assert_eq!((set.http_port, set.set_ports), (8080, ["http_port".to_owned()].into()));
        assert!(parse("local-2").is_ok());
        let message = parse("prod").unwrap_err().to_string();
        assert!(message.starts_with("x.toml: the cluster \"prod\" is not a local one"), "{message}");
    }
}
