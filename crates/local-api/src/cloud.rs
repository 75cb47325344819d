//! What a running local cloud says of itself and of its machines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What `futuswarm-local cloud` prints, and the content of `cloud.json` in the cluster's state folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CloudInfo {
    /// The cluster's name in its spec.
    pub cluster: String,
    /// URL of the AWS API on this machine's loopback.
    pub api_endpoint: String,
    /// URL of the AWS API inside the network namespace, without TLS; nodes themselves ask AWS's names.
    pub node_endpoint: String,
    /// From where the operator's SSH reaches nodes, as a CIDR block.
    pub operator_network: String,
    /// URL of the load balancer's plain port.
    pub url: String,
    /// Id of the pretended account.
    pub account: String,
    /// The pretended region.
    pub region: String,
    /// Name of the network namespace.
    pub netns: String,
    /// The cluster's state folder.
    pub state_dir: String,
    /// Public part of the operator's SSH key, in the form of OpenSSH.
    pub ssh_public_key: String,
    /// File with the certificate of the local authority that the load balancer's and the databases' certificates come from.
    pub ca_certificate: String,
    /// URL of the load balancer's TLS port.
    pub https_url: String,
    /// Where SSH of the managers answers on this machine, as HOST:PORT; empty in what an earlier version wrote.
    #[serde(default)]
    pub ssh: String,
    /// A Python interpreter that has boto3, for scripts against the API.
    pub python: String,
    /// What an AWS client needs in its environment. The keys open this emulator and nothing else.
    pub environment: BTreeMap<String, String>,
}

/// A virtual machine that is switched on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VmStatus {
    /// Instance id.
    pub instance: String,
    /// Primary address in the VPC.
    pub address: String,
    /// Availability zone.
    pub zone: String,
    /// AMI id.
    pub image: String,
    /// AMI name; empty when the AMI is gone.
    pub image_name: String,
    /// Auto Scaling group; empty for an instance without one.
    pub group: String,
    /// `running`, or `ending` while its guest shuts down.
    pub state: String,
    /// Seconds since the epoch at power-on.
    pub powered_on: u64,
    /// Id of QEMU's process.
    pub pid: u32,
}
