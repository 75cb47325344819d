//! The decision of a round, as a pure function of what was observed. The drawing is in `docs/node-states.md`.

use futuswarm_model::{Genesis, Role};
use futuswarm_store::Versioned;
use futuswarm_swarm::{LocalState, Membership};

use crate::identity::Node;

/// What a round goes by.
pub(crate) struct Observed<'a> {
    pub(crate) node: &'a Node,
    pub(crate) membership: &'a Membership,
    pub(crate) genesis: Option<&'a Versioned<Genesis>>,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// `deploy-cluster` has opened an epoch that nobody has claimed: claim its founding.
    Claim { open: Versioned<Genesis> },
    /// The claim is ours: initialise the Swarm.
    InitSwarm,
    /// We have initialised a Swarm: put its id under our claim and publish how to join.
    Confirm { swarm_id: String },
    /// Somebody else opens the epoch or founds its Swarm.
    AwaitGenesis,
    /// Join the Swarm.
    Join { swarm_id: String },
    /// The engine is still joining.
    AwaitEngine,
    /// The engine is in a Swarm that is not the cluster's, or cannot take part.
    Leave { reason: String },
    /// Do nothing, because anything could be wrong.
    Refuse { reason: String },
    /// A member: do a member's duties.
    Serve,
}

pub(crate) fn decide(observed: &Observed<'_>) -> Step {
    let (node, membership) = (observed.node, observed.membership);
    let config = &node.config;
    let Some(record) = observed.genesis else {
        return match membership.state {
            // A bucket that forgot its Swarm is an accident; founding a second Swarm beside a living one would be another.
            LocalState::Active => Step::Refuse {
                reason: format!(
                    "this node is in a Swarm, but the bucket {} says that it has no record of one; when that lasts, restore `{}` from an older version",
                    config.bucket,
                    futuswarm_model::keys::GENESIS
                ),
            },
            // `deploy-cluster` writes it before the first node starts, so an answer that there is none says nothing.
            _ => Step::AwaitGenesis,
        };
    };
    let genesis = &record.value;
    if genesis.cluster != config.cluster {
        return Step::Refuse {
            reason: format!(
                "the bucket {} belongs to the cluster {:?}, and this node to {:?}: it joins neither",
                config.bucket, genesis.cluster, config.cluster
            ),
        };
    }
    let ours = genesis.founder.as_deref() == Some(node.instance.as_str());
    match (membership.state, &genesis.swarm_id) {
        (LocalState::Inactive, None) if ours => Step::InitSwarm,
        (LocalState::Inactive, None) if genesis.founder.is_none() && config.role == Role::Manager => {
            Step::Claim { open: record.clone() }
        }
        (LocalState::Inactive, None) => Step::AwaitGenesis,
        (LocalState::Inactive, Some(swarm_id)) => Step::Join { swarm_id: swarm_id.clone() },
        (LocalState::Pending, _) => Step::AwaitEngine,
        (LocalState::Error | LocalState::Locked, _) => Step::Leave {
            reason: membership.error.clone().unwrap_or_else(|| "the engine cannot take part in its Swarm".to_owned()),
        },
        (LocalState::Active, None) => match &membership.swarm {
            Some(swarm_id) if ours => Step::Confirm { swarm_id: swarm_id.clone() },
            // A founder between init and the first election does not know its Swarm's id yet.
            None if ours => Step::AwaitEngine,
            // An epoch is opened only when no manager of the last one runs; a manager that does must not end its Swarm.
            _ if genesis.founder.is_none() && membership.controls => Step::Refuse {
                reason: format!(
                    "the epoch {} is open, but this node is a manager of the Swarm {}: it stays in it; end this instance to found a new one",
                    genesis.epoch,
                    membership.swarm.as_deref().unwrap_or("of an earlier one")
                ),
            },
            _ if genesis.founder.is_none() => {
                Step::Leave { reason: format!("the epoch {} begins, and its Swarm is not founded yet", genesis.epoch) }
            }
            _ => Step::Leave { reason: "somebody else founds the cluster's Swarm".to_owned() },
        },
        (LocalState::Active, Some(right)) => match &membership.swarm {
            Some(current) if current != right => {
                Step::Leave { reason: format!("this engine is in the Swarm {current}, and the cluster's is {right}") }
            }
            // A worker's certificate could not be read; its join token carried that Swarm's certificate authority.
            _ => Step::Serve,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heartbeat::tests::node;

    fn genesis(cluster: &str, founder: Option<&str>, swarm_id: Option<&str>) -> Versioned<Genesis> {
        let (founder, swarm_id) = (founder.map(str::to_owned), swarm_id.map(str::to_owned));
        let value = Genesis { cluster: cluster.to_owned(), epoch: 2, founder, swarm_id, claimed_at: 0 };
        Versioned { value, etag: "e".to_owned(), version: "v".to_owned() }
    }

    /// `record` is cluster, founder and Swarm; a manager controls the Swarm that its engine is in.
    fn step(role: Role, state: LocalState, swarm: Option<&str>, record: Option<(&str, &str, Option<&str>)>) -> Step {
        let record = record.map(|(cluster, founder, swarm_id)| {
            genesis(cluster, Some(founder).filter(|founder| *founder != "nobody"), swarm_id)
        });
        let controls = role == Role::Manager && state == LocalState::Active;
        let membership = Membership { state, node: None, controls, swarm: swarm.map(str::to_owned), error: None };
        decide(&Observed { node: &node("i-me", role), membership: &membership, genesis: record.as_ref() })
    }

    #[test]
    fn the_way_of_a_founder() {
        use LocalState::{Active, Inactive};
        let mine = |swarm_id| Some(("prod", "i-me", swarm_id));
        let open = Step::Claim { open: genesis("prod", None, None) };
        assert_eq!(step(Role::Manager, Inactive, None, Some(("prod", "nobody", None))), open);
        assert_eq!(step(Role::Manager, Inactive, None, mine(None)), Step::InitSwarm);
        assert_eq!(step(Role::Manager, Active, None, mine(None)), Step::AwaitEngine);
        assert_eq!(step(Role::Manager, Active, Some("s"), mine(None)), Step::Confirm { swarm_id: "s".to_owned() });
        assert_eq!(step(Role::Manager, Active, Some("s"), mine(Some("s"))), Step::Serve);
    }

    #[test]
    fn the_way_of_everybody_else() {
        use LocalState::{Active, Error, Inactive, Pending};
        let theirs = |swarm_id| Some(("prod", "i-other", swarm_id));
        assert_eq!(step(Role::Worker, Inactive, None, Some(("prod", "nobody", None))), Step::AwaitGenesis);
        for role in [Role::Manager, Role::Worker] {
            assert_eq!(step(role, Inactive, None, theirs(None)), Step::AwaitGenesis);
            assert_eq!(step(role, Inactive, None, theirs(Some("s"))), Step::Join { swarm_id: "s".to_owned() });
            assert_eq!(step(role, Pending, None, theirs(Some("s"))), Step::AwaitEngine);
            assert_eq!(step(role, Active, None, theirs(Some("s"))), Step::Serve);
            assert_eq!(step(role, Active, Some("s"), theirs(Some("s"))), Step::Serve);
            assert!(matches!(step(role, Error, None, theirs(Some("s"))), Step::Leave { .. }));
        }
    }

    #[test]
    fn a_record_that_is_said_not_to_exist_makes_nobody_found_or_leave() {
        use LocalState::{Active, Error, Inactive, Pending};
        for role in [Role::Manager, Role::Worker] {
            for state in [Inactive, Pending, Error] {
                assert_eq!(step(role, state, None, None), Step::AwaitGenesis, "{role} {state:?}");
            }
            assert!(matches!(step(role, Active, Some("x"), None), Step::Refuse { .. }), "{role}");
        }
    }

    #[test]
    fn a_new_epoch_is_joined_by_workers_of_the_last_and_never_costs_a_living_manager_its_swarm() {
        use LocalState::Active;
        let open = Some(("prod", "nobody", None));
        assert!(matches!(step(Role::Worker, Active, Some("last"), open), Step::Leave { .. }));
        assert!(matches!(step(Role::Worker, Active, None, open), Step::Leave { .. }));
        assert!(matches!(step(Role::Manager, Active, Some("last"), open), Step::Refuse { .. }));
        assert!(matches!(step(Role::Manager, Active, None, open), Step::Refuse { .. }));
        let founded = Some(("prod", "i-other", Some("new")));
        assert!(matches!(step(Role::Worker, Active, Some("last"), founded), Step::Leave { .. }));
    }

    #[test]
    fn nobody_stays_in_or_joins_the_wrong_swarm() {
        use LocalState::{Active, Inactive};
        assert!(matches!(step(Role::Manager, Inactive, None, Some(("dev", "i-o", Some("s")))), Step::Refuse { .. }));
        assert!(matches!(step(Role::Worker, Active, None, Some(("dev", "i-o", Some("s")))), Step::Refuse { .. }));
        assert!(matches!(step(Role::Manager, Active, Some("x"), Some(("prod", "i-o", Some("s")))), Step::Leave { .. }));
        // Lost the claim after having founded a Swarm of its own.
        assert!(matches!(step(Role::Manager, Active, Some("x"), Some(("prod", "i-o", None))), Step::Leave { .. }));
    }
}
