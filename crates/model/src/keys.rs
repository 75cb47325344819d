//! The names of all objects. IAM policies separate roles by these prefixes, so they are an interface.

use crate::Role;

/// The cluster's specification as last applied.
pub const SPEC: &str = "cluster/spec";
/// Who founded the Swarm, and which Swarm it is.
pub const GENESIS: &str = "cluster/genesis";
/// Records of live managers.
pub const MANAGERS: &str = "cluster/managers/";
/// Heartbeats of all nodes.
pub const NODES: &str = "cluster/nodes/";
/// Documents of apps: a folder each.
pub const APPS: &str = "apps/";
/// Records of people.
pub const USERS: &str = "users/";
/// Which token a key is of.
pub const TOKENS: &str = "tokens/";
/// Who asked for what: a folder for each day.
pub const AUDIT: &str = "audit/";
/// Images, as docker-registry's S3 driver lays them down.
pub const REGISTRY: &str = "registry/";
/// What was taken off to be put back: a folder for each app, and one in it for each life of the app.
pub const BACKUPS: &str = "backup/";
/// The command line for download. Every node reads it, and only who deploys the cluster writes it.
pub const CLI: &str = "cli/";
/// Which program is offered.
pub const CLI_RELEASE: &str = "cli/current";
/// All apps in one document, so that a list of them takes one request. It follows from the apps' own records.
pub const APP_INDEX: &str = "cluster/apps";
/// Apps with a release on its way, so that another manager finds what the one that died has left.
pub const PENDING: &str = "cluster/pending/";
/// Who collects images that nothing needs, if anybody does, and when that was done last.
pub const COLLECTOR: &str = "cluster/registry/collector";
/// Who pushes images, a document for each app. Images are not collected while one of them is good.
pub const PUSHES: &str = "cluster/registry/pushes/";
/// Layers of which a part is in the registry: a folder for each app, with a document for each digest.
pub const UPLOADS: &str = "cluster/registry/uploads/";
/// The environment of apps that have one, whose documents have no further name.
pub const DEFAULT_ENVIRONMENT: &str = "default";
/// What the edge of every node serves, written by the leader.
pub const ROUTES: &str = "cluster/edge/routes";
/// Whom apps admit at the login, for the edge of every node. It follows from the apps' own records.
pub const ADMISSIONS: &str = "cluster/edge/admissions";
/// That the cluster has a login, by being there; a cluster without one has no such document.
pub const LOGIN: &str = "cluster/login";
/// What the login's provider says of itself, written by the leader.
pub const LOGIN_PROVIDER: &str = "cluster/login/provider";
/// What the provider knows the cluster by, sealed.
pub const LOGIN_CLIENT_SECRET: &str = "cluster/login/client-secret";
/// What sessions are encrypted with, sealed.
pub const LOGIN_PASSPHRASES: &str = "cluster/login/passphrases";
/// Who is locked out of all apps.
pub const LOGIN_LOCKED: &str = "cluster/login/locked";

/// The private key of the cluster's SSH authority, sealed with the managers' key. Below `cluster/tokens/`, of which a worker's role
/// reads nothing but its own join token.
pub const SSH_AUTHORITY_KEY: &str = "cluster/tokens/ssh-authority";
/// The public key of the same, for whoever shows it to people.
pub const SSH_AUTHORITY: &str = "cluster/ssh-authority";

/// A program of the command line. Another build has another key, so that whoever has read which one is offered gets that one.
#[must_use]
pub fn cli_program(version: &str, sha256: &str) -> String {
    format!("{CLI}{version}/{sha256}")
}

/// The sealed join token of a role. A worker's IAM role cannot read the manager's.
#[must_use]
pub fn token(role: Role) -> String {
    format!("cluster/tokens/{role}")
}

/// The record of one manager.
#[must_use]
pub fn manager(instance: &str) -> String {
    format!("{MANAGERS}{instance}")
}

/// The heartbeat of one node. Its key ends with what AWS calls the user id of an instance's role session (`aws:userid`), so
/// that the role's policy can let each node write its own heartbeat and no other.
#[must_use]
pub fn node(role_id: &str, instance: &str) -> String {
    format!("{NODES}{role_id}:{instance}")
}

