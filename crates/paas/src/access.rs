//! Who may do what: one function decides, and it says no to whatever it was not told to allow.

use std::collections::BTreeSet;
use std::fmt;

use futuswarm_model::{AccessList, AppRole};

#[cfg(test)]
mod tests;

/// Services that every cluster has, out of the nodes' image, and that only admins see anything of. No app can be called so: a release of
/// it would take the place of what the Swarm's leader keeps.
pub const CORE_APPS: [&str; 1] = ["mainpage"];
/// Names below the domain that lead to no app: `ssh.DOMAIN` leads to the managers.
const NO_APPS: [&str; 1] = ["ssh"];

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A person who has logged in with a key of their own.
    User {
        /// As in their record.
        name: String,
        /// Whether they may do everything.
        admin: bool,
        /// Groups that access lists may name.
        groups: BTreeSet<String>,
    },
    /// A program with a token of one app.
    Token {
        /// Name of the token.
        name: String,
        /// The app that it was made for.
        app: String,
        /// Until when it is good, in milliseconds since 1970.
        expires_at: u64,
    },
}

impl fmt::Display for Actor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { name, .. } => formatter.write_str(name),
            Self::Token { name, app, .. } => write!(formatter, "the token {name} of {app}"),
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// The cluster, its nodes and its users.
    Cluster,
    /// An app that exists.
    App {
        /// As in its record.
        name: &'a str,
        /// Who may do what with it.
        access: &'a AccessList,
    },
    /// A name that no app has.
    NewApp {
        /// Fit for a host name.
        name: &'a str,
    },
}

/// What it takes to be allowed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    /// A user of the cluster, whoever it is.
    User,
    /// This role or a higher one in the app.
    Role(AppRole),
    /// A user whose record says so.
    Admin,
}

