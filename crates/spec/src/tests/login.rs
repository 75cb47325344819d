//! The login's table: what it may say is what Apache's configuration can be made of.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;

/// What is required, and nothing else.
const LEAST: &str =
    "issuer = \"https://login.example.com/realms/x\"\nclient_id = \"futuswarm\"\ncontact = \"it@example.com\"";

/// The local spec with this in the login's table.
fn with(table: &str) -> Result<Spec, String> {
    let text = LOCAL.replacen("[local]", &format!("[login]\n{table}\n\n[local]"), 1);
    Spec::parse("cluster.toml", &text).map_err(|problems| problems.to_string())
}

/// What Apache's configuration is rendered from, as an edge does it.
fn rendered(spec: &Spec) -> Result<futuswarm_sso::Files, futuswarm_sso::Error> {
    let login = spec.login.clone().unwrap();
    let minutes = |minutes: u32| Duration::from_secs(60 * u64::from(minutes));
    let at = |path: &str| format!("https://login.example.com/{path}");
    futuswarm_sso::render(&futuswarm_sso::Login {
        domain: spec.domain.clone(),
        provider: futuswarm_sso::Provider {
            issuer: login.issuer,
            authorization: at("authorize"),
            token: at("token"),
            jwks: at("jwks"),
            userinfo: None,
            end_session: None,
            token_auth: futuswarm_sso::TokenAuth::default(),
        },
        client_id: login.client_id,
        scopes: login.scopes,
        claims: futuswarm_sso::Claims { user: login.user_claim, groups: login.groups_claim },
        sessions: futuswarm_sso::Sessions {
            inactivity: minutes(login.inactivity_minutes),
            longest: minutes(login.longest_minutes),
        },
        balancers: spec.network.public_subnets.iter().copied().map(Into::into).collect(),
        contact: login.contact,
        apps: BTreeMap::new(),
        locked: BTreeSet::new(),
        places: futuswarm_sso::Places {
            config_dir: "/edge/config".to_owned(),
            secrets_file: "/edge/secrets/secrets.conf".to_owned(),
            run_dir: "/edge/run".to_owned(),
            upstream: "/edge/run/haproxy.sock".to_owned(),
            authorities: None,
        },
    })
}

#[test]
fn a_login_has_defaults() {
    let login = with(LEAST).unwrap().login.unwrap();
    assert_eq!((&login.scopes[..], login.user_claim.as_str()), (&["email".to_owned()][..], "email"));
    assert_eq!((login.groups_claim, login.inactivity_minutes, login.longest_minutes), (None, 60, 480));
    assert!(Spec::parse("x", LOCAL).unwrap().login.is_none());
}

#[test]
fn what_a_spec_may_say_apaches_configuration_can_be_made_of() {
    for (from, to) in [
        ("", ""),
        ("https://login.example.com/realms/x", "https://login.example.com"),
        ("https://login.example.com/realms/x", "https://login.example.com:8443/"),
        ("https://login.example.com/realms/x", "https://login/a%20b;c,d!e*f@g~h+i=j&k"),
        ("\"futuswarm\"", "\"0oa1.~:/@+=|-_b\""),
        ("it@example.com", "Ask Ada, tel. +49 30 1234 <ada@example.com> & \\\"co\\\" ß"),
        ("contact", "scopes = []\ncontact"),
        ("contact", "scopes = [\"openid\", \"email\", \"https://graph.example.com/.default\", \"urn:x-y_z\"]\ncontact"),
        ("contact", "user_claim = \"preferred_username\"\ngroups_claim = \"roles\"\ncontact"),
        ("contact", "inactivity_minutes = 1\nlongest_minutes = 1\ncontact"),
        ("contact", "inactivity_minutes = 480\ncontact"),
    ] {
        assert!(LEAST.contains(from), "{from}");
        let spec = with(&LEAST.replacen(from, to, 1)).unwrap_or_else(|problems| panic!("{to}: {problems}"));
        rendered(&spec).unwrap_or_else(|error| panic!("{to}: {error}"));
    }
    let longest = with(LEAST).unwrap().login.unwrap().longest_minutes;
    assert_eq!(Duration::from_secs(60 * u64::from(longest)), futuswarm_model::LONGEST_SESSION);
    // The comparison can fail.
    let mut spec = with(LEAST).unwrap();
    spec.login.as_mut().unwrap().longest_minutes = 481;
    assert!(rendered(&spec).is_err());
}

