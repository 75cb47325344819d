//! Which verb a request is, and what it is asked of: the only way from the protocol to the rules of access.

use futuswarm_paas::access::Verb;
use futuswarm_rpc::message::{Kind, Request};

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

/// The verb of a request; `None` for what everybody who has logged in may ask, and what shows nothing but themselves.
pub(crate) fn verb(request: &Request) -> (Option<Verb>, Subject<'_>) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_by_who_may_read_values_and_names_by_more() {
        let request = |kind, show| Request::Values { app: "hello".to_owned(), kind, show, key: None, version: None };
        for (kind, show, expected) in [
            (Kind::Config, false, Verb::ListConfig),
            (Kind::Config, true, Verb::ReadConfig),
            (Kind::Secrets, false, Verb::ListSecrets),
            (Kind::Secrets, true, Verb::ReadSecrets),
        ] {
            assert_eq!(verb(&request(kind, show)), (Some(expected), Subject::App("hello")));
        }
    }

    #[test]
    fn only_who_one_is_may_be_asked_without_a_rule() {
        assert_eq!(verb(&Request::Whoami).0, None);
        assert_eq!(verb(&Request::Apps), (Some(Verb::ListApps), Subject::Cluster));
    }
}
