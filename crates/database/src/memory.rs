//! A server in memory that keeps state and refuses what the real one would, for tests of the rules above it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futuswarm_faults::Faults;
use futuswarm_secret::Secret;
use tokio::time::Instant;

use crate::{Databases, Endpoint, Error, Login, MAJOR, Names, State};

/// What every database takes here.
const BYTES: u64 = 7_500_000;
/// So long a piece of work is tried while nobody answers, as by the real client.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server. Clones are the same one, each with the faults of its own.
#[derive(Debug, Clone)]
pub struct MemoryDatabases {
    state: Arc<Mutex<Content>>,
    faults: Faults,
}

#[derive(Debug)]
struct Content {
    /// Whether the cluster has a server.
    there: bool,
    /// Whether it answers nobody.
    silent: bool,
    major: u32,
    /// Database → its owner.
    databases: BTreeMap<String, String>,
    /// Role → its password; none for those that do not log in.
    roles: BTreeMap<String, Option<String>>,
    /// Databases whose place a copy has taken, in their order.
    restored: Vec<String>,
    /// Roles that may not connect to the database of their app.
    kept_out: BTreeSet<String>,
}

impl MemoryDatabases {
    /// A server with nothing but its own database, whose calls fail as `faults` say.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        let databases = BTreeMap::from([("postgres".to_owned(), "rdsadmin".to_owned())]);
        let content = Content {
            there: true,
            silent: false,
            major: MAJOR,
            databases,
            roles: BTreeMap::new(),
            restored: Vec::new(),
            kept_out: BTreeSet::new(),
        };
        Self { state: Arc::new(Mutex::new(content)), faults }
    }

    /// The same server for a client with other faults.
    #[must_use]
    pub fn with_faults(&self, faults: Faults) -> Self {
        Self { state: Arc::clone(&self.state), faults }
    }

    /// Takes the server away.
    pub fn take_away(&self) {
        self.lock().there = false;
    }

    /// Has the server answer nobody from now on, or everybody again, also who has asked meanwhile. Where it is can still be asked.
    pub fn set_silent(&self, silent: bool) {
        self.lock().silent = silent;
    }

    /// Makes a server of another version of it.
    pub fn set_major(&self, major: u32) {
        self.lock().major = major;
    }

    /// Names of all databases but the server's own.
    #[must_use]
    pub fn databases(&self) -> BTreeSet<String> {
        self.lock().databases.keys().filter(|name| *name != "postgres").cloned().collect()
    }

    /// Names of all roles.
    #[must_use]
    pub fn roles(&self) -> BTreeSet<String> {
        self.lock().roles.keys().cloned().collect()
    }

    /// Databases whose place a copy has taken, in their order.
    #[must_use]
    pub fn restored(&self) -> Vec<String> {
        self.lock().restored.clone()
    }

    fn is_silent(&self) -> bool {
        self.lock().silent
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call of the server itself, which has to answer.
    async fn call<T>(&self, act: impl Fn(&mut Content) -> Result<T, Error>) -> Result<T, Error> {
        let began = Instant::now();
        while self.is_silent() {
            if began.elapsed() >= PATIENCE {
                let reason = format!("the database server has not answered for {} s", PATIENCE.as_secs());
                return Err(Error::Exhausted(reason));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.answer(act).await
    }

    /// What may fail, or whose answer may be lost after it was made.
    async fn answer<T>(&self, act: impl Fn(&mut Content) -> Result<T, Error>) -> Result<T, Error> {
        let call = || async {
            let mut content = self.lock();
            if !content.there {
                return Err(Error::NoServer);
            }
            act(&mut content)
        };
        self.faults.around(self.faults.draw(), call, |reason| Error::Unreachable(reason.to_owned())).await
    }
}

impl Content {
    fn is_ours(&self, names: &Names, database: &str) -> bool {
        self.databases.get(database) == Some(&names.owner())
    }

    fn create(&mut self, names: &Names, database: &str) -> Result<(), Error> {
        match self.databases.get(database) {
            Some(owner) if *owner != names.owner() => Err(Error::Taken { what: format!("a database {database:?}") }),
            Some(_) => Ok(()),
            None => {
                self.databases.insert(database.to_owned(), names.owner());
                Ok(())
            }
        }
    }

    fn login(&mut self, names: &Names, database: &str, role: &str, password: &Secret) -> Result<(), Error> {
        if !self.is_ours(names, database) {
            return Err(Error::Refused {
                what: format!("let the role {role} connect to {database}"),
                code: "3D000".to_owned(),
                message: format!("database {database:?} does not exist"),
            });
        }
        self.roles.insert(role.to_owned(), Some(password.expose().to_owned()));
        self.kept_out.remove(role);
        Ok(())
    }

    fn let_in(&mut self, names: &Names) {
        for login in Login::ALL {
            self.kept_out.remove(&names.login(login));
        }
    }
}

impl Databases for MemoryDatabases {
    async fn endpoint(&self) -> Result<Endpoint, Error> {
        self.answer(|_| Ok(Endpoint { host: "db.example.internal".to_owned(), port: 5432 })).await
    }

    async fn ensure(&self, names: &Names) -> Result<(), Error> {
        self.call(|content| {
            content.create(names, names.database())?;
            content.roles.insert(names.owner(), None);
            content.let_in(names);
            Ok(())
        })
        .await
    }

    async fn state(&self, names: &Names) -> Result<Option<State>, Error> {
        self.call(|content| {
            let there = |login: &Login| content.roles.contains_key(&names.login(*login));
            let logins = Login::ALL.into_iter().filter(there).collect();
            let was_replaced = |name: &&String| name.starts_with(&names.replaced()) && content.is_ours(names, name);
            let replaced = content.databases.keys().filter(was_replaced).map(|name| (name.clone(), BYTES)).collect();
            let state = State { bytes: BYTES, logins, replaced, major: content.major };
            Ok(content.is_ours(names, names.database()).then_some(state))
        })
        .await
    }

    async fn set_login(&self, names: &Names, login: Login, password: &Secret) -> Result<(), Error> {
        self.call(|content| content.login(names, names.database(), &names.login(login), password)).await
    }

    async fn accepts(&self, names: &Names, role: &str, password: &Secret) -> Result<bool, Error> {
        self.call(|content| {
            let right = content.roles.get(role).is_some_and(|known| known.as_deref() == Some(password.expose()));
            Ok(right && content.is_ours(names, names.database()) && !content.kept_out.contains(role))
        })
        .await
    }

    async fn open_session(&self, names: &Names, database: &str, role: &str, password: &Secret) -> Result<(), Error> {
        self.call(|content| content.login(names, database, role, password)).await
    }

    async fn close_session(&self, _names: &Names, role: &str) -> Result<(), Error> {
        self.call(|content| {
            content.roles.remove(role);
            Ok(())
        })
        .await
    }

    async fn begin_restore(&self, names: &Names, copy: &str) -> Result<(), Error> {
        self.call(|content| {
            content.databases.retain(|name, _| !name.starts_with(&names.copies()));
            content.create(names, copy)
        })
        .await
    }

    async fn finish_restore(&self, names: &Names, copy: &str) -> Result<(), Error> {
        self.call(|content| {
            if let Some(owner) = content.databases.remove(copy) {
                if let Some(before) = content.databases.insert(names.database().to_owned(), owner) {
                    content.databases.retain(|name, _| !name.starts_with(&names.replaced()));
                    content.databases.insert(names.replaced_by(copy), before);
                }
                content.restored.push(names.database().to_owned());
            }
            Ok(())
        })
        .await
    }

    async fn abandon_restore(&self, _names: &Names, copy: &str) -> Result<(), Error> {
        self.call(|content| {
            content.databases.remove(copy);
            Ok(())
        })
        .await
    }

    async fn keep_out(&self, names: &Names) -> Result<(), Error> {
        self.call(|content| {
            let logins = Login::ALL.map(|login| names.login(login));
            let is_its = |role: &&String| logins.contains(role) || role.starts_with(&names.sessions());
            let kept_out: Vec<String> = content.roles.keys().filter(is_its).cloned().collect();
            content.kept_out.extend(kept_out);
            Ok(())
        })
        .await
    }

    async fn let_in(&self, names: &Names) -> Result<(), Error> {
        self.call(|content| {
            content.let_in(names);
            Ok(())
        })
        .await
    }

    async fn drop_everything(&self, names: &Names) -> Result<(), Error> {
        self.call(|content| {
            let owner = names.owner();
            content.let_in(names);
            content.databases.retain(|_, of| *of != owner);
            let (app, sessions) = (Login::ALL.map(|login| names.login(login)), names.sessions());
            content.roles.retain(|role, _| *role != owner && !app.contains(role) && !role.starts_with(&sessions));
            Ok(())
        })
        .await
    }
}
