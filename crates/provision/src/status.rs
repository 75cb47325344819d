//! The state of a cluster: what EC2 says of its instances, put together with what the nodes say of themselves.

mod launches;

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Instance, InstanceStateName};
use futuswarm_edge::{Refusal, Routes};
use futuswarm_model::{FRESH, NodeRecord, NodeState, SshAuthority, keys, ssh_host, unix_millis};
use futuswarm_spec::{PlainHttp, Role};
use serde::Serialize;

use crate::error::Error;
use crate::names::PART_TAG;
use crate::resources::{balancer, dns};
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
    /// A records of the name in `ssh` that somebody has to make, `NAME  A  ADDRESS`: where a hosted zone of the account serves the name,
    /// the managers make them themselves, and there are none here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ssh_records: Vec<String>,
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
    /// Where the world reaches it; absent in a subnet without such addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_address: Option<String>,
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
        ssh: format!("{}:22", ssh_host(&cluster.spec.domain)),
        ssh_records: Vec::new(),
        ssh_host_ca: authority.map(|authority| authority.value.public),
        api_endpoint: aws.endpoint().map(str::to_owned),
        nodes,
        not_served: routes.map(|routes| routes.value.refused).unwrap_or_default(),
    })
}

/// Notes which records of the managers' name somebody has to make.
///
/// # Errors
/// When Route 53 does not answer, or refuses.
pub async fn note_ssh_records(aws: &Aws, cluster: &Cluster, observed: &mut Status) -> Result<(), Error> {
    let name = ssh_host(&cluster.spec.domain);
    observed.ssh_records = match dns::longest(&inventory::zones(aws).await?, &name) {
        Some(_) => Vec::new(),
        None => ssh_records(&name, &observed.nodes),
    };
    Ok(())
}

/// The same addresses as the managers' leader would take: public ones where there are some, and private ones where there is none.
fn ssh_records(name: &str, nodes: &[Node]) -> Vec<String> {
    let managers = || nodes.iter().filter(|node| node.role == Role::Manager);
    let public: Vec<&str> = managers().filter_map(|node| node.public_address.as_deref()).collect();
    let private = || -> Vec<&str> {
        managers().map(|node| node.address.as_str()).filter(|address| !address.is_empty()).collect()
    };
    let addresses: Vec<&str> = if public.is_empty() { private() } else { public };
    addresses.into_iter().map(|address| format!("{name}  A  {address}")).collect()
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
        public_address: instance.public_ip_address().map(str::to_owned),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn node(role: Role, address: &str, public: Option<&str>) -> Node {
        Node {
            instance: "i-1".to_owned(),
            node: None,
            role,
            state: "ready".to_owned(),
            ready: true,
            serves: true,
            address: address.to_owned(),
            public_address: public.map(str::to_owned),
            zone: "eu-west-1a".to_owned(),
            image: "ami-1".to_owned(),
            joined_seconds: None,
            reason: None,
            group: "managers".to_owned(),
        }
    }

    #[test]
    fn the_records_to_be_made_by_hand_are_those_that_the_leader_would_make() {
        let (first, second) = ("10.42.0.4", "10.42.16.4");
        let worker = || node(Role::Worker, "10.42.0.9", Some("203.0.113.9"));
        let private = [node(Role::Manager, first, None), node(Role::Manager, second, None), worker()];
        let name = "ssh.example.com";
        assert_eq!(ssh_records(name, &private), ["ssh.example.com  A  10.42.0.4", "ssh.example.com  A  10.42.16.4"]);
        let mixed = [node(Role::Manager, first, Some("203.0.113.4")), node(Role::Manager, second, None), worker()];
        assert_eq!(ssh_records(name, &mixed), ["ssh.example.com  A  203.0.113.4"]);
        assert_eq!(ssh_records(name, &[worker(), node(Role::Manager, "", None)]), Vec::<String>::new());
    }
}
