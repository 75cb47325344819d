//! What comes back. These are the documents that `--json` prints, so a field keeps its name and its meaning.

use super::{
    Admitted, AppRole, AuditEntry, BTreeMap, BTreeSet, Deserialize, Failure, Imported, Kind, LinkChange, LinkRow,
    LockedOut, LoginState, Outcome, Principal, Serialize, Settings, Value,
};

mod cluster;

pub use cluster::{Collected, CollectedRepository, Measured, NetworkRow, NodeStats};

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", content = "content", rename_all = "kebab-case")]
pub enum Answer {
    /// Nothing more to say than that it is done, in one line for people.
    Done(String),
    /// To [`super::Request::Whoami`].
    Whoami(Whoami),
    /// Apps in the order of their names.
    Apps(Vec<AppRow>),
    /// An app with its settings and tasks.
    App(Box<App>),
    /// What came of a release.
    Deployment(Deployment),
    /// What a deployment would change.
    Plan(Plan),
    /// The newest first.
    Releases(Vec<ReleaseRow>),
    /// Why a release failed.
    Why(Why),
    /// A document of an app.
    Values(Values),
    /// What a change of a document has done.
    Changed(Changed),
    /// What was found in the old tool's bucket, and what became of it.
    Imported(Imported),
    /// The newest first.
    History(Vec<Version>),
    /// Keys and how they differ: `added`, `changed` or `removed`.
    KeyDifferences(BTreeMap<String, String>),
    /// After the last line of a log.
    Logs(LogsEnd),
    /// A program has ended with this exit code.
    Exited(i64),
    /// Rows in the order of their names.
    Access(Vec<AccessRow>),
    /// Users in the order of their names.
    Users(Vec<UserRow>),
    /// One user, as it is now.
    User(UserRow),
    /// Tokens in the order of their names.
    Tokens(Vec<TokenRow>),
    /// Nodes in the order of their names.
    Nodes(Vec<NodeRow>),
    /// The newest first.
    Audit(Vec<AuditEntry>),
    /// Digests of blobs that are there.
    Blobs(BTreeSet<String>),
    /// Digest of a manifest, as the registry knows it now.
    Pushed(String),
    /// What was done about a link.
    Link(LinkChange),
    /// Links in the order of the other apps' names.
    Links(Vec<LinkRow>),
    /// Who may open an app.
    Admitted(Admitted),
    /// How the login is.
    Login(LoginState),
    /// Who is locked out of all apps that need a login.
    LockedOut(LockedOut),
    /// Tags in their order, each with the digest that it names.
    Images(BTreeMap<String, String>),
    /// Images that nothing needed.
    Collected(Collected),
    /// Nodes in the order of their names.
    Stats(Vec<NodeStats>),
    /// Networks in the order of their names.
    Networks(Vec<NetworkRow>),
    /// The database of an app.
    Database(Database),
    /// A backup that was taken.
    Backup(Backup),
}

/// Who is asking, and whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whoami {
    /// Name of the user, or of the token.
    pub name: String,
    /// The app that a token is for; `None` for a user.
    pub token_of: Option<String>,
    /// Whether they may do everything.
    pub admin: bool,
    /// Groups that access lists may name.
    pub groups: BTreeSet<String>,
    /// As in its specification.
    pub cluster: String,
    /// Apps are named below it.
    pub domain: String,
    /// The node that answered.
    pub node: String,
    /// Version of the cluster's programs.
    pub version: String,
    /// Public key of the authority that signs the managers' host keys, as in `authorized_keys`.
    pub host_ca: String,
    /// The command line that the cluster's main page offers; `None` for none.
    #[serde(default)]
    pub command_line: Option<CommandLine>,
}

/// A program of the command line that can be downloaded: static, for Linux on x86-64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandLine {
    /// As `futuswarm --version` says it.
    pub version: String,
    /// Of the program, in hexadecimal digits.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
    /// Where it is.
    pub url: String,
}

