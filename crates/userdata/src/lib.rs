//! The user data of a node: a valid `#cloud-config`, generated from typed structs, with the node's own section inside.
//!
//! cloud-init writes that section to [`NODE_CONFIG_PATH`] for people to look at. The agent does not wait for it: it reads
//! the same section from the metadata service, which saves the seconds that cloud-init takes.
//!
//! User data can be read by every process on the instance and by everybody who may describe the launch template: nothing
//! in it is a secret.

use std::collections::BTreeMap;

pub use futuswarm_model::Role;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// Where cloud-init puts the node's section.
pub const NODE_CONFIG_PATH: &str = "/run/futuswarm/node.yaml";
/// EC2's limit for user data before it is encoded, in bytes.
pub const MAX_BYTES: usize = 16 * 1024;
/// Where a node's own bridges (`docker0`, `docker_gwbridge`, the edge's) take their addresses from in the image's `daemon.json`.
pub const DEFAULT_BRIDGE_POOL: &str = "192.168.128.0/17";
/// The version of [`NodeConfig`] that this program reads and writes.
const VERSION: u32 = 2;
const HEADER: &str = "#cloud-config\n";

/// What a node must know before it can ask S3 for the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Raised with every change that an older image cannot read.
    pub version: u32,
    /// Name of the cluster.
    pub cluster: String,
    /// The cluster's AWS region.
    pub region: String,
    /// The node's part in the Swarm.
    pub role: Role,
    /// The id of its IAM role: with the instance id it makes the name under which the node may write to the bucket.
    pub role_id: String,
    /// The group of nodes that it belongs to.
    pub group: String,
    /// Name of the cluster's S3 bucket.
    pub bucket: String,
    /// KMS key (alias) for what every node may open.
    pub cluster_key: String,
    /// KMS key (alias) for what only managers may open; absent for workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager_key: Option<String>,
    /// Addresses of overlay networks, in CIDR notation.
    pub address_pool: String,
    /// Prefix length of one overlay network.
    pub address_pool_mask: u8,
    /// Addresses of the node's own bridges, in CIDR notation; absent for [`DEFAULT_BRIDGE_POOL`], which the image has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge_pool: Option<String>,
    /// The VPC's addresses, from which the node's firewall accepts what the Swarm's nodes and the load balancer say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_cidr: Option<Ipv4Net>,
    /// The subnets that nodes are in, which its containers do not reach. Later ones are in the specification in the bucket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_subnets: Vec<Ipv4Net>,
    /// The cluster's domain; services live below it.
    pub domain: String,
    /// How many managers the cluster should have.
    pub expected_managers: u32,
    /// Swarm labels of the node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// User data that is not ours, or cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It does not begin as a cloud-config.
    #[error(
        "the user data does not begin with `#cloud-config`; launch the node with the launch template that `cargo xtask deploy-cluster` makes"
    )]
    NotCloudConfig,
    /// It is not YAML of the expected shape.
    #[error("the user data cannot be read: {0}")]
    Malformed(#[from] serde_yaml::Error),
    /// It lacks the node's section.
    #[error(
        "the user data has no file {NODE_CONFIG_PATH}; launch the node with the launch template that `cargo xtask deploy-cluster` makes"
    )]
    NoNodeSection,
    /// It was made by another version.
    #[error(
        "the user data has version {version} and this image reads {VERSION}; deploy the cluster again with the image's own revision"
    )]
    Version {
        /// The version of the user data.
        version: u32,
    },
    /// A field has a value that cannot be right.
    #[error("the user data's {field} is {value:?}: {reason}")]
    Field {
        /// As in YAML.
        field: &'static str,
        /// The value of the user data.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It is longer than EC2 allows.
    #[error("the user data has {0} bytes, and EC2 allows {MAX_BYTES}: use fewer or shorter labels")]
    TooLong(usize),
}

#[derive(Serialize, Deserialize)]
struct CloudConfig {
    write_files: Vec<WriteFile>,
}

#[derive(Serialize, Deserialize)]
struct WriteFile {
    path: String,
    #[serde(default)]
    permissions: String,
    content: String,
}

impl NodeConfig {
    /// The current version of the document.
    pub const VERSION: u32 = VERSION;

    /// Finds the node's section in user data.
    ///
    /// # Errors
    /// When there is none, or it does not make sense.
    pub fn from_user_data(text: &str) -> Result<Self, Error> {
        if !text.trim_start().starts_with(HEADER.trim_end()) {
            return Err(Error::NotCloudConfig);
        }
        let document: CloudConfig = serde_yaml::from_str(text)?;
        let section = document.write_files.into_iter().find(|file| file.path == NODE_CONFIG_PATH);
        let section = section.ok_or(Error::NoNodeSection)?.content;
        // The version decides how the rest is to be read, so it is looked at alone first.
        let Versioned { version } = serde_yaml::from_str(&section)?;
        if version != VERSION {
            return Err(Error::Version { version });
        }
        let config: Self = serde_yaml::from_str(&section)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Error> {
        for (field, value) in
            [("cluster", &self.cluster), ("region", &self.region), ("bucket", &self.bucket), ("role_id", &self.role_id)]
        {
            if value.is_empty() {
                return Err(Error::Field { field, value: value.clone(), reason: "it must not be empty" });
            }
        }
        match (self.role, &self.manager_key) {
            (Role::Manager, None) => Err(Error::Field {
                field: "manager_key",
                value: String::new(),
                reason: "a manager needs the key that seals the managers' token",
            }),
            (Role::Worker, Some(key)) => Err(Error::Field {
                field: "manager_key",
                value: key.clone(),
                reason: "a worker has no business with the managers' key",
            }),
            _ => Ok(()),
        }
    }
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// Renders a node's user data.
///
/// # Errors
/// When the configuration does not make sense, or is too long for EC2.
pub fn render(config: &NodeConfig) -> Result<String, Error> {
    config.check()?;
    let document = CloudConfig {
        write_files: vec![WriteFile {
            path: NODE_CONFIG_PATH.to_owned(),
            permissions: "0644".to_owned(),
            content: serde_yaml::to_string(config)?,
        }],
    };
    let text = format!(
        "{HEADER}# Made by `cargo xtask deploy-cluster`. Nothing in here is secret.\n{}",
        serde_yaml::to_string(&document)?
    );
    if text.len() > MAX_BYTES {
        return Err(Error::TooLong(text.len()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
