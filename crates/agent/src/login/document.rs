//! A provider's discovery document, from an answer over HTTP to what the cluster keeps of it. No input or output.
//!
//! Source: OpenID Connect Discovery 1.0, sections 3 and 4 (<https://openid.net/specs/openid-connect-discovery-1_0.html>).

use futuswarm_model::LoginProvider;
use futuswarm_sso::{Provider, TokenAuth};
use serde_json::{Map, Value};

/// A document has some kilobytes, with every claim and algorithm that a provider knows.
pub(super) const LONGEST: usize = 256 << 10;
/// Behind the issuer, without its last slash.
const PATH: &str = "/.well-known/openid-configuration";
/// So many characters of what the provider says are shown in a message.
const SHOWN: usize = 100;

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Of HTTP.
    pub status: u16,
    /// At most 256 KiB.
    pub body: Vec<u8>,
}

/// Where the document is.
pub(super) fn url(issuer: &str) -> String {
    format!("{}{PATH}", issuer.strip_suffix('/').unwrap_or(issuer))
}

/// Reads what the provider of this issuer says of itself, at `at` (milliseconds since 1970); the reason when that is nothing to go by.
pub(super) fn read(issuer: &str, answer: &Answer, at: u64) -> Result<LoginProvider, String> {
    match answer.status {
        200 => {}
        status @ 300..=399 => {
            return Err(format!(
                "it answers {status} and leads elsewhere, which is not followed: is the issuer what the provider calls itself?"
            ));
        }
        status => return Err(format!("it answers {status}")),
    }
    if answer.body.len() > LONGEST {
        return Err(too_long());
    }
    let document: Value = serde_json::from_slice(&answer.body)
        .map_err(|error| format!("it answers something else than a JSON document ({error}): is it the provider's?"))?;
    let Value::Object(document) = document else { return Err("its JSON document is no object".to_owned()) };
    let theirs = wanted(&document, "issuer")?;
    if theirs != issuer {
        return Err(format!(
            "it calls itself {}, and the login's issuer is {issuer:?}: they have to be the same to the letter",
            shown(theirs)
        ));
    }
    if !list(&document, "response_types_supported")?.is_some_and(|types| types.contains(&"code")) {
        return Err("response_types_supported has no \"code\": it has no authorization code flow".to_owned());
    }
    let secret_in_form = secret_in_form(list(&document, "token_endpoint_auth_methods_supported")?.as_deref())?;
    let owned = |text: &str| text.to_owned();
    let provider = LoginProvider {
        issuer: issuer.to_owned(),
        authorization: wanted(&document, "authorization_endpoint").map(owned)?,
        token: wanted(&document, "token_endpoint").map(owned)?,
        jwks: wanted(&document, "jwks_uri").map(owned)?,
        userinfo: text(&document, "userinfo_endpoint")?.map(owned),
        end_session: text(&document, "end_session_endpoint")?.map(owned),
        secret_in_form,
        at,
    };
    // What is kept is never what edges cannot render.
    rendered(&provider).check().map_err(|error| error.to_string())?;
    Ok(provider)
}

pub(super) fn too_long() -> String {
    format!("its answer is longer than {} KiB", LONGEST >> 10)
}

/// As edges have it.
fn rendered(provider: &LoginProvider) -> Provider {
    let LoginProvider { issuer, authorization, token, jwks, userinfo, end_session, secret_in_form, at: _ } =
        provider.clone();
    let token_auth = if secret_in_form { TokenAuth::Post } else { TokenAuth::Basic };
    Provider { issuer, authorization, token, jwks, userinfo, end_session, token_auth }
}

