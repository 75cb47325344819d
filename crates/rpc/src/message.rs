//! What is asked for, and what comes back. A connection carries one request: after the greetings the client sends one [`Request`],
//! the server any number of [`Event`]s, the last of which is [`Event::Done`] or [`Event::Failed`]. Chunks of streams go in between
//! where the request says so.

use std::collections::{BTreeMap, BTreeSet};

use futuswarm_model::{AppRole, Failure, Outcome, Principal, Settings};
pub use futuswarm_model::{AuditEntry, Value};
use serde::{Deserialize, Serialize};

mod admit;
mod answer;
mod import;
mod link;
mod login;
mod notice;
mod refusal;

pub use admit::*;
pub use answer::*;
pub use import::{Import, ImportOutcome, Imported, ImportedObject};
pub use link::*;
pub use login::*;
pub use notice::Notice;
pub use refusal::{Refusal, RefusalClass};

/// Which of an app's two sealed documents is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Environment variables.
    Config,
    /// Files under `/run/secrets`.
    Secrets,
}

/// What is asked for. Names are checked by the server, whatever the client thinks of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", rename_all_fields = "snake_case")]
pub enum Request {
    /// Who is asking, and how the cluster is called. → [`Answer::Whoami`]
    Whoami,
    /// The apps that the asker may see. → [`Answer::Apps`]
    Apps,
    /// State, tasks and settings of an app. → [`Answer::App`]
    App {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
    },
    /// Makes a release and, unless `detach`, waits for its end; a cut connection does not end it. → [`Answer::Deployment`],
    /// with `plan` [`Answer::Plan`]
    Deploy(Deploy),
    /// Makes a release out of an earlier one: image, settings, config and secrets. → [`Answer::Deployment`]
    Rollback {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
        /// The release to repeat; `None` for the one that ran before the one that runs.
        to: Option<u64>,
        /// How it is waited for.
        #[serde(default)]
        wait: Wait,
    },
    /// Makes a release with another number of tasks. → [`Answer::Deployment`]
    Scale {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
        /// So many tasks.
        replicas: u32,
        /// How it is waited for.
        #[serde(default)]
        wait: Wait,
    },
    /// Replaces all tasks by ones of the same release's content. → [`Answer::Deployment`]
    Restart {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
        /// How it is waited for.
        #[serde(default)]
        wait: Wait,
    },
    /// Ends the release that is on its way. → [`Answer::Done`]
    Cancel {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
    },
    /// Waits for the end of a release. → [`Answer::Deployment`]
    Watch {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
        /// Its number; `None` for the latest.
        release: Option<u64>,
    },
    /// The latest releases, the newest first. → [`Answer::Releases`]
    Releases {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
        /// So many at most.
        limit: u32,
    },
    /// Why a release failed. → [`Answer::Why`]
    Why {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
        /// Its number; `None` for the latest that failed.
        release: Option<u64>,
    },
    /// Removes the app: its service, secrets and network in the Swarm, and its documents. → [`Answer::Done`]
    Remove {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
    },
    /// Names and, with `show`, values of a document. → [`Answer::Values`]
    Values {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
        /// Config or secrets.
        kind: Kind,
        /// Whether values are wanted, too.
        show: bool,
        /// Only this key; an error when it is not there.
        key: Option<String>,
        /// An older version as [`Answer::History`] names it; `None` for what counts now.
        version: Option<String>,
    },
    /// Changes a document, all of it or nothing, and then makes a release with it unless `stage`. → [`Answer::Changed`]
    Change {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
        /// Config or secrets.
        kind: Kind,
        /// Keys and their new values.
        #[serde(default)]
        set: BTreeMap<String, Value>,
        /// Keys to remove.
        #[serde(default)]
        unset: BTreeSet<String>,
        /// The text of a dotenv file, whose keys are set, too.
        dotenv: Option<Value>,
        /// Whether keys that the dotenv file does not name are removed.
        #[serde(default)]
        replace: bool,
        /// Whether running tasks keep what they have until the next deployment or change.
        #[serde(default)]
        stage: bool,
        /// How the release is waited for.
        #[serde(default)]
        wait: Wait,
    },
    /// Takes config and secrets of the old tool out of its bucket. → [`Answer::Imported`]
    Import(Import),
    /// Versions of a document, the newest first: their numbers, who made them and when. Which keys differ between two of them is asked
    /// with [`Request::CompareVersions`]. → [`Answer::History`]
    History {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
        /// Config or secrets.
        kind: Kind,
        /// So many at most.
        limit: u32,
    },
    /// Keys that differ between two versions. → [`Answer::KeyDifferences`]
    CompareVersions {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
        /// Config or secrets.
        kind: Kind,
        /// The earlier one.
        from: String,
        /// The later one; `None` for what counts now.
        to: Option<String>,
    },
    /// Lines of an app's tasks. → [`Event::Log`]s, then [`Answer::Logs`]
    Logs(Logs),
    /// Runs a program in a task of its own, with the app's image, config, secrets and networks. The server sends [`Event::Ready`]
    /// when it reads [`crate::Channel::Input`]; its output comes as chunks. → [`Answer::Exited`]
    Run {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
        /// Program and arguments.
        argv: Vec<String>,
        /// The terminal that it gets; `None` for none.
        terminal: Option<Terminal>,
    },
    /// Rows of an app's access list. → [`Answer::Access`]
    Access {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
    },
    /// Puts a row into an app's access list. → [`Answer::Access`]
    Grant {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
        /// A user, or a group with `@` before it.
        principal: Principal,
        /// What they may do.
        role: AppRole,
    },
    /// Takes a row out of an app's access list. → [`Answer::Access`]
    Revoke {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
        /// A user, or a group with `@` before it.
        principal: Principal,
    },
    /// The apps that a user has a role in, of those that the asker may see. → [`Answer::Apps`]
    AppsOf {
        /// A user, by the rules of [`futuswarm_model::person_name`].
        user: String,
    },
    /// All users. → [`Answer::Users`]
    Users {
        /// Only those who are admins.
        admins: bool,
    },
    /// Makes a user, or changes the given parts of one. → [`Answer::User`]
    PutUser {
        /// Small letters, digits, '.', '_' and '-'.
        name: String,
        /// Whether it may make a new one; otherwise a user who does not exist is an error. One who exists is only given more keys by it.
        create: bool,
        /// Public keys as in `authorized_keys`: with `create` beside those that are there, otherwise in their place; `None` to leave them.
        keys: Option<Vec<String>>,
        /// Whether they are an admin; `None` to leave it.
        admin: Option<bool>,
        /// Their groups; `None` to leave them.
        groups: Option<BTreeSet<String>>,
    },
    /// Removes a user, who is locked out within 30 seconds. → [`Answer::Done`]
    RemoveUser {
        /// As in their record.
        name: String,
    },
    /// Tokens of an app, without their keys. → [`Answer::Tokens`]
    Tokens {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
    },
    /// Makes a token of an app; its key pair is made by the client, who sends the public half. → [`Answer::Tokens`]
    CreateToken {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
        /// Name of the token.
        name: String,
        /// Public key as in `authorized_keys`.
        key: String,
        /// Days until it is worth nothing.
        days: u32,
    },
    /// Ends a token, within 30 seconds. → [`Answer::Tokens`]
    RevokeToken {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
        /// Name of the token.
        name: String,
    },
    /// Nodes of the cluster. → [`Answer::Nodes`]
    Nodes,
    /// Puts a label on a node, or takes it off. → [`Answer::Nodes`]
    LabelNode {
        /// Its host name, which is the instance's id.
        node: String,
        /// Not one that begins with `futuswarm.`: those are the platform's.
        label: String,
        /// Its value; `None` to take it off.
        value: Option<String>,
    },
    /// Who asked for what, the newest first. → [`Answer::Audit`]
    Audit {
        /// So many at most.
        limit: u32,
    },
    /// Restarts the tasks of all apps, one app after the other. → [`Answer::Done`]
    RestartAll,
    /// Which of these blobs the app's own repository has. → [`Answer::Blobs`]
    FindBlobs {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
        /// Digests, `sha256:` and 64 hexadecimal digits.
        digests: Vec<String>,
    },
    /// Sends one blob as chunks of [`crate::Channel::Input`] after [`Event::Ready`], which says from which byte on.
    /// → [`Answer::Done`]
    PutBlob {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
        /// Digest of the whole.
        digest: String,
        /// Its length in bytes.
        length: u64,
    },
    /// Names an image by its manifest, whose blobs are all there. → [`Answer::Pushed`]
    PutManifest {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
        /// What it is called within the app's repository.
        tag: String,
        /// Of an OCI or Docker manifest of one image.
        media_type: String,
        /// The manifest, byte for byte, as text.
        manifest: String,
    },
    /// Says that an app wants to share a network with another one, or not any more. → [`Answer::Link`]
    Link(Link),
    /// Apps that an app is linked with, or may come to be. → [`Answer::Links`]
    Links {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
    },
    /// Whom the login lets through to an app, and changes of it. → [`Answer::Admitted`]
    Admit(Admit),
    /// The login of the private domain as a whole, and changes of it. → [`Answer::Login`], of who is locked out [`Answer::LockedOut`]
    Login {
        /// To look takes an admin, too.
        order: LoginOrder,
    },
    /// Tags of the app's own repository. → [`Answer::Images`]
    Images {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
    },
    /// Deletes images that nothing needs: of one app, or of all. → [`Answer::Collected`]
    CollectImages {
        /// Its name; `None` for all apps, which takes an admin.
        app: Option<String>,
        /// The images of so many releases stay that an app ran with last; `None` for the usual number.
        keep: Option<u32>,
        /// Only say what would go.
        #[serde(default)]
        plan: bool,
        /// So many seconds for pushes, and for others who collect, to end first; `None` to be refused at once.
        #[serde(default)]
        wait: Option<u32>,
    },
    /// What nodes have, and what of it is reserved and used. → [`Answer::Stats`]
    Stats,
    /// Networks of apps, and what is wrong with them. → [`Answer::Networks`]
    Networks,
    /// The database of an app, and its backups. → [`Answer::Database`]
    Database {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
    },
    /// Makes a database, and a release with the way to it among its secrets. → [`Answer::Changed`]
    CreateDatabase {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
        /// How the release is waited for.
        #[serde(default)]
        wait: Wait,
    },
    /// Gives the app another login with another password, and makes a release with it. → [`Answer::Changed`]
    RotateDatabase {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
        /// How the release is waited for.
        #[serde(default)]
        wait: Wait,
    },
    /// Takes a backup. → [`Answer::Backup`]
    BackUpDatabase {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
    },
    /// Puts a backup in the place of what is there, after a backup of that. → [`Answer::Done`]
    RestoreDatabase {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
        /// As [`Answer::Database`] names it; `None` for the latest that was not taken by a restoring.
        backup: Option<String>,
        /// Not even when what is there is lost.
        #[serde(default)]
        without_backup: bool,
    },
    /// Opens psql in the database as a role of the user's own, with input and output as for [`Request::Run`]. → [`Answer::Exited`]
    OpenDatabase {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
        /// The terminal that psql gets; `None` for one that reads SQL from its input and ends at the first error.
        terminal: Option<Terminal>,
    },
    /// Ends the database, after a last backup. → [`Answer::Done`]
    DropDatabase {
        /// An app, by the rules of [`futuswarm_model::app_name`].
        app: String,
        /// Not even when what is there is lost.
        #[serde(default)]
        without_backup: bool,
    },
}

