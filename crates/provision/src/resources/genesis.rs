//! The epoch of the cluster's Swarm: opened for the managers before the first of them starts, and again for a new life of the
//! cluster over a bucket that was kept.
//!
//! Managers claim an open epoch and found its Swarm (`crates/agent/src/genesis.rs`). Its life has ended when none of the managers
//! that the bucket knows runs any more, and nothing else is left of it: the managers' groups are gone, as after `destroy`, or no
//! node of it runs. One that is only in trouble keeps its epoch; running tasks are worth more than a Swarm that can be changed.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{Filter, InstanceStateName};
use futuswarm_converge::Resource;
use futuswarm_model::{Genesis, ManagerRecord, NodeState, keys};
use futuswarm_spec::Role;
use futuswarm_store::{Swap, Versioned};

use super::bucket;
use crate::error::{Error, failed};
use crate::field::{Changed, Field, Fields};
use crate::{Aws, Run, components};

const CURRENT: &str = "of this life of the cluster";
/// DescribeInstances takes 200 values per filter.
const IDS_PER_FILTER: usize = 200;

pub(crate) struct Epoch;

/// What was observed of it.
pub(crate) struct Observed {
    record: Versioned<Genesis>,
    /// Instances that were managers or nodes of the Swarm and are gone, when its life has ended.
    ended: Option<BTreeSet<String>>,
}

/// What is known of a Swarm when its life is judged.
#[derive(Debug, Clone, Default)]
struct Remains {
    /// Managers that the bucket knows of, the founder among them.
    managers: BTreeSet<String>,
    /// Nodes that were members when they last said something.
    members: BTreeSet<String>,
    /// Of all of them, the instances that have not been terminated.
    alive: BTreeSet<String>,
    /// Whether Auto Scaling has a group of managers of this cluster.
    has_managers_group: bool,
}

impl Remains {
    fn has_ended(&self) -> bool {
        let manager_lives = self.managers.iter().any(|manager| self.alive.contains(manager));
        let member_lives = self.members.iter().any(|member| self.alive.contains(member));
        !manager_lives && (!self.has_managers_group || !member_lives)
    }
}

/// What the bucket and AWS say of the Swarm of a claimed epoch.
async fn remains(aws: &Aws, run: &Run, genesis: &Genesis) -> Result<Remains, Error> {
    let mut remains = Remains::default();
    remains.managers.extend(genesis.founder.clone());
    // Also those of Swarms before it: that they run means that somebody should look before anything is founded.
    let managers: Vec<ManagerRecord> = aws.store.all(keys::MANAGERS).await?;
    remains.managers.extend(managers.into_iter().map(|record| record.instance));
    let nodes = futuswarm_store::node_records(&aws.store).await?;
    let members = nodes.into_iter().filter(|record| record.state == NodeState::Ready);
    remains.members.extend(members.map(|record| record.instance));
    let all: Vec<String> = remains.managers.union(&remains.members).cloned().collect();
    for ids in all.chunks(IDS_PER_FILTER) {
        // A filter, not ids: an id that EC2 has forgotten would fail the whole call.
        let filter = Filter::builder().name("instance-id").set_values(Some(ids.to_vec())).build();
        let mut pages = aws.ec2.describe_instances().filters(filter).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(failed("DescribeInstances"))?;
            for instance in page.reservations().iter().flat_map(|reservation| reservation.instances()) {
                let state = instance.state().and_then(|state| state.name());
                // One that is stopped may be started again.
                let gone = matches!(state, Some(InstanceStateName::Terminated | InstanceStateName::ShuttingDown));
                remains.alive.extend(instance.instance_id().filter(|_| !gone).map(str::to_owned));
            }
        }
    }
    let managers = run.cluster.spec.groups.iter().filter(|(_, group)| group.role == Role::Manager);
    let names: BTreeSet<String> = managers.map(|(name, _)| run.cluster.names.of(name)).collect();
    let groups = run.inventory.groups(aws).await?.iter();
    // One that is being deleted starts nothing.
    let mut groups = groups.filter(|group| group.status().is_none());
    remains.has_managers_group =
        groups.any(|group| group.auto_scaling_group_name().is_some_and(|name| names.contains(name)));
    Ok(remains)
}

impl Resource<Run> for Epoch {
    type Observed = Observed;

