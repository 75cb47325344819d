//! What the daemon must know of a cluster spec.

use std::path::Path;

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

/// The settings of one local cloud.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CloudConfig {
    /// The cluster's name.
    pub cluster: String,
    /// The AWS region that the cloud pretends to be.
    pub region: String,
    /// The VPC's addresses.
    pub network: Ipv4Net,
    /// Loopback port of the AWS API.
    pub api_port: u16,
    /// Loopback port of the load balancer.
    pub http_port: u16,
    /// Memory of a virtual machine in MiB.
    pub memory_mib: u32,
    /// Virtual CPUs of a virtual machine.
    pub cpus: u32,
    /// How guests are run.
    pub accel: Accel,
}

/// The parts of a cluster spec that the daemon reads. The whole file is validated by the spec's own crate before anything
/// is provisioned; here only what matters is looked at.
#[derive(Deserialize)]
struct SpecFile {
    cluster: String,
    region: String,
    network: Option<NetworkTable>,
    #[serde(default)]
    local: LocalTable,
}

#[derive(Deserialize)]
struct NetworkTable {
    cidr: Option<Ipv4Net>,
}

#[derive(Deserialize)]
#[serde(default)]
struct LocalTable {
    api_port: u16,
    http_port: u16,
    memory_mib: u32,
    cpus: u32,
}

impl Default for LocalTable {
    fn default() -> Self {
        Self { api_port: 4566, http_port: 8080, memory_mib: 1536, cpus: 1 }
    }
}

impl CloudConfig {
    /// Reads a cluster spec.
    ///
    /// # Errors
    /// When the file cannot be read, or names a cluster that is not local.
    pub fn load(spec: &Path, accel: Accel) -> Result<Self> {
        let text = std::fs::read_to_string(spec).map_err(file("cannot read the cluster spec", spec))?;
        Self::parse(&text, accel).map_err(|error| Error::Config(format!("{}: {error}", spec.display())))
    }

    fn parse(text: &str, accel: Accel) -> Result<Self> {
        let spec: SpecFile = toml::from_str(text).map_err(|error| Error::Config(error.to_string()))?;
        if spec.cluster != "local" && !spec.cluster.starts_with("local-") {
            return Err(Error::Config(format!(
                "the cluster {} is not a local one: `--local` accepts only `local` and `local-…`, so that a mistake never touches a real cluster",
                spec.cluster
            )));
        }
        if spec.local.api_port == spec.local.http_port {
            return Err(Error::Config("api_port and http_port under [local] are the same: choose two".to_owned()));
        }
        let network = spec.network.and_then(|network| network.cidr);
        Ok(Self {
            cluster: spec.cluster,
            region: spec.region,
            network: network.unwrap_or_else(|| Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 42, 0, 0), 16)),
            api_port: spec.local.api_port,
            http_port: spec.local.http_port,
            memory_mib: spec.local.memory_mib,
            cpus: spec.local.cpus,
            accel,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_clusters_are_accepted() {
        let spec = |cluster: &str| format!("cluster = \"{cluster}\"\nregion = \"eu-west-1\"\n");
        assert_eq!(CloudConfig::parse(&spec("local"), Accel::Tcg).unwrap().api_port, 4566);
        assert!(CloudConfig::parse(&spec("local-2"), Accel::Tcg).is_ok());
        let message = CloudConfig::parse(&spec("prod"), Accel::Tcg).unwrap_err().to_string();
        assert!(message.starts_with("the cluster prod is not a local one"), "{message}");
    }
}