/// One line of the list of apps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRow {
    /// The app, as its record is called ([`futuswarm_model::keys::app`]).
    pub app: String,
    /// Where it is served.
    pub url: String,
    /// The release that it runs with; `None` before the first.
    pub release: Option<u64>,
    /// The image of that release, as it was asked for.
    pub image: Option<String>,
    /// What the asker, or the user asked about, may do with it; `None` for an admin without a row.
    pub role: Option<AppRole>,
    /// Tasks that run.
    pub running: u32,
    /// Tasks that should.
    pub replicas: u32,
    /// The release that is on its way.
    pub deploying: Option<u64>,
    /// Whether the world may open it, without a login.
    #[serde(default)]
    pub open: bool,
}

/// An app as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// As in the list.
    #[serde(flatten)]
    pub row: AppRow,
    /// Of those who can log in only these may open it, each `user:NAME` or `group:NAME`; `None` for all of them.
    #[serde(default)]
    pub visitors: Option<BTreeSet<String>>,
    /// Whether the cluster has a login. Until it has one, the world may open every app.
    #[serde(default)]
    pub login: bool,
    /// Digest of the image's manifest.
    pub digest: Option<String>,
    /// All of them, defaults included; `None` before the first release.
    pub settings: Option<Settings>,
    /// Version of the config that its tasks have.
    pub config: Option<String>,
    /// Version of the secrets that its tasks have.
    pub secrets: Option<String>,
    /// Who made it.
    pub created_by: String,
    /// When, in milliseconds since 1970.
    pub created_at: u64,
    /// Its tasks, also those that have ended, the newest first.
    pub tasks: Vec<TaskRow>,
}

/// A task of the Swarm, or what is left of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRow {
    /// The Swarm's id of it.
    pub id: String,
    /// Which of the replicas it is, from 1.
    pub slot: u32,
    /// By its own labels: it may be another one than the app runs with.
    pub release: Option<u64>,
    /// Host name of its node; `None` before it has one.
    pub node: Option<String>,
    /// Swarm's word: `running`, `failed`, ….
    pub state: String,
    /// Swarm's word for what it should be.
    pub desired: String,
    /// When it got into this state, in milliseconds since 1970.
    pub since: u64,
    /// What went wrong; empty for nothing.
    pub error: String,
}

/// What came of a release, as far as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// The app, as its record is called ([`futuswarm_model::keys::app`]).
    pub app: String,
    /// Its number; `None` where none was made because nothing would change.
    pub release: Option<u64>,
    /// The image as it was asked for.
    pub image: String,
    /// Where the app is served.
    pub url: String,
    /// `None` while it is on its way.
    pub outcome: Option<Outcome>,
    /// Seconds that it took so far.
    pub seconds: u64,
    /// Why it failed; `None` where it did not.
    pub failure: Option<Failure>,
    /// The release that it came after, for who wants to undo it.
    pub previous: Option<u64>,
}

/// What a deployment would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The app, as its record is called ([`futuswarm_model::keys::app`]).
    pub app: String,
    /// Whether the app would be new.
    pub new: bool,
    /// Settings, image, config and secrets that would change.
    pub changes: Vec<PlannedChange>,
}

/// A line of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedChange {
    /// In the words of `app.toml`.
    pub name: String,
    /// What counts now; empty for nothing.
    pub before: String,
    /// What will count; empty for nothing.
    pub after: String,
}

/// A line of the list of releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRow {
    /// Its number.
    pub release: u64,
    /// The image as it was asked for.
    pub image: String,
    /// Digest of its manifest.
    pub digest: Option<String>,
    /// Version of the config.
    pub config: Option<String>,
    /// Version of the secrets.
    pub secrets: Option<String>,
    /// The release that it repeats.
    pub of: Option<u64>,
    /// Who wanted it.
    pub by: String,
    /// When, in milliseconds since 1970.
    pub created_at: u64,
    /// `None` while it is on its way.
    pub outcome: Option<Outcome>,
    /// Whether the app runs with it.
    pub current: bool,
    /// Why it failed, in one line.
    pub reason: Option<String>,
}

/// Why a release failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// The app, as its record is called ([`futuswarm_model::keys::app`]).
    pub app: String,
    /// The number; `None` when no release of the app failed.
    pub release: Option<u64>,
    /// What came of it.
    pub outcome: Option<Outcome>,
    /// The reason.
    pub failure: Option<Failure>,
}

