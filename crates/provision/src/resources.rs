//! One file per kind of resource. Each looks, compares and acts; `apply` and `destroy` call them in their order.

mod balancer;
mod bucket;
mod groups;
mod image;
mod keys;
mod network;
mod roles;
mod security;
mod ssh_key;
mod template;

use futuswarm_spec::Role;

use crate::error::Error;
use crate::{Action, Cloud};

/// The parts that the two KMS keys are.
const CLUSTER_KEY: &str = "cluster-key";
const MANAGER_KEY: &str = "manager-key";

/// Identifiers of what was found or made; absent only in a plan that would create it first.
#[derive(Debug, Default)]
pub struct Made {
    image: Option<String>,
    cluster_key: Option<String>,
    manager_key: Option<String>,
    vpc: Option<String>,
    subnets: Vec<String>,
    nodes_group: Option<String>,
    balancer_group: Option<String>,
    target_group: Option<String>,
}

/// Makes the cluster what its spec says.
///
/// # Errors
/// When AWS refuses; what was made so far stays, and the next run carries on.
pub async fn apply(cloud: &mut Cloud) -> Result<(), Error> {
    let mut made = Made { image: Some(image::find(cloud).await?), ..Made::default() };
    made.cluster_key = keys::ensure(cloud, &cloud.names.cluster_key(), CLUSTER_KEY).await?;
    made.manager_key = keys::ensure(cloud, &cloud.names.manager_key(), MANAGER_KEY).await?;
    bucket::ensure(cloud, made.cluster_key.as_deref()).await?;
    for role in [Role::Manager, Role::Worker] {
        roles::ensure(cloud, role, made.cluster_key.as_deref(), made.manager_key.as_deref()).await?;
    }
    network::ensure(cloud, &mut made).await?;
    security::ensure(cloud, &mut made).await?;
    ssh_key::ensure(cloud).await?;
    balancer::ensure(cloud, &mut made).await?;
    // The spec is in the bucket before the first node starts.
    bucket::write_spec(cloud).await?;
    for (name, group) in cloud.spec.groups.clone() {
        let version = template::ensure(cloud, &made, &name, &group).await?;
        groups::ensure(cloud, &made, &name, &group, version.as_deref()).await?;
    }
    groups::remove_unwanted(cloud).await
}

/// Deletes everything that belongs to the cluster, in reverse order. What is gone already is no error. The state bucket and
/// the keys that open it stay, unless `delete_data` is set.
///
/// # Errors
/// With everything that could not be deleted; what does not hang on it was. The next run carries on.
pub async fn destroy(cloud: &mut Cloud, delete_data: bool) -> Result<(), Error> {
    let mut left = Vec::new();
    let instances = groups::delete_all(cloud).await;
    let instances_gone = instances.is_ok();
    left.extend(instances.err());
    left.extend(template::delete_all(cloud).await.err());
    left.extend(balancer::delete(cloud).await.err());
    left.extend(ssh_key::delete(cloud).await.err());
    // Under living instances these would only time out, one after the other.
    if instances_gone {
        left.extend(security::delete(cloud).await.err());
        left.extend(network::delete(cloud).await.err());
    }
    for role in [Role::Manager, Role::Worker] {
        left.extend(roles::delete(cloud, role).await.err());
    }
    if delete_data {
        left.extend(bucket::delete(cloud).await.err());
        left.extend(keys::delete(cloud, &cloud.names.cluster_key(), CLUSTER_KEY).await.err());
        left.extend(keys::delete(cloud, &cloud.names.manager_key(), MANAGER_KEY).await.err());
    }
    if left.is_empty() { Ok(()) } else { Err(Error::Left(left)) }
}

/// Deletes one thing if the plan says so and treats "not there" as success.
pub(crate) async fn gone<T>(
    cloud: &mut Cloud,
    kind: &'static str,
    name: &str,
    delete: impl Future<Output = Result<T, futuswarm_aws::Error>>,
) -> Result<(), Error> {
    if !cloud.plan.begin(Action::Delete, kind, name) {
        return Ok(());
    }
    match delete.await {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The load balancer's DNS name.
pub(crate) async fn balancer_name(cloud: &Cloud) -> Result<Option<String>, Error> {
    Ok(balancer::find(cloud).await?.map(|(_, name)| name))
}
