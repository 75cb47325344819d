//! Databases of apps on the cluster's PostgreSQL server: one for each app, with roles of its own.
//!
//! What names, passwords, variables and programs are is decided here without input or output. [`Databases`] is what can be done to the
//! server; [`Server`] does it over the server's own protocol, [`MemoryDatabases`] in memory for tests, and [`Rds`] finds the server and
//! its master password on AWS.

mod connection;
mod copies;
mod error;
mod memory;
mod names;
mod objects;
mod password;
mod programs;
mod rds;
mod server;
mod variables;

use std::collections::{BTreeMap, BTreeSet};

use futuswarm_secret::Secret;

pub use error::Error;
pub use memory::MemoryDatabases;
pub use names::{Login, Names};
pub use password::{password, verifier};
pub use programs::{Command, DUMP_LIMITS, MAJOR, dump, interactive, restore, script};
pub use rds::Rds;
pub use server::Server;
pub use variables::{DATABASE_KEYS, USER_KEY, variables};

/// Where the cluster's server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name in DNS.
    pub host: String,
    /// TCP.
    pub port: u16,
}

/// The server with its master user, who makes databases and roles.
pub struct Located {
    /// Where it answers.
    pub endpoint: Endpoint,
    /// The master user.
    pub user: String,
    /// What RDS keeps in Secrets Manager for it; read again for each connection, since RDS changes it.
    pub password: Secret,
}

/// What an app has on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Bytes that the database takes on the server's disk.
    pub bytes: u64,
    /// The app's logins that there are.
    pub logins: BTreeSet<Login>,
    /// Databases whose place a restored one has taken, and the bytes that each takes.
    pub replaced: BTreeMap<String, u64>,
    /// The major version of the whole server, as in 17.
    pub major: u32,
}

/// How the server is found. It is asked for each piece of work, since the master password changes by itself.
pub trait Locate: Send + Sync {
    /// Where the server answers.
    ///
    /// # Errors
    /// When the cluster has none, it is not available, or AWS does not answer.
    fn endpoint(&self) -> impl Future<Output = Result<Endpoint, Error>> + Send;

    /// The server and its master user.
    ///
    /// # Errors
    /// As [`Locate::endpoint`], and when the password cannot be read.
    fn locate(&self) -> impl Future<Output = Result<Located, Error>> + Send;
}

/// What is done to databases of apps. Each may be asked for again, whatever became of the time before: what is there already is kept,
/// and what is gone is no error.
pub trait Databases: Send + Sync {
    /// Where programs reach the server.
    ///
    /// # Errors
    /// When the cluster has none, it is not available, or AWS does not answer.
    fn endpoint(&self) -> impl Future<Output = Result<Endpoint, Error>> + Send;

    /// Makes the app's database and the role that owns it. Nobody else may connect to it, and logins of the app that there are may.
    ///
    /// # Errors
    /// When a database or role of the name is not the app's ([`Error::Taken`]), or the server does not do it; so with all below.
    fn ensure(&self, names: &Names) -> impl Future<Output = Result<(), Error>> + Send;

    /// What the app has; `None` when there is no database of its name.
    ///
    /// # Errors
    /// As [`Databases::ensure`].
    fn state(&self, names: &Names) -> impl Future<Output = Result<Option<State>, Error>> + Send;

    /// Makes a login of the app, or gives it another password. Its connections act as the owner.
    ///
    /// # Errors
    /// As [`Databases::ensure`].
    fn set_login(
        &self,
        names: &Names,
        login: Login,
        password: &Secret,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Whether a role of the app connects to its database with this password, and acts as the owner there.
    ///
    /// # Errors
    /// As [`Databases::ensure`].
    fn accepts(&self, names: &Names, role: &str, password: &Secret)
    -> impl Future<Output = Result<bool, Error>> + Send;

    /// Makes a role for one session in `database`, which acts as the owner, and may connect to the databases that were replaced. Its
    /// password is worth nothing after a day, whatever becomes of us. Those of sessions that are over go.
    ///
    /// # Errors
    /// As [`Databases::ensure`].
    fn open_session(
        &self,
        names: &Names,
        database: &str,
        role: &str,
        password: &Secret,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Ends a session's connections and removes its role. What the role has made is the owner's from then on.
    ///
    /// # Errors
    /// As [`Databases::ensure`].
    fn close_session(&self, names: &Names, role: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Makes an empty database beside the app's, for a backup to be restored into. What earlier attempts have left unfinished goes: only one
    /// may be under way. The database that the last one has replaced stays.
    ///
    /// # Errors
    /// As [`Databases::ensure`].
    fn begin_restore(&self, names: &Names, copy: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Puts the copy in the place of the app's database, both names in one transaction. Connections are cut; clients connect again to what
    /// was restored. What was there is kept as [`Names::replaced_by`]: it has what was written while the backup was loaded. What was kept so
    /// before goes.
    ///
    /// # Errors
    /// As [`Databases::ensure`].
    fn finish_restore(&self, names: &Names, copy: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Drops a copy that will not be used.
    ///
    /// # Errors
    /// As [`Databases::ensure`].
    fn abandon_restore(&self, names: &Names, copy: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Keeps the app's logins and the sessions that there are out of its database from now on. Nobody is connected to it afterwards.
    ///
    /// # Errors
    /// As [`Databases::ensure`], and [`Error::StillConnected`].
    fn keep_out(&self, names: &Names) -> impl Future<Output = Result<(), Error>> + Send;

    /// Lets the app's logins into its database again, if there is one.
    ///
    /// # Errors
    /// As [`Databases::ensure`].
    fn let_in(&self, names: &Names) -> impl Future<Output = Result<(), Error>> + Send;

    /// Drops everything of the app: its database, what restoring has left, and its roles. Connections are cut.
    ///
    /// # Errors
    /// As [`Databases::ensure`].
    fn drop_everything(&self, names: &Names) -> impl Future<Output = Result<(), Error>> + Send;
}
