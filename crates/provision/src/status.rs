//! The state of a cluster: what EC2 says of its instances, put together with what the nodes say of themselves.

mod launches;

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Instance, InstanceStateName};
use futuswarm_edge::{Refusal, Routes};
use futuswarm_model::{FRESH, NodeRecord, NodeState, SshAuthority, keys, unix_millis};
use futuswarm_spec::{PlainHttp, Role};
use serde::Serialize;

use crate::error::Error;
use crate::names::PART_TAG;
use crate::resources::balancer;
use crate::{Aws, Cluster, components, inventory};

/// A cluster's state; its JSON form is an interface.
#[derive(Debug, Serialize)]
pub struct Status {
    /// As in its spec.
    pub cluster: String,
    /// Where its page answers.
    pub url: String,
    /// Where the command line of developers reaches the cluster: SSH as HOST:PORT.
    pub ssh: String,
    /// Public key of the authority that certifies the managers' host keys, `ssh-ed25519 BASE64`; absent until a manager has made it.
    pub ssh_host_ca: Option<String>,
    /// The emulated AWS endpoint; absent on AWS.
    pub api_endpoint: Option<String>,
    /// Every instance of its groups that has not ended, also one that never said anything.
    pub nodes: Vec<Node>,
    /// Services that ask to be served and are not, or not under every name, and why.
    pub not_served: Vec<Refusal>,
}

/// What AWS and the heartbeat say of one instance.
#[derive(Debug, Serialize)]
pub struct Node {
    /// EC2 instance id.
    pub instance: String,
    /// Swarm node id, once it has one.
    pub node: Option<String>,
    /// Its part in the Swarm.
    pub role: Role,
    /// `booting` until the node says something itself.
    pub state: String,
    /// Whether it is Ready, its edge has every route that it can have, and it was heard of lately.
    pub ready: bool,
    /// Whether its edge has every route that it can have.
    pub serves: bool,
    /// Primary private address.
    pub address: String,
    /// Availability zone.
    pub zone: String,
    /// Image id.
    pub image: String,
    /// Seconds from power-on to Ready.
    pub joined_seconds: Option<f64>,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The section of the spec that it belongs to.
    pub group: String,
}

/// Why AWS did not start an instance that a group should have, as Auto Scaling tells it: quotas, capacity, permissions, keys.
/// Nothing when the newest launch that has ended went well.
pub async fn refusal(aws: &Aws, cluster: &Cluster) -> Option<String> {
    let now = i64::try_from(unix_millis() / 1000).unwrap_or(i64::MAX);
    for name in cluster.spec.groups.keys() {
        let ask = aws.scaling.describe_scaling_activities().auto_scaling_group_name(cluster.names.of(name));
        // What it is for is a better message, so its own failure is none.
        let Ok(answer) = ask.max_records(launches::PAGE).send().await else { continue };
        if let Some(reason) = launches::failure(answer.activities(), now) {
            return Some(format!("Auto Scaling started no instance for the group {name}: {reason}"));
        }
    }
    None
}

/// What AWS and the nodes say now.
///
/// # Errors
/// When AWS does not answer.
pub async fn observe(aws: &Aws, cluster: &Cluster, url: &str) -> Result<Status, Error> {
    let records: BTreeMap<String, NodeRecord> = match futuswarm_store::node_records(&aws.store).await {
        Ok(records) => records.into_iter().map(|record| (record.instance.clone(), record)).collect(),
        // Before the first apply there is no bucket.
        Err(futuswarm_store::Error::Service { source, .. }) if source.is_not_found() => BTreeMap::new(),
        Err(error) => return Err(error.into()),
    };
    let now = unix_millis();
    let nodes = inventory::instances(aws, cluster)
        .await?
        .iter()
        .map(|instance| node(cluster, instance, &records, now))
        .collect();
    // Without records there is no bucket, or nobody who could have written routes.
    let (routes, authority) = match records.is_empty() {
        true => (None, None),
        false => {
            (aws.store.get::<Routes>(keys::ROUTES).await?, aws.store.get::<SshAuthority>(keys::SSH_AUTHORITY).await?)
        }
    };
    Ok(Status {
        cluster: cluster.spec.cluster.clone(),
        url: url.to_owned(),
        ssh: format!("ssh.{}:22", cluster.spec.domain),
        ssh_host_ca: authority.map(|authority| authority.value.public),
        api_endpoint: aws.endpoint().map(str::to_owned),
        nodes,
        not_served: routes.map(|routes| routes.value.refused).unwrap_or_default(),
    })
}

fn node(cluster: &Cluster, instance: &Instance, records: &BTreeMap<String, NodeRecord>, now: u64) -> Node {
    let id = instance.instance_id().unwrap_or_default();
    let component =
        instance.tags().iter().find(|tag| tag.key() == Some(PART_TAG)).and_then(|tag| tag.value()).unwrap_or_default();
    let group = components::group_of_nodes(component).unwrap_or(component).to_owned();
    let record = records.get(id);
    let running = instance.state().and_then(|state| state.name()) == Some(&InstanceStateName::Running);
    let launched = instance.launch_time().and_then(|time| u64::try_from(time.to_millis().ok()?).ok());
    let role = record.map(|record| record.role).or_else(|| cluster.spec.groups.get(&group).map(|group| group.role));
    let state = match (record, running) {
        (Some(record), true) => record.state.to_string(),
        (None, true) => "booting".to_owned(),
        (_, false) => {
            instance.state().and_then(|state| state.name()).map_or("unknown", |name| name.as_str()).to_owned()
        }
    };
    let fresh = |record: &NodeRecord| u128::from(now.saturating_sub(record.updated_at)) < FRESH.as_millis();
    Node {
        instance: id.to_owned(),
        node: record.and_then(|record| record.node.clone()),
        role: role.unwrap_or(Role::Worker),
        state,
        ready: running
            && record.is_some_and(|record| record.state == NodeState::Ready && record.serves && fresh(record)),
        serves: record.is_some_and(|record| record.serves),
        address: instance.private_ip_address().unwrap_or_default().to_owned(),
        zone: instance.placement().and_then(|placement| placement.availability_zone()).unwrap_or_default().to_owned(),
        image: instance.image_id().unwrap_or_default().to_owned(),
        joined_seconds: record
            .and_then(|record| record.ready_at)
            .zip(launched)
            .map(|(ready, launched)| ready.saturating_sub(launched) as f64 / 1000.0),
        reason: record.and_then(|record| record.reason.clone()),
        group,
    }
}

/// Where the cluster's page answers: with HTTPS once there is a certificate; nothing while plain HTTP only leads there.
///
/// # Errors
/// When AWS does not answer.
pub async fn page(aws: &Aws, cluster: &Cluster) -> Result<Option<String>, Error> {
    if balancer::serves_https(aws, cluster).await? {
        return Ok(Some(format!("https://{}", cluster.spec.domain)));
    }
    let name = balancer::dns_name(aws, cluster).await?;
    Ok(name.filter(|_| cluster.spec.load_balancer.http == PlainHttp::Forward).map(|name| format!("http://{name}")))
}

/// Where the cluster's page will answer.
///
/// # Errors
/// When AWS does not answer.
pub async fn url(aws: &Aws, cluster: &Cluster) -> Result<String, Error> {
    Ok(page(aws, cluster).await?.unwrap_or_else(|| format!("https://{}", cluster.spec.domain)))
}
