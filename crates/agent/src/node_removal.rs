//! Nodes whose instance is gone are taken off the Swarm's list, never so that quorum would suffer.

use std::collections::BTreeSet;

use futuswarm_store::{Bucket, Store};
use futuswarm_swarm::{Node, NodeApi, NodeState};

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

/// What is asked of EC2.
pub trait Instances: Send + Sync {
    /// Those of the instances that run or are about to.
    ///
    /// # Errors
    /// When EC2 does not answer.
    fn alive(&self, instances: &[String]) -> impl Future<Output = Result<BTreeSet<String>, Error>> + Send;
}

pub(crate) async fn round<B: Bucket>(
    engine: &impl NodeApi,
    store: &Store<B>,
    instances: &impl Instances,
    nodes: &[Node],
) -> Result<(), Error> {
    let silent: Vec<&Node> = nodes.iter().filter(|node| may_be_gone(node)).collect();
    if silent.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = silent.iter().map(|node| node.hostname.clone()).collect();
    let alive = instances.alive(&names).await?;
    let mut gone = BTreeSet::new();
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
                // Only one change of raft's members at a time: what the others count is known in the next round.
                break;
            }
            Removal::Remove => {
                engine.remove_node(&node.id, true).await?;
                tracing::info!(instance = node.hostname, node = node.id, "removed a node whose instance is gone");
                if !reborn {
                    gone.insert(node.hostname.clone());
                }
            }
        }
    }
    if !gone.is_empty() {
        futuswarm_store::forget_nodes(store, &gone).await?;
    }
    Ok(())
}

/// Deletes the records of instances that are gone: those that died before they were in the Swarm, or while nobody led it. A record
/// that is deleted although its instance runs is written again within a minute.
pub(crate) async fn sweep<B: Bucket>(store: &Store<B>, instances: &impl Instances) -> Result<(), Error> {
    let recorded = futuswarm_store::recorded_instances(store).await?;
    let alive = instances.alive(&recorded.iter().cloned().collect::<Vec<_>>()).await?;
    let gone = &recorded - &alive;
    if !gone.is_empty() {
        let records = futuswarm_store::forget_nodes(store, &gone).await?;
        tracing::info!(records, instances = gone.len(), "deleted the records of instances that are gone");
    }
    Ok(())
}

/// Whether it is worth asking EC2 about a node. One that is just joining is in no state yet and has not said its name: it is
/// not silent, it is new.
fn may_be_gone(node: &Node) -> bool {
    node.state == NodeState::Down && !node.hostname.is_empty()
}

