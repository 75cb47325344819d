//! The decision of a round, as a pure function of what was seen. The drawing is in `docs/node-states.md`.

use futuswarm_store::{Genesis, Role, Versioned};
use futuswarm_swarm::{LocalState, Membership};

use crate::identity::Node;

/// What a round has seen.
pub(crate) struct Observed<'a> {
    pub(crate) node: &'a Node,
    pub(crate) membership: &'a Membership,
    pub(crate) genesis: Option<&'a Versioned<Genesis>>,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is no Swarm and no claim: claim its founding.
    Claim,
    /// The claim is ours: found the Swarm.
    Found,
    /// We have founded a Swarm: put its id under our claim and publish how to join.
    Confirm { swarm_id: String },
    /// Somebody else founds the Swarm.
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

pub(crate) fn decide(seen: &Observed<'_>) -> Step {
    let (node, membership) = (seen.node, seen.membership);
    let config = &node.config;
    let Some(genesis) = seen.genesis.map(|genesis| &genesis.value) else {
        return match (config.role, membership.state) {
            // A bucket that forgot its Swarm is an accident; founding a second Swarm beside a living one would be another.
            (_, LocalState::Active) => Step::Refuse {
                reason: format!(
                    "this node is in a Swarm, but the bucket {} has no record of one: restore `{}` from an older version",
                    config.bucket,
                    futuswarm_store::keys::GENESIS
                ),
            },
            (Role::Manager, _) => Step::Claim,
            (Role::Worker, _) => Step::AwaitGenesis,
        };
    };
    if genesis.cluster != config.cluster {
        return Step::Refuse {
            reason: format!(
                "the bucket {} belongs to the cluster {:?}, and this node to {:?}: it joins neither",
                config.bucket, genesis.cluster, config.cluster
            ),
        };
    }
    let ours = genesis.founder == node.instance;
    match (membership.state, &genesis.swarm_id) {
        (LocalState::Inactive, None) if ours => Step::Found,
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
            _ => Step::Leave { reason: "somebody else founds the cluster's Swarm".to_owned() },
        },
        (LocalState::Active, Some(right)) => match &membership.swarm {
            Some(found) if found != right => {
                Step::Leave { reason: format!("this engine is in the Swarm {found}, and the cluster's is {right}") }
            }
            // A worker's engine does not say which Swarm it is in; its join token carried that Swarm's certificate.
            _ => Step::Serve,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::tests::node;

    fn step(role: Role, state: LocalState, swarm: Option<&str>, genesis: Option<(&str, &str, Option<&str>)>) -> Step {
        let membership =
            Membership { state, node: None, controls: false, swarm: swarm.map(str::to_owned), error: None };
        let genesis = genesis.map(|(cluster, founder, swarm_id)| Versioned {
            value: Genesis {
                cluster: cluster.to_owned(),
                epoch: 1,
                founder: founder.to_owned(),
                swarm_id: swarm_id.map(str::to_owned),
                claimed_at: 0,
            },
            etag: "e".to_owned(),
        });
        decide(&Observed { node: &node("i-me", role), membership: &membership, genesis: genesis.as_ref() })
    }

    #[test]
    fn the_way_of_a_founder() {
        use LocalState::{Active, Inactive};
        let mine = |swarm_id| Some(("prod", "i-me", swarm_id));
        assert_eq!(step(Role::Manager, Inactive, None, None), Step::Claim);
        assert_eq!(step(Role::Manager, Inactive, None, mine(None)), Step::Found);
        assert_eq!(step(Role::Manager, Active, None, mine(None)), Step::AwaitEngine);
        assert_eq!(step(Role::Manager, Active, Some("s"), mine(None)), Step::Confirm { swarm_id: "s".to_owned() });
        assert_eq!(step(Role::Manager, Active, Some("s"), mine(Some("s"))), Step::Serve);
    }

    #[test]
    fn the_way_of_everybody_else() {
        use LocalState::{Active, Error, Inactive, Pending};
        let theirs = |swarm_id| Some(("prod", "i-other", swarm_id));
        assert_eq!(step(Role::Worker, Inactive, None, None), Step::AwaitGenesis);
        for role in [Role::Manager, Role::Worker] {
            assert_eq!(step(role, Inactive, None, theirs(None)), Step::AwaitGenesis);
            assert_eq!(step(role, Inactive, None, theirs(Some("s"))), Step::Join { swarm_id: "s".to_owned() });
            assert_eq!(step(role, Pending, None, theirs(Some("s"))), Step::AwaitEngine);
            assert_eq!(step(role, Active, None, theirs(Some("s"))), Step::Serve);
            assert!(matches!(step(role, Error, None, theirs(Some("s"))), Step::Leave { .. }));
        }
    }

    #[test]
    fn nobody_stays_in_or_joins_the_wrong_swarm() {
        use LocalState::{Active, Inactive};
        assert!(matches!(step(Role::Manager, Inactive, None, Some(("dev", "i-o", Some("s")))), Step::Refuse { .. }));
        assert!(matches!(step(Role::Worker, Active, None, Some(("dev", "i-o", Some("s")))), Step::Refuse { .. }));
        assert!(matches!(step(Role::Manager, Active, Some("x"), Some(("prod", "i-o", Some("s")))), Step::Leave { .. }));
        // Lost the claim after having founded a Swarm of its own.
        assert!(matches!(step(Role::Manager, Active, Some("x"), Some(("prod", "i-o", None))), Step::Leave { .. }));
        // The bucket lost its memory while the Swarm lives.
        assert!(matches!(step(Role::Manager, Active, Some("x"), None), Step::Refuse { .. }));
    }
}
