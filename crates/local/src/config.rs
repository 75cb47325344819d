//! What the daemon must know of a cluster spec.

use std::path::Path;

use futuswarm_spec::Spec;
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
pub enum Extent {
    /// Only the API and the load balancer.
    Api,
    /// Databases, too, but no machines.
    Databases,
    /// Everything.
    Machines,
}

impl Extent {
    /// The extent that the two switches of the command line mean.
    pub fn of(api_only: bool, no_machines: bool) -> Self {
        match (api_only, no_machines) {
            (true, _) => Self::Api,
            (false, true) => Self::Databases,
            (false, false) => Self::Machines,
        }
    }
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
    /// Reads a cluster spec.
    ///
    /// # Errors
    /// When the file cannot be read, or names a cluster that is not local.
    pub fn load(spec: &Path, accel: Accel) -> Result<Self> {
        let text = std::fs::read_to_string(spec).map_err(file("cannot read the cluster spec", spec))?;
        Self::parse(&spec.display().to_string(), &text, accel)
    }

    fn parse(file: &str, text: &str, accel: Accel) -> Result<Self> {
        let spec = Spec::parse(file, text).map_err(|problems| Error::Config(problems.to_string()))?;
        if spec.cluster != "local" && !spec.cluster.starts_with("local-") {
            return Err(Error::Config(format!(
                "{file}: the cluster {:?} is not a local one: `--local` accepts only \"local\" and names that begin with \"local-\", so that a mistake never touches a real cluster",
                spec.cluster
            )));
        }
        Ok(Self {
            cluster: spec.cluster,
            domains: std::iter::once(spec.domain).chain(spec.open_domain).collect(),
            region: spec.region,
            network: spec.network.cidr,
            api_port: spec.local.api_port,
            http_port: spec.local.http_port,
            https_port: spec.local.https_port,
            memory_mib: spec.local.memory_mib,
            cpus: spec.local.cpus,
            accel,
            machines: spec.groups.values().map(|group| group.min).sum(),
        })
    }
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
        assert_eq!(config.domains, ["apps.localhost"]);
        assert!(parse("local-2").is_ok());
        let message = parse("prod").unwrap_err().to_string();
        assert!(message.starts_with("x.toml: the cluster \"prod\" is not a local one"), "{message}");
    }
}
