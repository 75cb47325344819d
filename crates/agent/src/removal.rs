//! Nodes whose instance is gone are taken off the Swarm's list, never so that quorum would suffer.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{Filter, InstanceStateName};
use futuswarm_store::{Bucket, Store};
use futuswarm_swarm::{Engine, NodeState, NodeView};

use crate::Error;

/// What is to be done about one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Removal {
    /// Take it off the list.
    Remove,
    /// It is a manager: demote it first, then take it off the list.
    Demote,
    /// Leave it: the other managers would lose their majority.
    KeepForQuorum,
}

pub(crate) async fn round<B: Bucket>(
    engine: &Engine,
    store: &Store<B>,
    ec2: &aws_sdk_ec2::Client,
    nodes: &[NodeView],
) -> Result<(), Error> {
    let silent: Vec<&NodeView> = nodes.iter().filter(|node| may_be_gone(node)).collect();
    if silent.is_empty() {
        return Ok(());
    }
    let alive = alive(ec2, silent.iter().map(|node| node.hostname.as_str())).await?;
    for node in silent {
        // An instance that rejoined after losing its disk is listed twice: the silent entry is its earlier life.
        let reborn = nodes
            .iter()
            .any(|other| other.id != node.id && other.hostname == node.hostname && other.state == NodeState::Ready);
        if alive.contains(&node.hostname) && !reborn {
            continue;
        }
        match decide(node, nodes) {
            Removal::KeepForQuorum => {
                tracing::warn!(
                    instance = node.hostname,
                    "a manager is gone, and removing it would leave no majority; waits for its replacement"
                );
            }
            Removal::Demote => {
                engine.demote_node(node).await?;
                tracing::info!(instance = node.hostname, "demoted a manager whose instance is gone");
            }
            Removal::Remove => {
                engine.remove_node(&node.id, true).await?;
                tracing::info!(instance = node.hostname, node = node.id, "removed a node whose instance is gone");
                if !reborn {
                    futuswarm_store::forget_node(store, &node.hostname).await?;
                }
            }
        }
    }
    Ok(())
}

/// Whether it is worth asking EC2 about a node. One that is just joining is in no state yet and has not said its name: it is
/// not silent, it is new.
fn may_be_gone(node: &NodeView) -> bool {
    node.state == NodeState::Down && !node.hostname.is_empty()
}

/// A dead manager counts in raft until it is demoted. Demoting it is safe when those that answer are a majority both now
/// and afterwards.
pub(crate) fn decide(node: &NodeView, nodes: &[NodeView]) -> Removal {
    if !node.manager {
        return Removal::Remove;
    }
    let managers = nodes.iter().filter(|other| other.manager).count();
    let reachable = nodes.iter().filter(|other| other.manager && other.reachable && other.id != node.id).count();
    let majority = |voters: usize| voters / 2 + 1;
    if reachable >= majority(managers) && reachable >= majority(managers - 1) {
        Removal::Demote
    } else {
        Removal::KeepForQuorum
    }
}

/// Those of the instances that EC2 says run or are about to.
async fn alive(ec2: &aws_sdk_ec2::Client, instances: impl Iterator<Item = &str>) -> Result<BTreeSet<String>, Error> {
    // A filter, not ids: an id that EC2 has forgotten would fail the whole call.
    let filter = Filter::builder().name("instance-id").set_values(Some(instances.map(str::to_owned).collect())).build();
    let mut pages = ec2.describe_instances().filters(filter).into_paginator().send();
    let mut alive = BTreeSet::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| futuswarm_aws::Error::new("DescribeInstances", error))?;
        for instance in page.reservations().iter().flat_map(|reservation| reservation.instances()) {
            let state = instance.state().and_then(|state| state.name());
            let gone = matches!(state, Some(InstanceStateName::Terminated | InstanceStateName::ShuttingDown));
            if let (false, Some(id)) = (gone, instance.instance_id()) {
                alive.insert(id.to_owned());
            }
        }
    }
    Ok(alive)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(id: &str, reachable: bool) -> NodeView {
        let state = if reachable { NodeState::Ready } else { NodeState::Down };
        NodeView::for_tests(id, true, reachable, state)
    }

    #[test]
    fn a_node_that_is_just_joining_is_left_alone() {
        let mut joining = NodeView::for_tests("new", false, true, NodeState::Other);
        assert!(!may_be_gone(&joining));
        joining.hostname.clear();
        assert!(!may_be_gone(&joining), "it has not said its name yet");
        joining.state = NodeState::Down;
        assert!(!may_be_gone(&joining), "nobody can be asked about a node without a name");
        assert!(may_be_gone(&NodeView::for_tests("dead", false, true, NodeState::Down)));
    }

    #[test]
    fn a_dead_worker_is_removed() {
        let worker = NodeView::for_tests("w", false, true, NodeState::Down);
        assert_eq!(decide(&worker, &[manager("a", true), worker.clone()]), Removal::Remove);
    }

    #[test]
    fn a_dead_manager_goes_only_while_the_living_are_a_majority() {
        let dead = manager("dead", false);
        let with = |others: &[NodeView]| [others, std::slice::from_ref(&dead)].concat();
        let (a, b, c, down) = (manager("a", true), manager("b", true), manager("c", true), manager("d", false));
        assert_eq!(decide(&dead, &with(&[a.clone(), b.clone()])), Removal::Demote, "2 of 3");
        assert_eq!(decide(&dead, &with(&[a.clone(), b.clone(), c.clone()])), Removal::Demote, "3 of 4");
        assert_eq!(decide(&dead, &with(std::slice::from_ref(&a))), Removal::KeepForQuorum, "1 of 2");
        assert_eq!(decide(&dead, &with(&[a.clone(), b, c, down.clone()])), Removal::Demote, "3 of 5");
        assert_eq!(decide(&dead, &with(&[a, down])), Removal::KeepForQuorum, "1 of 3");
    }
}