/// How a release is waited for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// Do not wait for its end.
    #[serde(default)]
    pub detach: bool,
    /// So many seconds for another release of the app to end first; `None` to be refused at once.
    #[serde(default)]
    pub for_lock: Option<u32>,
    /// Have another release of the app end and be put back, and take its place.
    #[serde(default)]
    pub supersede: bool,
}

/// A deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deploy {
    /// An app, by the rules of [`futuswarm_model::app_name`].
    pub app: String,
    /// `NAME[:TAG]` of the app's own repository, `@sha256:…`, or `None` for what `app_file` says or the app runs with.
    pub image: Option<String>,
    /// The text of `app.toml`; `None` to keep the settings that the app has.
    pub app_file: Option<String>,
    /// Only say what would change.
    #[serde(default)]
    pub plan: bool,
    /// How it is waited for.
    #[serde(default)]
    pub wait: Wait,
}

/// Which lines of an app's tasks are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    /// An app, by the rules of [`futuswarm_model::app_name`].
    pub app: String,
    /// Whether to go on with new lines.
    pub follow: bool,
    /// Only lines since so many milliseconds since 1970.
    pub since: Option<u64>,
    /// So many lines of each task at most.
    pub tail: Option<u32>,
    /// Only the task whose id or slot this is.
    pub task: Option<String>,
    /// Also of tasks that are gone.
    pub previous: bool,
    /// Only lines that contain this.
    pub grep: Option<String>,
}

/// A terminal: what a program sees of the one that it is run from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// As in `$TERM`.
    pub kind: String,
    /// Its height in lines.
    pub rows: u16,
    /// Its width in characters.
    pub columns: u16,
}

/// What a server sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// What is being done, for people: it replaces what the last one said.
    Progress {
        /// In the words of whoever does it.
        text: String,
        /// Milliseconds since it began.
        elapsed: u64,
        /// Milliseconds after which it is over; `None` for never.
        limit: Option<u64>,
    },
    /// Something to know, for people.
    Note {
        /// One line.
        text: String,
    },
    /// A line of a task.
    Log(LogLine),
    /// Chunks of input are read from now on.
    Ready {
        /// For a blob: so many bytes are there already.
        offset: u64,
    },
    /// The last event of a request that was done.
    Done {
        /// What was asked for.
        answer: Box<Answer>,
    },
    /// It is not done.
    Failed(Refusal),
}

#[cfg(test)]
mod tests;