/// The instance that a heartbeat's key belongs to.
#[must_use]
pub fn instance_of(key: &str) -> Option<&str> {
    key.strip_prefix(NODES)?.split_once(':').map(|(_, instance)| instance)
}

/// What every document of the app begins with, slash included.
#[must_use]
pub fn app_folder(app: &str) -> String {
    format!("{APPS}{app}/")
}

/// The record of one app.
#[must_use]
pub fn app(app: &str) -> String {
    format!("{APPS}{app}/app")
}

/// An app's sealed config in an environment.
#[must_use]
pub fn config(app: &str, environment: &str) -> String {
    document(app, "config", environment)
}

/// An app's sealed secrets in an environment.
#[must_use]
pub fn secrets(app: &str, environment: &str) -> String {
    document(app, "secrets", environment)
}

fn document(app: &str, kind: &str, environment: &str) -> String {
    match environment {
        DEFAULT_ENVIRONMENT => format!("{APPS}{app}/{kind}"),
        environment => format!("{APPS}{app}/{kind}/{environment}"),
    }
}

/// The record of a release; with zeros before it, so that lists are in order.
#[must_use]
pub fn release(app: &str, number: u64) -> String {
    format!("{APPS}{app}/releases/{number:08}")
}

/// The record of one person.
#[must_use]
pub fn user(name: &str) -> String {
    format!("{USERS}{name}")
}

/// Which token a key is of, by the SHA-256 of its public part in hexadecimal digits.
#[must_use]
pub fn app_token(hash: &str) -> String {
    format!("{TOKENS}{hash}")
}

/// The marker of an app with a release on its way.
#[must_use]
pub fn pending(app: &str) -> String {
    format!("{PENDING}{app}")
}

/// Who pushes images of the app.
#[must_use]
pub fn push(app: &str) -> String {
    format!("{PUSHES}{app}")
}

/// Where a layer of the app is of which a part is in the registry, by the layer's digest.
#[must_use]
pub fn upload(app: &str, digest: &str) -> String {
    format!("{UPLOADS}{app}/{digest}")
}

/// What every backup of an app's database begins with, slash included. With the moment in which the app was made, in milliseconds since
/// 1970: another app of the name is not shown the backups of the one before it.
#[must_use]
pub fn app_backups(app: &str, since: u64) -> String {
    format!("{BACKUPS}{app}/{since}/")
}

/// A backup of an app's database, by its name.
#[must_use]
pub fn app_backup(app: &str, since: u64, name: &str) -> String {
    format!("{}{name}.dump", app_backups(app, since))
}

/// A line of the audit, by its time in milliseconds since 1970 and a random part.
#[must_use]
pub fn audit(at: u64, random: &str) -> String {
    format!("{AUDIT}{}/{at}-{random}", day(at))
}

/// The day of a time in milliseconds since 1970 (UTC), as `YYYY-MM-DD`.
#[must_use]
pub fn day(at: u64) -> String {
    // From days to dates by eras of 400 years that begin in March
    // (<https://howardhinnant.github.io/date_algorithms.html#civil_from_days>).
    let days = at / 86_400_000 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{date:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        // By `date -u -d @SECONDS +%F`.
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (86_399, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_709_164_800, "2024-02-29"),
            (1_735_689_599, "2024-12-31"),
            (1_735_689_600, "2025-01-01"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(day(seconds * 1000 + 999), expected, "{seconds}");
        }
    }

    #[test]
    fn every_document_of_an_app_is_in_its_folder_and_has_a_name_of_its_own() {
        let keys = [
            app("a"),
            config("a", DEFAULT_ENVIRONMENT),
            config("a", "staging"),
            secrets("a", DEFAULT_ENVIRONMENT),
            secrets("a", "staging"),
            release("a", 9),
            release("a", 10),
        ];
        assert!(keys.iter().all(|key| key.starts_with(&app_folder("a")) && !key.starts_with(&app_folder("ab"))));
        assert_eq!(keys.iter().collect::<std::collections::BTreeSet<_>>().len(), keys.len());
        assert_eq!(keys[1], "apps/a/config");
        assert_eq!(keys[4], "apps/a/secrets/staging");
        assert!(keys[5] < keys[6]);
        assert_eq!(audit(0, "x"), "audit/1970-01-01/0-x");
        assert_eq!(app_backup("a", 7, "9-x"), "backup/a/7/9-x.dump");
    }
}