macro_rules! verbs {
    ($($(#[doc = $doc:literal])* $verb:ident = $words:literal : $requirement:expr, token $token:literal, new $new:literal;)*) => {
        /// Everything that can be asked for, in the words of the command line.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Verb {
            $($(#[doc = $doc])* $verb,)*
        }

        impl Verb {
            /// All of them, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$verb,)*];

            /// A command that takes it, as in `docs/cli.md`; others may take the same ([`Command`]).
            #[must_use]
            pub fn command(self) -> &'static str {
                match self { $(Self::$verb => $words,)* }
            }

            /// What it takes.
            #[must_use]
            pub fn requirement(self) -> Requirement {
                match self { $(Self::$verb => $requirement,)* }
            }

            /// Whether a token of the app is enough: what a deployment by a program needs, and nothing else.
            fn allows_token(self) -> bool {
                match self { $(Self::$verb => $token,)* }
            }

            /// Whether it begins an app that does not exist yet, whose owner is who asks.
            #[must_use]
            pub fn begins_an_app(self) -> bool {
                match self { $(Self::$verb => $new,)* }
            }
        }
    };
}

use AppRole::{Deployer, Owner, Viewer};
use Requirement::{Admin, Role, User};

verbs! {
    /// Lists the apps that the asker may see.
    ListApps = "app:list": User, token false, new false;
    /// State, tasks and settings of an app.
    Inspect = "app:inspect": Role(Viewer), token true, new false;
    /// Output of its tasks.
    Logs = "app:logs": Role(Viewer), token true, new false;
    /// What it ran with, and what came of each.
    Releases = "app:releases": Role(Viewer), token true, new false;
    /// Why its last release failed.
    Why = "app:why": Role(Viewer), token true, new false;
    /// Sends an image.
    PushImage = "image:push": Role(Deployer), token true, new true;
    /// Its own repository in the registry.
    ListImages = "image:list": Role(Viewer), token true, new false;
    /// Makes a release.
    Deploy = "app:deploy": Role(Deployer), token true, new true;
    /// Makes a release out of an earlier one.
    Rollback = "app:rollback": Role(Deployer), token true, new false;
    /// Changes the number of tasks.
    Scale = "app:scale": Role(Deployer), token false, new false;
    /// Replaces its tasks.
    Restart = "app:restart": Role(Deployer), token false, new false;
    /// Runs a program in a task of its own.
    Run = "app:run": Role(Deployer), token false, new false;
    /// Opens a terminal in a task.
    Shell = "app:shell": Role(Deployer), token false, new false;
    /// Removes the app with all that belongs to it.
    Remove = "app:remove": Role(Owner), token false, new false;
    /// Lets two apps reach each other; asked of both.
    Link = "app:link": Role(Owner), token false, new false;
    /// The apps that it is linked with, and those that want to be.
    ListLinks = "app:links": Role(Viewer), token false, new false;
    /// Whom the login lets through to it, and whether it has one.
    ListVisitors = "app:access:list": Role(Viewer), token false, new false;
    /// Changes whom the login lets through, and whether there is one before the app.
    ChangeVisitors = "app:access:add": Role(Owner), token false, new false;
    /// Names of its config keys, and when they were changed by whom.
    ListConfig = "config:history": Role(Viewer), token false, new false;
    /// Values of its config.
    ReadConfig = "config:get": Role(Deployer), token false, new false;
    /// Changes its config.
    WriteConfig = "config:set": Role(Deployer), token false, new true;
    /// Takes config and secrets of the old tool's bucket: whose objects these are, only an admin can judge.
    ImportConfig = "config:import": Admin, token false, new false;
    /// Names of its secrets, and when they were changed by whom.
    ListSecrets = "secret": Role(Viewer), token false, new false;
    /// Values of its secrets.
    ReadSecrets = "secret:get": Role(Owner), token false, new false;
    /// Changes its secrets.
    WriteSecrets = "secret:set": Role(Deployer), token false, new true;
    /// Their names, sizes and backups.
    ListDatabases = "db:list": Role(Viewer), token false, new false;
    /// Makes a database.
    CreateDatabase = "db:create": Role(Owner), token false, new false;
    /// Opens a session in its database.
    OpenDatabase = "db:psql": Role(Owner), token false, new false;
    /// Takes a backup.
    BackUpDatabase = "db:backup": Role(Deployer), token false, new false;
    /// Puts a backup in the place of what is there.
    RestoreDatabase = "db:restore": Role(Owner), token false, new false;
    /// Changes the database's password.
    RotateDatabase = "db:rotate": Role(Owner), token false, new false;
    /// Ends a database.
    DropDatabase = "db:drop": Role(Owner), token false, new false;
    /// Who may do what with the app.
    ListAccess = "acl:user:list": Role(Viewer), token false, new false;
    /// Changes who may.
    ChangeAccess = "acl:user:add": Role(Owner), token false, new false;
    /// Makes, lists and revokes tokens of the app.
    Tokens = "tokens": Role(Owner), token false, new false;
    /// Which apps a user may do something with.
    ListAccessOfUser = "acl:user:services": User, token false, new false;
    /// Who the admins are.
    ListAdmins = "admin:list": User, token false, new false;
    /// Makes and removes users, and sets their keys.
    ChangeUsers = "admin:user:add": Admin, token false, new false;
    /// How the login of the private domain is, and who is locked out.
    InspectLogin = "admin:login": Admin, token false, new false;
    /// Locks people out of all apps that need a login, and lets them in again.
    LockOut = "admin:login:lock": Admin, token false, new false;
    /// Has another passphrase follow the one that sessions are encrypted with.
    RotateLogin = "admin:login:rotate": Admin, token false, new false;
    /// The nodes of the cluster.
    ListNodes = "swarm:nodes": User, token false, new false;
    /// What the nodes and their tasks use.
    Usage = "swarm:stats": User, token false, new false;
    /// Changes labels of nodes.
    LabelNodes = "swarm:node:label:add": Admin, token false, new false;
    /// Who asked for what.
    ReadAudit = "admin:swarm:usage": Admin, token false, new false;
    /// Replaces the tasks of all apps.
    RestartAll = "admin:swarm:restart": Admin, token false, new false;
    /// Deletes images that no release of any app needs.
    CollectImages = "image:gc": Admin, token false, new false;
    /// Deletes images of the app that no release of it needs.
    CollectAppImages = "image:gc -a": Role(Owner), token false, new false;
    /// Networks of apps, and what is wrong with them.
    NetworkHealth = "swarm:network:health": User, token false, new false;
}

/// A command with the right that it takes. Several take the same one, and whoever is refused reads which of them it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command {
    /// The right.
    pub verb: Verb,
    /// As it is typed, and as `docs/cli.md` has it.
    pub name: &'static str,
}

impl Command {
    /// As [`Verb::begins_an_app`].
    #[must_use]
    pub fn begins_an_app(self) -> bool {
        self.verb.begins_an_app()
    }
}

impl From<Verb> for Command {
    fn from(verb: Verb) -> Self {
        Self { verb, name: verb.command() }
    }
}

/// Why something is not allowed, with who could allow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Who asked.
    pub actor: String,
    /// The command that was asked for.
    pub command: &'static str,
    /// The app, when it is about one.
    pub app: Option<String>,
    /// What is missing, and what to do.
    pub reason: String,
}

impl fmt::Display for Denied {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} is not allowed", self.command)?;
        if let Some(app) = &self.app {
            write!(formatter, " with {app}")?;
        }
        write!(formatter, ": {}", self.reason)
    }
}

impl std::error::Error for Denied {}

