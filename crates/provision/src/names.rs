//! The names of everything that is made for a cluster.

use futuswarm_spec::Role;

/// Tag that says which cluster a resource belongs to.
pub(crate) const CLUSTER_TAG: &str = "futuswarm:cluster";
/// Tag that says which component of the cluster a resource is; unique within it.
pub(crate) const PART_TAG: &str = "futuswarm:part";

/// Names for one cluster.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) cluster: String,
    /// Its number.
    pub(crate) account: String,
    pub(crate) region: String,
}

impl Names {
    /// The part of AWS that the region is in, as ARNs have it.
    pub(crate) fn partition(&self) -> &'static str {
        match self.region.split('-').next() {
            Some("cn") => "aws-cn",
            _ if self.region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        }
    }

    /// The ARN of something of a service in the account and the region.
    pub(crate) fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:{}:{service}:{}:{}:{resource}", self.partition(), self.region, self.account)
    }

    /// The state bucket; bucket names are unique in all of AWS.
    pub(crate) fn bucket(&self) -> String {
        format!("futuswarm-{}-{}-{}", self.cluster, self.account, self.region)
    }

    /// The KMS key that every node may use.
    pub(crate) fn cluster_key(&self) -> String {
        format!("alias/futuswarm/{}/cluster", self.cluster)
    }

    /// The KMS key that only managers may use.
    pub(crate) fn manager_key(&self) -> String {
        format!("alias/futuswarm/{}/managers", self.cluster)
    }

    /// The IAM role and instance profile of a role; IAM is one for all regions.
    pub(crate) fn role(&self, role: Role) -> String {
        format!("futuswarm-{}-{}-{role}", self.cluster, self.region)
    }

    /// `futuswarm-<cluster>-<component>`, the form of all other names.
    pub(crate) fn of(&self, component: &str) -> String {
        format!("futuswarm-{}-{component}", self.cluster)
    }

    /// The database and its subnet group.
    pub(crate) fn database(&self) -> String {
        self.of("db")
    }

    /// Load balancers and target groups have at most 32 characters; a cluster has at most 24.
    pub(crate) fn balancer(&self) -> String {
        format!("fsw-{}", self.cluster)
    }

    /// The target group of the login; one that began as the balancer's could be another cluster's.
    pub(crate) fn login_targets(&self) -> String {
        format!("fsso-{}", self.cluster)
    }
}