    fn kind(&self) -> &'static str {
        "Swarm epoch"
    }

    fn name(&self, run: &Run) -> String {
        bucket::object_name(&run.cluster, keys::GENESIS)
    }

    fn component(&self) -> String {
        components::EPOCH.to_owned()
    }

    fn depends_on(&self) -> Vec<String> {
        vec![components::BUCKET.to_owned()]
    }

    fn holds_data(&self) -> bool {
        true
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Observed>, Error> {
        let Some(record) = bucket::object::<Genesis>(aws, run, keys::GENESIS).await? else { return Ok(None) };
        if record.value.founder.is_none() {
            return Ok(Some(Observed { record, ended: None }));
        }
        let remains = remains(aws, run, &record.value).await?;
        let ended = remains.has_ended().then(|| &(&remains.managers | &remains.members) - &remains.alive);
        Ok(Some(Observed { record, ended }))
    }

    fn id(&self, observed: &Observed) -> String {
        observed.record.value.epoch.to_string()
    }

    fn desired(&self, _: &Run) -> Result<Fields, Error> {
        Ok(Fields::new().with(Field::Swarm, CURRENT))
    }

    fn current(&self, _: &Run, observed: &Observed) -> Fields {
        let epoch = observed.record.value.epoch;
        match observed.ended {
            Some(_) => {
                Fields::new().with(Field::Swarm, format!("of the epoch {epoch}, of which no manager runs any more"))
            }
            None => Fields::new().with(Field::Swarm, CURRENT),
        }
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        let first = Genesis::open(&run.cluster.spec.cluster, 1);
        match aws.store.swap(keys::GENESIS, &first, None).await? {
            Swap::Applied(_) => Ok(first.epoch.to_string()),
            // Another run has opened it, or S3 had denied that it exists; either way there is one.
            Swap::Refused(Some(there)) => Ok(there.value.epoch.to_string()),
            Swap::Refused(None) => Err(changed()),
        }
    }

    async fn update(&self, aws: &Aws, run: &Run, observed: &Observed, _: &Changed) -> Result<(), Error> {
        let next = Genesis::open(&run.cluster.spec.cluster, observed.record.value.epoch + 1);
        if let Swap::Refused(_) = aws.store.swap(keys::GENESIS, &next, Some(&observed.record.etag)).await? {
            return Err(changed());
        }
        // Nobody would ask them: they name another Swarm. A run that is killed before this leaves them to the bucket's lifecycle.
        let instances = observed.ended.clone().unwrap_or_default();
        futuswarm_store::forget_nodes(&aws.store, &instances).await?;
        Ok(())
    }

    async fn delete(&self, aws: &Aws, _: &Run, _: &Observed) -> Result<(), Error> {
        Ok(aws.store.delete(keys::GENESIS).await?)
    }
}

fn changed() -> Error {
    Error::Changed(keys::GENESIS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remains(managers: &[&str], members: &[&str], alive: &[&str], has_managers_group: bool) -> Remains {
        let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        Remains { managers: set(managers), members: set(members), alive: set(alive), has_managers_group }
    }

    #[test]
    fn a_life_has_ended_when_no_manager_runs_and_nothing_else_is_left() {
        let (managers, members) = (&["m1", "m2", "m3"][..], &["m1", "m2", "m3", "w1"][..]);
        for (alive, has_managers_group, ended, why) in [
            (&["m1", "m2", "m3", "w1"][..], true, false, "all is well"),
            (&["m1"], true, false, "two of three are gone: it is in trouble, not at its end"),
            (&["m1"], false, false, "its group was deleted without it, by hand or by a destroy that was killed"),
            (&["w1"], true, false, "the only managers died: tasks go on, and a person decides"),
            (&["w1"], false, true, "a destroy that was killed after the managers and before the workers"),
            (&[], false, true, "a destroy that kept the data"),
            (&[], true, true, "the group was made again by hand: its managers wait for ever"),
        ] {
            assert_eq!(remains(managers, members, alive, has_managers_group).has_ended(), ended, "{why}");
        }
        // A claim whose founder died before anybody wrote a record.
        assert!(!remains(&["m1"], &[], &["m1"], false).has_ended());
        assert!(remains(&["m1"], &[], &[], false).has_ended());
    }
}
