//! What happens in a world, for whoever checks that nothing happens that must not.

use std::fmt;

use futuswarm_model::Role;

/// Something that happened to a machine's engine, or by it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// It has initialised a Swarm.
    Initialised {
        /// Host name of the machine.
        hostname: String,
        /// Id of the Swarm.
        swarm: String,
    },
    /// It asks a manager to let it in.
    Asked {
        /// Host name of the machine.
        hostname: String,
        /// Id of the Swarm that its token is for.
        swarm: String,
        /// `address:port`, the first of those that it was given: the only one that Docker asks.
        manager: String,
    },
    /// It has become an active member.
    Joined {
        /// Host name of the machine.
        hostname: String,
        /// Id of the Swarm.
        swarm: String,
        /// `manager` or `worker`.
        role: String,
    },
    /// It was an active member and has left.
    Left {
        /// Host name of the machine.
        hostname: String,
        /// Id of the Swarm.
        swarm: String,
    },
    /// Its manager leads the Swarm.
    Elected {
        /// Host name of the machine.
        hostname: String,
        /// Id of the Swarm.
        swarm: String,
    },
    /// A leader has taken a manager out of raft.
    Demoted {
        /// Host name of the machine.
        hostname: String,
        /// Whether the machine lives, and is this very node of the Swarm.
        living: bool,
    },
    /// A leader has taken a node off the Swarm's list.
    Removed {
        /// Host name of the machine.
        hostname: String,
        /// Whether the machine lives, and is this very node of the Swarm.
        living: bool,
    },
    /// Its membership has ended in an error.
    Failed {
        /// Host name of the machine.
        hostname: String,
    },
}

impl Event {
    pub(super) fn joined(hostname: &str, swarm: &str, role: Role) -> Self {
        Self::Joined { hostname: hostname.to_owned(), swarm: swarm.to_owned(), role: role.to_string() }
    }
}

/// Is told each event as it happens.
#[derive(Default)]
pub(super) struct Observer(pub(super) Option<Box<dyn FnMut(Event) + Send>>);

impl Observer {
    pub(super) fn tell(&mut self, event: Event) {
        if let Some(observer) = &mut self.0 {
            observer(event);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() { "Observer" } else { "no observer" })
    }
}