#[test]
fn what_apache_could_read_otherwise_is_refused_with_its_line() {
    for (from, to, expected) in [
        ("issuer = \"https://login.example.com/realms/x\"\n", "", "login.issuer: this key is missing"),
        ("client_id = \"futuswarm\"\n", "", "login.client_id: this key is missing"),
        ("contact = \"it@example.com\"", "", "login.contact: this key is missing"),
        (
            "https://login",
            "http://login",
            "login.issuer: the issuer is \"http://login.example.com/realms/x\", and has to begin with https://",
        ),
        ("https://login.", "https://Login.", "has no host name in small letters"),
        ("https://login.", "https://ada@login.", "has no host name in small letters"),
        ("/realms/x", "/realms/x?y=1", "has a query, which an issuer has not"),
        ("/realms/x", "/realms/\\\"x", "has a character that stands for something else in a configuration"),
        ("/realms/x", "/${x}", "has a character that stands for something else in a configuration"),
        ("/realms/x", ":99999", "has a port that is none"),
        ("\"futuswarm\"", "\"futu swarm\"", "login.client_id: the client id is \"futu swarm\", which has a character"),
        ("\"futuswarm\"", "\"\"", "the client id is empty"),
        ("\"futuswarm\"", "7", "login.client_id: a string is needed"),
        ("it@example.com", "a\\nb", "login.contact: the contact has a control character"),
        ("it@example.com", "", "login.contact: the contact is empty"),
        (
            "contact",
            "scopes = [\"email\", \"offline_access\"]\ncontact",
            "login.scopes: a scope is \"offline_access\", which asks for a refresh token",
        ),
        ("contact", "scopes = [\"a b\"]\ncontact", "login.scopes: a scope is \"a b\""),
        ("contact", "scopes = \"email\"\ncontact", "login.scopes: a list of strings is needed"),
        ("contact", "user_claim = \"a.b\"\ncontact", "login.user_claim: a claim is \"a.b\""),
        ("contact", "groups_claim = \"a:b\"\ncontact", "login.groups_claim: a claim is \"a:b\""),
        ("contact", "inactivity_minutes = 0\ncontact", "login.inactivity_minutes: 0 cannot be used"),
        (
            "contact",
            "longest_minutes = 481\ncontact",
            "login.longest_minutes: 481 cannot be used; a whole number between 1 and 480",
        ),
        (
            "contact",
            "longest_minutes = 30\ncontact",
            "login.longest_minutes: 30 is less than `inactivity_minutes`, which is 60",
        ),
        ("contact", "client_secret = \"hunter2\"\ncontact", "login.client_secret: the client's secret is in no file"),
        ("contact", "contakt = \"x\"\ncontact", "login.contakt: there is no such key; did you mean `contact`?"),
    ] {
        assert!(LEAST.contains(from), "{from}");
        let problems = with(&LEAST.replacen(from, to, 1)).unwrap_err();
        assert!(problems.contains(expected), "{to}: {problems}");
        assert!(problems.starts_with("cluster.toml:") && !problems.contains("hunter2"), "{problems}");
    }
    let long = "x".repeat(257);
    for (from, what) in [("futuswarm", "the client id"), ("it@example.com", "the contact")] {
        assert!(with(&LEAST.replacen(from, &long, 1)).unwrap_err().contains(&format!("{what} has 257 bytes")));
    }
    let several =
        with("issuer = \"http://x.example.com\"\nclient_id = \"a b\"\nscopes = [\"a b\", \"c d\"]").unwrap_err();
    assert_eq!(several.lines().count(), 5, "{several}");
}

#[test]
fn a_login_needs_a_balancer_that_keeps_to_https_and_knows_hosts() {
    let spec = |cluster: &str, balancer: &str| {
        let text = LOCAL
            .replace("cluster = \"local\"", &format!("cluster = \"{cluster}\""))
            .replace("http = \"forward\"", balancer)
            .replacen("[local]", &format!("[login]\n{LEAST}\n\n[local]"), 1);
        Spec::parse("cluster.toml", &text).map(drop).map_err(|problems| problems.to_string())
    };
    for (cluster, balancer, expected) in [
        ("prod", "http = \"redirect\"", None),
        ("prod", "", None),
        ("prod", "http = \"forward\"", Some("load_balancer.http: browsers send the login's cookies over HTTPS alone")),
        // The local cloud is for whoever sits before it.
        ("local", "http = \"forward\"", None),
        ("local-two", "http = \"forward\"", None),
        ("locals", "http = \"forward\"", Some("load_balancer.http: browsers")),
        (
            "local",
            "kind = \"classic\"\nhttp = \"forward\"",
            Some("load_balancer.kind: a classic load balancer does not fit with [login]"),
        ),
    ] {
        match (spec(cluster, balancer), expected) {
            (Ok(()), None) => {}
            (Err(problems), Some(expected)) => {
                assert!(problems.contains(expected), "{problems}");
                assert_eq!(problems.lines().count(), 1, "{problems}");
            }
            (outcome, _) => panic!("{cluster} {balancer}: {outcome:?}"),
        }
    }
}
