//! The token by which an app knows that the edge says who asks, and not another container that reaches it: a JWT (RFC 7519) of one
//! minute, signed (HS256) with a key that no other app has.

use std::collections::BTreeMap;

use futuswarm_secret::Secret;

use super::service_backend;
use crate::routes::Route;

/// Name of the file with the keys; beside the configuration, and only for HAProxy's user to read.
pub const TOKEN_KEYS_FILE: &str = "tokens.map";
/// `{"alg":"HS256","typ":"JWT"}` in base64url.
const HEAD: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
/// How long a token is good for.
const SECONDS: u32 = 60;
/// 32 bytes in base64.
const KEY_CHARACTERS: usize = 44;

/// Makes the token of whoever is signed in, for an app that has a key.
pub(super) fn lines(domain: &str, expression: &str) -> Vec<String> {
    // Nothing else is in the name of a domain, nor would it be itself in JSON.
    let domain: String = domain.chars().filter(|c| c.is_ascii_alphanumeric() || ".-".contains(*c)).collect();
    // Between the names of groups is a bar, and what stands for a bar within one is put back.
    let parted = format!(
        r#"regsub('{expression}[|]','\",\"',g),regsub('{expression}%7C','|',g),regsub('{expression}%25','%',g)"#
    );
    let app = "%[var(txn.backend),field(2,-,0),field(1,.)]";
    let claims = [
        format!(r#"\"iss\":\"https://{domain}\""#),
        format!(r#"\"aud\":\"{app}\""#),
        r#"\"sub\":\"%[var(txn.user),json(utf8s)]\""#.to_owned(),
        r#"\"groups\":[%[var(txn.members)]]"#.to_owned(),
        r#"\"iat\":%[date]"#.to_owned(),
        format!(r#"\"exp\":%[date({SECONDS})]"#),
    ];
    let claims = claims.join(",");
    let signed = "if { var(txn.key) -m found }";
    vec![
        "# What the app can check of it: a token of one minute, signed with its own key.".to_owned(),
        format!(
            "http-request set-var(txn.key) var(txn.backend),map_str({TOKEN_KEYS_FILE}) if {{ var(txn.user) -m found }}"
        ),
        format!(
            r#"http-request set-var(txn.members) "var(txn.groups),json(utf8s),{parted}" {signed} {{ var(txn.groups) -m found }}"#
        ),
        r#"http-request set-var-fmt(txn.members) "\"%[var(txn.members)]\"" if { var(txn.members) -m found }"#
            .to_owned(),
        format!(r#"http-request set-var-fmt(txn.claims) "{{{claims}}}" {signed}"#),
        format!(r#"http-request set-var-fmt(txn.claims) "{HEAD}.%[var(txn.claims),ub64enc]" {signed}"#),
        format!(
            r#"http-request set-header X-Edge-Token "%[var(txn.claims)].%[var(txn.claims),hmac(sha256,txn.key),ub64enc]" {signed}"#
        ),
    ]
}

/// The content of [`TOKEN_KEYS_FILE`] for these routes: `keys` has the key of each service that gets tokens, 32 bytes in base64. What is no
/// such key is left out, and its service gets no token.
#[must_use]
pub fn token_keys(routes: &[Route], keys: &BTreeMap<String, Secret>) -> Secret {
    let lines = routes.iter().filter_map(|route| {
        let key = keys.get(&route.service).filter(|key| is_key(key.expose()))?;
        Some((service_backend(route), key))
    });
    let lines: Vec<(String, &Secret)> = lines.collect();
    // A text that grows leaves copies behind.
    let length: usize = lines.iter().map(|(backend, _)| backend.len() + KEY_CHARACTERS + " \n".len()).sum();
    let mut text = String::with_capacity(length);
    for (backend, key) in lines {
        for part in [backend.as_str(), " ", key.expose(), "\n"] {
            text.push_str(part);
        }
    }
    Secret::new(text)
}

fn is_key(key: &str) -> bool {
    key.len() == KEY_CHARACTERS && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
}