/// Whether `actor` may give `command` to `target` at `now` (milliseconds since 1970): its verb decides, and its name is only said. Every
/// request goes through here and nowhere else.
///
/// # Errors
/// When it is not allowed, with the reason.
pub fn decide(actor: &Actor, command: impl Into<Command>, target: Target<'_>, now: u64) -> Result<(), Denied> {
    let Command { verb, name: command } = command.into();
    let app = match target {
        Target::Cluster => None,
        Target::App { name, .. } | Target::NewApp { name } => Some(name),
    };
    let denied = |reason: String| Denied { actor: actor.to_string(), command, app: app.map(str::to_owned), reason };
    match actor {
        Actor::User { admin: true, .. } => admin(verb, target).map_err(denied),
        Actor::User { name, groups, .. } => user(name, groups, verb, target).map_err(denied),
        Actor::Token { app, expires_at, .. } => token(app, *expires_at, verb, target, now).map_err(denied),
    }
}

/// An admin may do everything that makes sense.
fn admin(verb: Verb, target: Target<'_>) -> Result<(), String> {
    match (verb.requirement(), target) {
        (Role(_), Target::App { name, .. } | Target::NewApp { name }) if CORE_APPS.contains(&name) => {
            core_app(verb, name, matches!(target, Target::App { .. }))
        }
        (Role(_), Target::App { .. }) | (User | Admin, Target::Cluster) => Ok(()),
        (Role(_), Target::NewApp { name }) => new_app(verb, name),
        (Role(_), Target::Cluster) => Err("it is asked of an app, and none was named".to_owned()),
        (User | Admin, _) => Err("it is asked of the cluster, and of no app".to_owned()),
    }
}

fn user(name: &str, groups: &BTreeSet<String>, verb: Verb, target: Target<'_>) -> Result<(), String> {
    match (verb.requirement(), target) {
        (Admin, _) => Err("only admins may; `futuswarm admin:list` names them".to_owned()),
        (User, Target::Cluster) => Ok(()),
        (Role(needed), Target::App { name: app, access }) => {
            if CORE_APPS.contains(&app) {
                return Err("it is an app of the platform, and the admins'".to_owned());
            }
            match access.role(name, groups) {
                Some(role) if role >= needed => Ok(()),
                role => {
                    let has = role.map_or("you have no role".to_owned(), |role| format!("you are {role}"));
                    let owners: Vec<String> = access
                        .rows()
                        .filter(|(_, role)| *role == Owner)
                        .map(|(principal, _)| principal.to_string())
                        .collect();
                    let whom = match owners.is_empty() {
                        true => "nobody owns it, so ask an admin (`futuswarm admin:list` names them)".to_owned(),
                        false => format!("ask an owner ({})", owners.join(", ")),
                    };
                    Err(format!(
                        "it takes the role {needed}, and {has}; {whom} for `futuswarm acl:user:add {name} --role {needed} -a {app}`"
                    ))
                }
            }
        }
        (Role(_), Target::NewApp { name: app }) => {
            if CORE_APPS.contains(&app) {
                return Err(reserved(app));
            }
            new_app(verb, app)
        }
        (Role(_), Target::Cluster) => Err("it is asked of an app, and none was named".to_owned()),
        (User, _) => Err("it is asked of the cluster, and of no app".to_owned()),
    }
}

/// What an admin may do with a name of the platform. An app of that name is of a time in which one could be made: it can be looked at and
/// taken away.
fn core_app(verb: Verb, name: &str, is_there: bool) -> Result<(), String> {
    match verb {
        Verb::Logs => Ok(()),
        Verb::Remove if is_there => Ok(()),
        _ if is_there && verb.requirement() == Role(Viewer) => Ok(()),
        _ => Err(reserved(name)),
    }
}

fn reserved(name: &str) -> String {
    format!(
        "{name} is the platform's own: it comes with the nodes' image, and the Swarm's leader keeps it as it is; choose another name for an app, and have the cluster deployed with another image to change {name}"
    )
}

fn new_app(verb: Verb, name: &str) -> Result<(), String> {
    if NO_APPS.contains(&name) {
        return Err(format!("no app can be called {name}: that name below the domain leads to the managers"));
    }
    match verb.begins_an_app() {
        true => Ok(()),
        false => Err(format!("there is no app {name}")),
    }
}

fn token(own: &str, expires_at: u64, verb: Verb, target: Target<'_>, now: u64) -> Result<(), String> {
    let Target::App { name, .. } = target else {
        return Err(format!("the token is for the app {own} and nothing else"));
    };
    if name != own {
        return Err(format!("the token is for the app {own} and no other"));
    }
    if now >= expires_at {
        return Err("the token has expired; an owner makes a new one with `futuswarm tokens:create`".to_owned());
    }
    if !verb.allows_token() {
        return Err("a token may push images, deploy, roll back and see what came of it".to_owned());
    }
    Ok(())
}