/// A dead manager counts in raft until it is demoted. Demoting it is safe when those that answer are a majority both now
/// and afterwards.
pub(crate) fn decide(node: &Node, nodes: &[Node]) -> Removal {
    if !node.is_manager() {
        return Removal::Remove;
    }
    let managers = nodes.iter().filter(|other| other.is_manager()).count();
    let reachable =
        nodes.iter().filter(|other| other.is_manager() && other.is_reachable() && other.id != node.id).count();
    let majority = |voters: usize| voters / 2 + 1;
    if reachable >= majority(managers) && reachable >= majority(managers - 1) {
        Removal::Demote
    } else {
        Removal::KeepForQuorum
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;

    use futuswarm_model::{Role, keys};
    use futuswarm_store::MemoryBucket;
    use futuswarm_swarm::{Availability, ManagerStatus, NodeSpec};

    use super::*;

    fn node(id: &str, role: Role, state: NodeState) -> Node {
        let reachable = state == NodeState::Ready;
        Node {
            id: id.to_owned(),
            version: 0,
            spec: NodeSpec { name: None, labels: HashMap::new(), role, availability: Availability::Active },
            hostname: format!("i-{id}"),
            state,
            address: String::new(),
            manager_status: (role == Role::Manager).then_some(ManagerStatus { leader: false, reachable }),
            engine: String::new(),
            memory_bytes: 0,
            nano_cpus: 0,
        }
    }

    fn manager(id: &str, reachable: bool) -> Node {
        node(id, Role::Manager, if reachable { NodeState::Ready } else { NodeState::Down })
    }

    #[test]
    fn a_node_that_is_just_joining_is_left_alone() {
        let mut joining = node("new", Role::Worker, NodeState::Unknown);
        assert!(!may_be_gone(&joining));
        joining.hostname.clear();
        assert!(!may_be_gone(&joining), "it has not said its name yet");
        joining.state = NodeState::Down;
        assert!(!may_be_gone(&joining), "nobody can be asked about a node without a name");
        assert!(may_be_gone(&node("dead", Role::Worker, NodeState::Down)));
    }

    #[test]
    fn a_dead_worker_is_removed() {
        let worker = node("w", Role::Worker, NodeState::Down);
        assert_eq!(decide(&worker, &[manager("a", true), worker.clone()]), Removal::Remove);
    }

    #[test]
    fn a_dead_manager_goes_only_while_the_living_are_a_majority() {
        let dead = manager("dead", false);
        let with = |others: &[Node]| [others, std::slice::from_ref(&dead)].concat();
        let (a, b, c, down) = (manager("a", true), manager("b", true), manager("c", true), manager("d", false));
        assert_eq!(decide(&dead, &with(&[a.clone(), b.clone()])), Removal::Demote, "2 of 3");
        assert_eq!(decide(&dead, &with(&[a.clone(), b.clone(), c.clone()])), Removal::Demote, "3 of 4");
        assert_eq!(decide(&dead, &with(std::slice::from_ref(&a))), Removal::KeepForQuorum, "1 of 2");
        assert_eq!(decide(&dead, &with(&[a.clone(), b, c, down.clone()])), Removal::Demote, "3 of 5");
        assert_eq!(decide(&dead, &with(&[a, down])), Removal::KeepForQuorum, "1 of 3");
    }

    /// A Swarm and the instances under it, as its leader and EC2 know them.
    struct Cluster {
        nodes: Mutex<Vec<Node>>,
        alive: BTreeSet<String>,
        store: Store<MemoryBucket>,
    }

    impl NodeApi for Cluster {
        async fn list_nodes(&self) -> Result<Vec<Node>, futuswarm_swarm::Error> {
            Ok(self.nodes.lock().unwrap().clone())
        }

        async fn update_node(&self, node: &Node, spec: &NodeSpec) -> Result<(), futuswarm_swarm::Error> {
            let mut nodes = self.nodes.lock().unwrap();
            let managers = nodes.iter().filter(|other| other.is_manager()).count();
            let reachable = nodes.iter().filter(|other| other.is_manager() && other.is_reachable()).count();
            assert!(reachable > managers / 2, "raft has a majority that can decide it");
            nodes.iter_mut().filter(|other| other.id == node.id).for_each(|other| other.spec = spec.clone());
            Ok(())
        }

        async fn remove_node(&self, id: &str, _force: bool) -> Result<(), futuswarm_swarm::Error> {
            let mut nodes = self.nodes.lock().unwrap();
            assert!(
                nodes.iter().all(|other| other.id != id || !other.is_manager()),
                "Swarm refuses to remove a manager"
            );
            nodes.retain(|other| other.id != id);
            Ok(())
        }
    }

    impl Instances for Cluster {
        async fn alive(&self, instances: &[String]) -> Result<BTreeSet<String>, Error> {
            Ok(instances.iter().filter(|instance| self.alive.contains(*instance)).cloned().collect())
        }
    }

    impl Cluster {
        /// Managers by their ids, of which these have died, instance and all.
        async fn of(managers: &[&str], dead: &[&str]) -> Self {
            let store = Store::new(MemoryBucket::default());
            for id in managers {
                store.put(&keys::manager(&format!("i-{id}")), &0).await.unwrap();
            }
            let nodes = managers.iter().map(|id| manager(id, !dead.contains(id))).collect();
            let alive = managers.iter().filter(|id| !dead.contains(id)).map(|id| format!("i-{id}")).collect();
            Self { nodes: Mutex::new(nodes), alive, store }
        }

        async fn round(&self) -> Vec<String> {
            let nodes = self.nodes.lock().unwrap().clone();
            round(self, &self.store, self, &nodes).await.unwrap();
            let nodes = self.nodes.lock().unwrap();
            nodes.iter().map(|node| format!("{}{}", node.id, if node.is_manager() { "*" } else { "" })).collect()
        }
    }

    #[tokio::test]
    async fn a_dead_leader_is_demoted_then_removed_and_forgotten() {
        let cluster = Cluster::of(&["a", "b", "c"], &["a"]).await;
        assert_eq!(cluster.round().await, ["a", "b*", "c*"]);
        assert_eq!(cluster.round().await, ["b*", "c*"]);
        assert_eq!(cluster.store.list(keys::MANAGERS).await.unwrap(), ["cluster/managers/i-b", "cluster/managers/i-c"]);
        assert_eq!(cluster.round().await, ["b*", "c*"], "and nothing more");
    }

    #[tokio::test]
    async fn of_five_two_that_are_dead_go_one_after_the_other() {
        let cluster = Cluster::of(&["a", "b", "c", "d", "e"], &["a", "b"]).await;
        assert_eq!(cluster.round().await, ["a", "b*", "c*", "d*", "e*"]);
        assert_eq!(cluster.round().await, ["b", "c*", "d*", "e*"]);
        assert_eq!(cluster.round().await, ["c*", "d*", "e*"]);
    }

    #[tokio::test]
    async fn one_of_two_waits_for_its_replacement() {
        let cluster = Cluster::of(&["a", "b"], &["a"]).await;
        assert_eq!(cluster.round().await, ["a*", "b*"], "b alone is no majority of two");
        cluster.nodes.lock().unwrap().push(manager("c", true));
        assert_eq!(cluster.round().await, ["a", "b*", "c*"]);
        assert_eq!(cluster.round().await, ["b*", "c*"]);
    }

    #[tokio::test]
    async fn one_that_is_only_cut_off_stays() {
        let mut cluster = Cluster::of(&["a", "b", "c"], &["a"]).await;
        cluster.alive.insert("i-a".to_owned());
        assert_eq!(cluster.round().await, ["a*", "b*", "c*"]);
        sweep(&cluster.store, &cluster).await.unwrap();
        assert_eq!(cluster.store.list(keys::MANAGERS).await.unwrap().len(), 3);
        cluster.alive.remove("i-a");
        sweep(&cluster.store, &cluster).await.unwrap();
        assert_eq!(cluster.store.list(keys::MANAGERS).await.unwrap().len(), 2, "records of what is gone go");
    }
}