/// A config, or secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Values {
    /// The app, as its record is called ([`futuswarm_model::keys::app`]).
    pub app: String,
    /// Which document.
    pub kind: Kind,
    /// The version; `None` where there is no document yet.
    pub version: Option<String>,
    /// Keys and, where they were asked for, values.
    pub values: BTreeMap<String, Option<Value>>,
}

/// What a change of a document has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The app, as its record is called ([`futuswarm_model::keys::app`]).
    pub app: String,
    /// Which document.
    pub kind: Kind,
    /// The version that counts now.
    pub version: Option<String>,
    /// Keys and how they changed: `added`, `changed` or `removed`.
    pub keys: BTreeMap<String, String>,
    /// The release that was made with it; `None` where none was.
    pub deployment: Option<Deployment>,
}

/// A version of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Counts the versions, from 1.
    pub number: u64,
    /// Names it in other requests.
    pub version: String,
    /// Who made it.
    pub by: String,
    /// When, in milliseconds since 1970.
    pub at: u64,
}

/// A line of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was written, in milliseconds since 1970.
    pub at: u64,
    /// The task's id.
    pub task: String,
    /// Which of the replicas it is.
    pub slot: u32,
    /// Host name of its node.
    pub node: String,
    /// Whether it went to standard error.
    pub stderr: bool,
    /// Without the line's end; what is no UTF-8 is replaced.
    pub line: String,
}

/// What is to be said after the last line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsEnd {
    /// So many lines were sent.
    pub lines: u64,
    /// Host names of nodes that did not answer.
    pub silent: Vec<String>,
}

/// A row of an access list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRow {
    /// A user, or a group with `@` before it.
    pub principal: Principal,
    /// What they may do.
    pub role: AppRole,
}

/// A person who may log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    /// As in their record.
    pub name: String,
    /// Whether they may do everything.
    pub admin: bool,
    /// Groups that access lists may name.
    pub groups: BTreeSet<String>,
    /// Fingerprints of their keys, as `ssh-keygen -l` prints them.
    pub keys: Vec<String>,
}

/// A token of an app, without its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRow {
    /// What its maker called it.
    pub name: String,
    /// Fingerprint of its key.
    pub key: String,
    /// Who made it.
    pub by: String,
    /// Until when it is good, in milliseconds since 1970.
    pub expires_at: u64,
}

/// A node of the Swarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRow {
    /// Its host name, which is the instance's id.
    pub name: String,
    /// `manager` or `worker`.
    pub role: String,
    /// Swarm's word: `ready`, `down`, ….
    pub state: String,
    /// Swarm's word: `active`, `pause` or `drain`.
    pub availability: String,
    /// Whether it leads the Swarm.
    pub leader: bool,
    /// Its address in the cluster.
    pub address: String,
    /// For placement constraints.
    pub labels: BTreeMap<String, String>,
    /// Version of its Docker Engine.
    pub engine: String,
    /// Tasks of apps that run on it.
    pub tasks: u32,
}

/// The database of an app, and its backups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Whose it is.
    pub app: String,
    /// Its name on the server; `None` when the app has none, or it is not made to its end.
    pub database: Option<String>,
    /// Where the server answers, as in `HOST:PORT`; `None` when there is none.
    pub server: Option<String>,
    /// What it takes on the server's disk.
    pub bytes: Option<u64>,
    /// The login in the app's secrets.
    pub login: Option<String>,
    /// All logins of the app that there are.
    pub logins: Vec<String>,
    /// Who wanted it.
    pub created_by: Option<String>,
    /// When, in milliseconds since 1970.
    pub created_at: Option<u64>,
    /// The newest first; also those of a database that was dropped.
    pub backups: Vec<Backup>,
}

/// A backup of a database, in PostgreSQL's custom format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// For `db:restore`.
    pub backup: String,
    /// When it was begun, in milliseconds since 1970; what was written later is not in it.
    pub at: u64,
    /// Its length.
    pub bytes: u64,
}