/// Whether the client's secret goes into the form; a provider that says nothing takes it in the header.
fn secret_in_form(methods: Option<&[&str]>) -> Result<bool, String> {
    let Some(methods) = methods else { return Ok(false) };
    match (methods.contains(&"client_secret_basic"), methods.contains(&"client_secret_post")) {
        (true, _) => Ok(false),
        (false, true) => Ok(true),
        (false, false) => Err(
            "token_endpoint_auth_methods_supported has neither client_secret_basic nor client_secret_post: there is no other way for a client's secret"
                .to_owned(),
        ),
    }
}

fn text<'a>(document: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match document.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{name} is no text")),
    }
}

fn wanted<'a>(document: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    text(document, name)?.ok_or_else(|| format!("it does not say its {name}"))
}

fn list<'a>(document: &'a Map<String, Value>, name: &str) -> Result<Option<Vec<&'a str>>, String> {
    let wrong = || format!("{name} is no list of texts");
    match document.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(items)) => {
            items.iter().map(Value::as_str).collect::<Option<Vec<&str>>>().map(Some).ok_or_else(wrong)
        }
        Some(_) => Err(wrong()),
    }
}

/// The beginning of a text of others, without what could move a terminal.
fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(SHOWN).collect::<String>())
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub(in crate::login) const ISSUER: &str = "https://idp.example.com";

    /// As a provider of these days answers.
    pub(in crate::login) fn good() -> Value {
        json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://idp.example.com/auth",
            "token_endpoint": "https://idp.example.com/token",
            "jwks_uri": "https://keys.example.com/jwks",
            "userinfo_endpoint": "https://idp.example.com/me",
            "end_session_endpoint": "https://idp.example.com/session/end",
            "response_types_supported": ["code", "code id_token", "id_token"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            "claims_supported": ["sub", "email"],
            "request_parameter_supported": false,
        })
    }

    pub(in crate::login) fn answer(document: &Value) -> Answer {
        Answer { status: 200, body: document.to_string().into_bytes() }
    }

    /// With this in the place of a field; without the field for `None`.
    fn with(name: &str, value: Option<Value>) -> Value {
        let mut document = good();
        let fields = document.as_object_mut().unwrap();
        match value {
            Some(value) => fields.insert(name.to_owned(), value),
            None => fields.remove(name),
        };
        document
    }

    #[test]
    fn what_the_provider_says_is_kept() {
        let all = LoginProvider {
            issuer: ISSUER.to_owned(),
            authorization: "https://idp.example.com/auth".to_owned(),
            token: "https://idp.example.com/token".to_owned(),
            jwks: "https://keys.example.com/jwks".to_owned(),
            userinfo: Some("https://idp.example.com/me".to_owned()),
            end_session: Some("https://idp.example.com/session/end".to_owned()),
            secret_in_form: false,
            at: 7,
        };
        assert_eq!(read(ISSUER, &answer(&good()), 7).unwrap(), all);
        for (name, value, expected) in [
            ("userinfo_endpoint", None, LoginProvider { userinfo: None, ..all.clone() }),
            ("end_session_endpoint", Some(Value::Null), LoginProvider { end_session: None, ..all.clone() }),
            ("token_endpoint_auth_methods_supported", None, all.clone()),
            (
                "token_endpoint_auth_methods_supported",
                Some(json!(["private_key_jwt", "client_secret_post"])),
                LoginProvider { secret_in_form: true, ..all.clone() },
            ),
            ("response_types_supported", Some(json!(["code"])), all.clone()),
        ] {
            assert_eq!(read(ISSUER, &answer(&with(name, value)), 7).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn the_document_is_behind_the_issuer_without_its_last_slash() {
        for (issuer, expected) in [
            (ISSUER, "https://idp.example.com/.well-known/openid-configuration"),
            ("https://idp.example.com/", "https://idp.example.com/.well-known/openid-configuration"),
            ("https://idp.example.com/a/v2.0", "https://idp.example.com/a/v2.0/.well-known/openid-configuration"),
        ] {
            assert_eq!(url(issuer), expected);
        }
    }

    #[test]
    fn what_is_missing_or_something_else_is_named() {
        let https = "has to begin with https://";
        for (name, value, part) in [
            ("issuer", None, "does not say its issuer"),
            ("issuer", Some(json!(7)), "issuer is no text"),
            ("issuer", Some(json!("https://idp.example.com/")), "to the letter"),
            ("issuer", Some(json!("https://IDP.example.com")), "to the letter"),
            ("authorization_endpoint", None, "does not say its authorization_endpoint"),
            ("authorization_endpoint", Some(json!(["https://idp.example.com/auth"])), "is no text"),
            ("authorization_endpoint", Some(json!("http://idp.example.com/auth")), https),
            ("authorization_endpoint", Some(json!("")), "is empty"),
            ("authorization_endpoint", Some(json!("https://idp.example.com/a\nb")), "control character"),
            ("authorization_endpoint", Some(json!("https://idp.example.com/a b")), "authorization endpoint"),
            ("authorization_endpoint", Some(json!("https://user@idp.example.com/a")), "no host name"),
            ("token_endpoint", None, "does not say its token_endpoint"),
            ("token_endpoint", Some(json!("http://idp.example.com/token")), https),
            ("token_endpoint", Some(Value::Null), "does not say its token_endpoint"),
            ("jwks_uri", None, "does not say its jwks_uri"),
            ("jwks_uri", Some(json!("file:///etc/shadow")), https),
            ("userinfo_endpoint", Some(json!({})), "userinfo_endpoint is no text"),
            ("userinfo_endpoint", Some(json!("http://idp.example.com/me")), https),
            ("end_session_endpoint", Some(json!("javascript:alert(1)")), https),
            ("end_session_endpoint", Some(json!(format!("https://idp.example.com/{}", "a".repeat(2000)))), "bytes"),
            ("response_types_supported", None, "no authorization code flow"),
            ("response_types_supported", Some(json!(["id_token", "code token"])), "no authorization code flow"),
            ("response_types_supported", Some(json!("code")), "is no list of texts"),
            ("response_types_supported", Some(json!(["code", 7])), "is no list of texts"),
            ("token_endpoint_auth_methods_supported", Some(json!([])), "neither client_secret_basic nor"),
            ("token_endpoint_auth_methods_supported", Some(json!(["private_key_jwt"])), "neither client_secret_basic"),
            ("token_endpoint_auth_methods_supported", Some(json!({})), "is no list of texts"),
        ] {
            let reason = read(ISSUER, &answer(&with(name, value.clone())), 7).unwrap_err();
            assert!(reason.contains(part), "{name} {value:?}: {reason}");
            assert!(reason.len() < 1500 && !reason.contains('\n'), "{name}: {reason}");
        }
    }

    #[test]
    fn an_answer_that_is_no_document_is_told_apart() {
        let body = |body: &[u8]| Answer { status: 200, body: body.to_vec() };
        let status = |status| Answer { status, ..answer(&good()) };
        let mut long = answer(&good());
        long.body.resize(1 << 20, b' ');
        for (answer, part) in [
            (body(b""), "something else than a JSON document"),
            (body(b"<!doctype html><title>Sign in</title>"), "something else than a JSON document"),
            (body(b"\xff\xfe{}"), "something else than a JSON document"),
            (body(&[b'['; 100_000]), "something else than a JSON document"),
            (body(b"[]"), "is no object"),
            (body(b"null"), "is no object"),
            (body(b"{}"), "does not say its issuer"),
            (long, "longer than 256 KiB"),
            (status(301), "leads elsewhere"),
            (status(302), "leads elsewhere"),
            (status(307), "leads elsewhere"),
            (status(204), "answers 204"),
            (status(404), "answers 404"),
            (status(503), "answers 503"),
        ] {
            let reason = read(ISSUER, &answer, 7).unwrap_err();
            assert!(reason.contains(part), "{part}: {reason}");
            assert!(!reason.contains("Sign in"), "{reason}");
        }
    }
}
