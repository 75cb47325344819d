//! What is rendered, read by Apache itself, and what it does with requests.

mod apache;
mod browser;
mod hostile;
mod lists;
mod provider;
mod refused;
mod signing_in;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futuswarm_model::{LONGEST_SESSION, PassphraseStep as Step};
use futuswarm_secret::Secret;

use super::*;

const CLIENT_SECRET: &str = "edge-secret-\"\\'#-0001";
const PASSPHRASE: &str = "0123456789abcdef0123456789abcdef";
const NEXT: &str = "fedcba9876543210fedcba9876543210";

fn entries(all: &[&str]) -> BTreeSet<Entry> {
    all.iter().map(|entry| entry.parse().unwrap()).collect()
}

fn only(all: &[&str]) -> App {
    App { access: Access::Only(entries(all)), siblings: false }
}

/// With paths as the tests' Apache sees them.
fn login() -> Login {
    let url = |path: &str| format!("https://idp.example.com{path}");
    let apps = [
        ("a.apps", only(&["group:blog-editors", "user:bob@example.com"])),
        ("b.apps", only(&["user:bob@example.com"])),
        ("c.apps", App { access: Access::Open, siblings: false }),
        ("d.apps", App { access: Access::Everybody, siblings: true }),
        ("e.apps", only(&[])),
    ];
    Login {
        domain: "apps.example.com".to_owned(),
        provider: Provider {
            issuer: url(""),
            authorization: url("/auth"),
            token: url("/token"),
            jwks: url("/jwks"),
            userinfo: None,
            end_session: Some(url("/session/end")),
            token_auth: TokenAuth::Basic,
        },
        client_id: "edge".to_owned(),
        scopes: vec!["email".to_owned(), "groups".to_owned()],
        claims: Claims { user: "email".to_owned(), groups: Some("groups".to_owned()) },
        sessions: Sessions { inactivity: Duration::from_secs(3600), longest: Duration::from_secs(28_800) },
        balancers: vec!["10.0.0.0/24".parse().unwrap(), "10.0.1.7/24".parse().unwrap()],
        contact: "IT (it@example.com)".to_owned(),
        apps: apps.into_iter().map(|(host, app)| (format!("{host}.example.com"), app)).collect(),
        locked: entries(&["user:mallory@example.com"]),
        places: Places {
            config_dir: "/mnt".to_owned(),
            secrets_file: "/mnt/secrets.conf".to_owned(),
            run_dir: "/mnt/run".to_owned(),
            upstream: "/mnt/run/edge.sock".to_owned(),
            authorities: None,
        },
    }
}

/// A login without apps.
fn bare() -> Login {
    Login { apps: BTreeMap::new(), locked: BTreeSet::new(), ..login() }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn one_passphrase() -> String {
    let (client, passphrase) = (secret(CLIENT_SECRET), secret(PASSPHRASE));
    secrets(&client, Passphrases::One(&passphrase)).unwrap().expose().to_owned()
}

#[test]
fn a_login_with_some_apps() {
    let Files { config, allow, locked } = render(&login()).unwrap();
    insta::assert_snapshot!(format!("{config}\n== {ALLOW_FILE}\n{allow}\n== {LOCKED_FILE}\n{locked}"));
}

/// Google: no groups, nothing to log out of, no userinfo that is needed. And an endpoint with a query, as Entra's B2C has.
#[test]
fn what_a_provider_does_not_have_is_left_out() {
    let mut login = bare();
    login.claims.groups = None;
    login.provider.end_session = None;
    login.provider.authorization = "https://idp.example.com/a%20b?p=one".to_owned();
    login.provider.token_auth = TokenAuth::Post;
    login.scopes = vec!["openid".to_owned()];
    let config = render(&login).unwrap().config;
    for absent in ["EndSessionEndpoint", "UserInfoEndpoint", "OIDC_CLAIM_", "X-Edge-Groups \"", "[:cntrl:]"] {
        assert!(!config.contains(absent), "{absent}");
    }
    for present in [
        "OIDCScope \"openid\"\n",
        "OIDCWhiteListedClaims email\n",
        "OIDCProviderTokenEndpointAuth client_secret_post\n",
        r#""https://idp.example.com/a\%20b?p=one&%1.%3%2" [R=302,L,NE]"#,
    ] {
        assert!(config.contains(present), "{present}");
    }
    assert_eq!(apache::complaint(&login), None);
}

#[test]
fn apache_accepts_these_and_none() {
    assert_eq!(apache::complaint(&login()), None);
    assert_eq!(apache::complaint(&bare()), None);
}

/// Measured: with as many slots as processes, a few reloads under open WebSockets, and nobody was answered any more.
#[test]
fn reloads_find_a_free_slot_in_the_scoreboard() {
    let config = render(&bare()).unwrap().config;
    let number = |name: &str| -> u32 {
        let line = config.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse().unwrap()
    };
    assert!(number("ServerLimit ") * number("ThreadsPerChild ") >= 4 * number("MaxRequestWorkers "));
    assert!(config.find("\nThreadLimit ").unwrap() < config.find("\nThreadsPerChild ").unwrap());
}

/// Apache keeps what it has looked up: 2,000 requests with hosts of 15 KB were 128 MB (seen).
#[test]
fn no_host_is_looked_up_that_could_be_no_apps() {
    let config = render(&bare()).unwrap().config;
    let lines: Vec<&str> = config.lines().map(str::trim).collect();
    let asked = r#"RewriteCond "${lower:%{HTTP_HOST}}" "^((?:[a-z0-9-]{1,63}\.)?apps\.example\.com)(:\d+)?$""#;
    let lookups: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].contains("${allow:%1")).collect();
    assert_eq!(lookups.len(), 3);
    for at in lookups {
        assert_eq!(lines[at - 1], asked);
    }
}

#[test]
fn no_module_is_loaded_but_those_that_the_login_was_measured_with() {
    let config = render(&bare()).unwrap().config;
    let loaded: Vec<&str> =
        config.lines().filter_map(|line| line.strip_prefix("LoadModule ")?.split("_module").next()).collect();
    let measured = [
        "mpm_event",
        "authn_core",
        "authz_core",
        "authz_user",
        "auth_openidc",
        "headers",
        "rewrite",
        "remoteip",
        "reqtimeout",
        "proxy",
        "proxy_http",
    ];
    assert_eq!(loaded, measured);
}

#[test]
fn no_secret_is_in_what_is_not_secret() {
    let login = login();
    let Files { config, allow, locked } = render(&login).unwrap();
    let text = format!("{config}{allow}{locked}{login:?}");
    assert!(!text.contains(CLIENT_SECRET) && !text.contains(PASSPHRASE));
    assert!(!config.contains("\nOIDCClientSecret") && !config.contains("\nOIDCCryptoPassphrase"));
    assert!(config.contains("Include \"/mnt/secrets.conf\""));
    assert_eq!(
        one_passphrase(),
        "OIDCClientSecret \"edge-secret-\\\"\\\\'#-0001\"\nOIDCCryptoPassphrase \"0123456789abcdef0123456789abcdef\"\n"
    );
}
