//! How much of a manager one person or program may take, and all of them together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futuswarm_paas::access::Actor;
use futuswarm_rpc::Identity;

use crate::refusal::Refused;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum What {
    /// Connections, from who it is to the end of the request.
    Connection,
    /// Blobs that are being sent. Each takes up to 5 MiB for a piece and 4 MiB for its queue: all of them half of the unit's `MemoryHigh`.
    Upload,
    /// Programs of `run` and `shell`. Each has the memory of a task.
    Program,
    /// Requests of more than [`futuswarm_rpc::LONGEST_CHUNK`] bytes, while they are read. Each takes up to 8 MiB of the service's memory,
    /// and once more while it is made sense of.
    LongRequest,
}

impl What {
    /// So many of one asker, and of all.
    fn limits(self) -> (usize, usize) {
        match self {
            // All of them are limited before it is known who asks.
            Self::Connection => (32, usize::MAX),
            Self::Upload => (4, 8),
            Self::Program => (8, 32),
            // Eight connections of 8 MiB would be half of the unit's `MemoryHigh`.
            Self::LongRequest => (2, 4),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Connection => "requests",
            Self::Upload => "uploads",
            Self::Program => "programs of `run` and `shell`",
            Self::LongRequest => "requests of more than 256 KiB",
        }
    }
}

/// Who is counted as one: a person, or all tokens of an app, of which there may be any number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Asker {
    User(String),
    TokensOf(String),
}

impl From<&Identity> for Asker {
    fn from(identity: &Identity) -> Self {
        match identity {
            Identity::User(name) => Self::User(name.clone()),
            Identity::Token { app, .. } => Self::TokensOf(app.clone()),
        }
    }
}

impl From<&Actor> for Asker {
    fn from(actor: &Actor) -> Self {
        match actor {
            Actor::User { name, .. } => Self::User(name.clone()),
            Actor::Token { app, .. } => Self::TokensOf(app.clone()),
        }
    }
}

type Taken = HashMap<What, HashMap<Asker, usize>>;

/// What is taken on this manager.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits(Arc<Mutex<Taken>>);

impl Limits {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more.
    ///
    /// # Errors
    /// When the asker has as many as one may have, or all together have.
    pub(crate) fn take(&self, what: What, asker: impl Into<Asker>) -> Result<Place, Refused> {
        let (asker, (each, all), words) = (asker.into(), what.limits(), what.words());
        let mut taken = self.lock();
        let askers = taken.entry(what).or_default();
        if askers.get(&asker).is_some_and(|own| *own >= each) {
            let whose = match &asker {
                Asker::User(name) => format!("{name} has"),
                Asker::TokensOf(app) => format!("the tokens of {app} have"),
            };
            return Err(Refused::failed(format!(
                "{whose} {each} {words} open on this manager already, which is as many as one may have: wait for one of them, or end it"
            )));
        }
        if askers.values().sum::<usize>() >= all {
            return Err(Refused::unavailable(format!(
                "this manager has {all} {words} open already, which is as many as it takes: try again in a minute"
            )));
        }
        *askers.entry(asker.clone()).or_default() += 1;
        Ok(Place { limits: self.clone(), what, asker })
    }
}

/// One that is taken, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    limits: Limits,
    what: What,
    asker: Asker,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.limits.lock();
        let Some(askers) = taken.get_mut(&self.what) else { return };
        match askers.get_mut(&self.asker) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(askers.remove(&self.asker)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Asker {
        Asker::User(name.to_owned())
    }

    #[test]
    fn one_cannot_take_what_is_for_all() {
        let limits = Limits::default();
        let own: Vec<Place> = (0..4).map(|_| limits.take(What::Upload, user("jane")).unwrap()).collect();
        let refused = limits.take(What::Upload, user("jane")).unwrap_err().to_string();
        assert!(refused.contains("jane has 4 uploads open"), "{refused}");
        // Something else, and somebody else.
        let _program = limits.take(What::Program, user("jane")).unwrap();
        let joe = limits.take(What::Upload, user("joe")).unwrap();
        drop(own);
        let _again = limits.take(What::Upload, user("jane")).unwrap();
        drop(joe);
    }

    #[test]
    fn all_together_cannot_take_more_than_there_is() {
        let limits = Limits::default();
        let mut places = Vec::new();
        for name in ["a", "b"] {
            places.extend((0..4).map(|_| limits.take(What::Upload, user(name)).unwrap()));
        }
        let refused = limits.take(What::Upload, user("e")).unwrap_err().to_string();
        assert!(refused.contains("8 uploads") && refused.contains("try again"), "{refused}");
        places.pop();
        limits.take(What::Upload, user("e")).unwrap();
    }

    #[test]
    fn tokens_of_an_app_are_counted_together() {
        let limits = Limits::default();
        let token = |name: &str| Identity::Token { app: "hello".to_owned(), name: name.to_owned() };
        let places: Vec<Place> =
            (0..32).map(|at| limits.take(What::Connection, &token(&format!("ci{at}"))).unwrap()).collect();
        let refused = limits.take(What::Connection, &token("another")).unwrap_err().to_string();
        assert!(refused.contains("the tokens of hello have 32 requests"), "{refused}");
        drop(places);
        assert_eq!(limits.lock()[&What::Connection].len(), 0, "nothing is kept of who has gone");
    }
}
