//! Which command a request is, which right it takes, and what it is asked of: the only way from the protocol to the rules of access.

use futuswarm_paas::access::{Command, Verb};
use futuswarm_rpc::message::{Admit, AdmitChange, Kind, Link, LoginOrder, Request};

#[cfg(test)]
mod tests;

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject<'a> {
    /// The cluster as a whole.
    Cluster,
    /// One app, which may not exist yet.
    App(&'a str),
    /// The cluster as a whole, for the sake of an app: it is the admins' to decide, and the audit names the app.
    ForApp(&'a str),
}

/// The command that a request is, with its verb; `None` for what everybody who has logged in may ask, and what shows nothing but
/// themselves.
pub(crate) fn verb(request: &Request) -> (Option<Command>, Subject<'_>) {
    let (verb, subject) = right(request);
    (verb.map(|verb| Command { verb, name: command(request) }), subject)
}

fn right(request: &Request) -> (Option<Verb>, Subject<'_>) {
    use Subject::{App, Cluster};
    let (verb, subject) = match request {
        Request::Whoami => return (None, Cluster),
        Request::Apps => (Verb::ListApps, Cluster),
        Request::App { app } => (Verb::Inspect, App(app)),
        Request::Deploy(deploy) => (Verb::Deploy, App(&deploy.app)),
        Request::Rollback { app, .. } => (Verb::Rollback, App(app)),
        Request::Scale { app, .. } => (Verb::Scale, App(app)),
        Request::Restart { app, .. } => (Verb::Restart, App(app)),
        Request::Cancel { app } => (Verb::Deploy, App(app)),
        Request::Watch { app, .. } | Request::Releases { app, .. } => (Verb::Releases, App(app)),
        Request::Why { app, .. } => (Verb::Why, App(app)),
        Request::Remove { app } => (Verb::Remove, App(app)),
        Request::Values { app, kind, show, .. } => (values(*kind, *show), App(app)),
        Request::Change { app, kind: Kind::Config, .. } => (Verb::WriteConfig, App(app)),
        Request::Change { app, kind: Kind::Secrets, .. } => (Verb::WriteSecrets, App(app)),
        Request::Import(import) => (Verb::ImportConfig, Subject::ForApp(&import.app)),
        Request::History { app, kind, .. } | Request::CompareVersions { app, kind, .. } => {
            (values(*kind, false), App(app))
        }
        Request::Logs(logs) => (Verb::Logs, App(&logs.app)),
        Request::Run { app, terminal: None, .. } => (Verb::Run, App(app)),
        Request::Run { app, terminal: Some(_), .. } => (Verb::Shell, App(app)),
        Request::Access { app } => (Verb::ListAccess, App(app)),
        Request::Grant { app, .. } | Request::Revoke { app, .. } => (Verb::ChangeAccess, App(app)),
        Request::AppsOf { .. } => (Verb::ListAccessOfUser, Cluster),
        Request::Users { admins: true } => (Verb::ListAdmins, Cluster),
        Request::Users { admins: false } | Request::PutUser { .. } | Request::RemoveUser { .. } => {
            (Verb::ChangeUsers, Cluster)
        }
        Request::Tokens { app } | Request::CreateToken { app, .. } | Request::RevokeToken { app, .. } => {
            (Verb::Tokens, App(app))
        }
        Request::Nodes => (Verb::ListNodes, Cluster),
        Request::LabelNode { .. } => (Verb::LabelNodes, Cluster),
        Request::Audit { .. } => (Verb::ReadAudit, Cluster),
        Request::RestartAll => (Verb::RestartAll, Cluster),
        Request::FindBlobs { app, .. } | Request::PutBlob { app, .. } | Request::PutManifest { app, .. } => {
            (Verb::PushImage, App(app))
        }
        Request::Images { app } => (Verb::ListImages, App(app)),
        Request::CollectImages { app: None, .. } => (Verb::CollectImages, Cluster),
        Request::CollectImages { app: Some(app), .. } => (Verb::CollectAppImages, App(app)),
        Request::Stats => (Verb::Usage, Cluster),
        Request::Networks => (Verb::NetworkHealth, Cluster),
        Request::Link(link) => (Verb::Link, App(&link.app)),
        Request::Links { app } => (Verb::ListLinks, App(app)),
        Request::Admit(Admit { app, change: None }) => (Verb::ListVisitors, App(app)),
        Request::Admit(Admit { app, change: Some(_) }) => (Verb::ChangeVisitors, App(app)),
        Request::Login { order: LoginOrder::Show | LoginOrder::Locked } => (Verb::InspectLogin, Cluster),
        Request::Login { order: LoginOrder::Lock(_) | LoginOrder::Unlock(_) } => (Verb::LockOut, Cluster),
        Request::Login { order: LoginOrder::Rotate(_) } => (Verb::RotateLogin, Cluster),
        Request::Database { app } => (Verb::ListDatabases, App(app)),
        Request::CreateDatabase { app, .. } => (Verb::CreateDatabase, App(app)),
        Request::RotateDatabase { app, .. } => (Verb::RotateDatabase, App(app)),
        Request::BackUpDatabase { app } => (Verb::BackUpDatabase, App(app)),
        Request::RestoreDatabase { app, .. } => (Verb::RestoreDatabase, App(app)),
        Request::OpenDatabase { app, .. } => (Verb::OpenDatabase, App(app)),
        Request::DropDatabase { app, .. } => (Verb::DropDatabase, App(app)),
    };
    (Some(verb), subject)
}

fn values(kind: Kind, show: bool) -> Verb {
    match (kind, show) {
        (Kind::Config, false) => Verb::ListConfig,
        (Kind::Config, true) => Verb::ReadConfig,
        (Kind::Secrets, false) => Verb::ListSecrets,
        (Kind::Secrets, true) => Verb::ReadSecrets,
    }
}

/// What is typed for a request, by its name in `docs/cli.md`, for the audit and for refusals. Of commands that ask for the same, the first
/// one there: `config:edit` is `config` and then `config:set`.
fn command(request: &Request) -> &'static str {
    match request {
        Request::Whoami => "whoami",
        Request::Apps => "app:list",
        Request::App { .. } => "app:inspect",
        Request::Deploy(_) => "app:deploy",
        Request::Rollback { .. } => "app:rollback",
        Request::Scale { .. } => "app:scale",
        Request::Restart { .. } => "app:restart",
        Request::Cancel { .. } => "app:cancel",
        Request::Watch { .. } => "app:watch",
        Request::Releases { .. } => "app:releases",
        Request::Why { .. } => "app:why",
        Request::Remove { .. } => "app:remove",
        Request::Values { kind: Kind::Config, key: None, .. } => "config",
        Request::Values { kind: Kind::Config, key: Some(_), .. } => "config:get",
        Request::Values { kind: Kind::Secrets, key: None, .. } => "secret",
        Request::Values { kind: Kind::Secrets, key: Some(_), .. } => "secret:get",
        Request::Change { kind, set, dotenv, .. } => match (kind, set.is_empty() && dotenv.is_none()) {
            (Kind::Config, false) => "config:set",
            (Kind::Config, true) => "config:unset",
            (Kind::Secrets, false) => "secret:set",
            (Kind::Secrets, true) => "secret:unset",
        },
        Request::Import(_) => "config:import",
        Request::History { kind: Kind::Config, .. } => "config:history",
        Request::History { kind: Kind::Secrets, .. } => "secret:history",
        Request::CompareVersions { .. } => "config:diff",
        Request::Logs(_) => "app:logs",
        Request::Run { terminal: None, .. } => "app:run",
        Request::Run { terminal: Some(_), .. } => "app:shell",
        Request::Access { .. } => "acl:user:list",
        Request::Grant { .. } => "acl:user:add",
        Request::Revoke { .. } => "acl:user:rm",
        Request::AppsOf { .. } => "acl:user:services",
        Request::Users { admins: true } => "admin:list",
        Request::Users { admins: false } => "users",
        Request::PutUser { create: true, .. } => "admin:user:add",
        Request::PutUser { create: false, keys: Some(_), .. } => "admin:user:key:set",
        Request::PutUser { create: false, keys: None, .. } => "admin:user:set",
        Request::RemoveUser { .. } => "admin:user:rm",
        Request::Tokens { .. } => "tokens",
        Request::CreateToken { .. } => "tokens:create",
        Request::RevokeToken { .. } => "tokens:revoke",
        Request::Nodes => "swarm:nodes",
        Request::LabelNode { value: Some(_), .. } => "swarm:node:label:add",
        Request::LabelNode { value: None, .. } => "swarm:node:label:rm",
        Request::Audit { .. } => "admin:swarm:usage",
        Request::RestartAll => "admin:swarm:restart",
        Request::FindBlobs { .. } | Request::PutBlob { .. } | Request::PutManifest { .. } => "image:push",
        Request::Images { .. } => "image:list",
        Request::CollectImages { .. } => "image:gc",
        Request::Stats => "swarm:stats",
        Request::Networks => "swarm:network:health",
        Request::Link(Link { end: false, .. }) => "app:link",
        Request::Link(Link { end: true, .. }) => "app:unlink",
        Request::Links { .. } => "app:links",
        Request::Admit(Admit { change, .. }) => match change {
            None => "app:access:list",
            Some(AdmitChange::Add(_) | AdmitChange::Everybody) => "app:access:add",
            Some(AdmitChange::Remove(_)) => "app:access:rm",
            Some(AdmitChange::Open) => "app:open",
            Some(AdmitChange::Private) => "app:private",
        },
        Request::Login { order } => match order {
            LoginOrder::Show => "admin:login",
            LoginOrder::Locked => "admin:login:locked",
            LoginOrder::Lock(_) => "admin:login:lock",
            LoginOrder::Unlock(_) => "admin:login:unlock",
            LoginOrder::Rotate(_) => "admin:login:rotate",
        },
        Request::Database { .. } => "db:list",
        Request::CreateDatabase { .. } => "db:create",
        Request::RotateDatabase { .. } => "db:rotate",
        Request::BackUpDatabase { .. } => "db:backup",
        Request::RestoreDatabase { .. } => "db:restore",
        Request::OpenDatabase { .. } => "db:psql",
        Request::DropDatabase { .. } => "db:drop",
    }
}
