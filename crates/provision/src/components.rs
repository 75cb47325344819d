//! The components of a cluster: names by which resources depend on each other and are found again (the tag `futuswarm:part`).

use futuswarm_spec::{Role, Spec};

pub(crate) const BUCKET: &str = "bucket";
/// The command line for download, where somebody asks for it.
pub(crate) const CLI: &str = "cli";
/// Its id is the key's ARN.
pub(crate) const CLUSTER_KEY: &str = "cluster-key";
pub(crate) const DATABASE: &str = "rds";
pub(crate) const DATABASE_SUBNETS: &str = "rds-subnets";
pub(crate) const EPOCH: &str = "epoch";
pub(crate) const FINGERPRINT: &str = "marks";
pub(crate) const HTTP: &str = "http";
pub(crate) const HTTPS: &str = "https";
pub(crate) const INTERNET_GATEWAY: &str = "internet-gateway";
/// Its id is the name in EC2.
pub(crate) const KEY_PAIR: &str = "ssh";
/// Its id is the balancer's ARN, or the name of a classic one.
pub(crate) const LOAD_BALANCER: &str = "load-balancer";
/// The login's record and its mark, which are there before anything else of the login is made and go after it.
pub(crate) const LOGIN: &str = "login";
pub(crate) const LOGIN_TARGET_GROUP: &str = "login-target-group";
/// Its id is the key's ARN.
pub(crate) const MANAGER_KEY: &str = "manager-key";
pub(crate) const S3_ENDPOINT: &str = "s3-endpoint";
pub(crate) const SECURITY_BALANCER: &str = "security-load-balancer";
pub(crate) const SECURITY_DATABASE: &str = "security-rds";
/// One rule of the nodes' group.
pub(crate) const SECURITY_LOGIN: &str = "security-login";
pub(crate) const SECURITY_NODES: &str = "security-nodes";
pub(crate) const SPEC: &str = "spec";
/// Of the managers; its record is their leader's.
pub(crate) const SSH_NAME: &str = "ssh-name";
pub(crate) const TARGET_GROUP: &str = "target-group";
pub(crate) const VPC: &str = "vpc";

/// Of each domain of the spec, in its order.
pub(crate) const CERTIFICATES: [&str; 2] = ["certificate", "open-certificate"];
/// Of domains that the spec no longer has.
pub(crate) const PREVIOUS_CERTIFICATES: [&str; 2] = ["former-certificate", "former-open-certificate"];
/// Of each domain of the spec, in its order.
pub(crate) const DNS: [&str; 2] = ["dns", "open-dns"];
/// Of domains that the spec no longer has.
pub(crate) const PREVIOUS_DNS: [&str; 2] = ["former-dns", "former-open-dns"];

/// What a subnet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    /// Nodes and load balancer.
    Public,
    /// Databases.
    Private,
}

impl Tier {
    /// Its subnet in a zone.
    pub(crate) fn subnet(self, zone: &str) -> String {
        match self {
            Self::Public => format!("public-{zone}"),
            Self::Private => format!("private-{zone}"),
        }
    }

    /// Its subnets in all zones of the spec.
    pub(crate) fn subnets(self, spec: &Spec) -> Vec<String> {
        spec.network.zones.iter().map(|zone| self.subnet(zone)).collect()
    }

    /// The route table of its subnets.
    pub(crate) fn route_table(self) -> &'static str {
        match self {
            Self::Public => "public-routes",
            Self::Private => "private-routes",
        }
    }
}

/// The IAM role of a node's role; its id is what AWS calls the role id.
pub(crate) fn role(role: Role) -> String {
    format!("{role}-role")
}

pub(crate) fn instance_profile(role: Role) -> String {
    format!("{role}-profile")
}

/// Of a group of nodes; its id is its newest version.
pub(crate) fn template(group: &str) -> String {
    format!("template-{group}")
}

/// The Auto Scaling group of a group, and each of its nodes.
pub(crate) fn nodes(group: &str) -> String {
    format!("node-{group}")
}

/// The group whose nodes are this component.
pub(crate) fn group_of_nodes(component: &str) -> Option<&str> {
    component.strip_prefix("node-")
}

pub(crate) fn peering(name: &str) -> String {
    format!("peering-{name}")
}

/// The peering that is this component.
pub(crate) fn name_of_peering(component: &str) -> Option<&str> {
    component.strip_prefix("peering-")
}

/// Of a certificate; its id is the certificate's ARN once it was issued.
pub(crate) fn validation(certificate: &str) -> String {
    format!("{certificate}-validation")
}

/// A key pair that goes, under its name in EC2.
pub(crate) fn previous_key_pair(name: &str) -> String {
    format!("former-ssh {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_by_a_component_is_found_by_it() {
        assert_eq!(group_of_nodes(&nodes("workers")), Some("workers"));
        assert_eq!(name_of_peering(&peering("office")), Some("office"));
        assert_eq!((group_of_nodes("template-workers"), name_of_peering("vpc")), (None, None));
    }
}
