//! Headers that a service has changed on the way to its tasks and back.
//!
//! A value is text. Docker Flow Proxy hands it to HAProxy as it stands, so that it may be a condition or ask for any variable of HAProxy;
//! here both are refused, and everything else means itself.

use super::values::{LabelError, Labels, Value};
use crate::rules::Header;

/// Headers that one label changes.
const MOST: usize = 32;
const LONGEST_NAME: usize = 64;
const LONGEST_VALUE: usize = 1024;

/// How messages are framed and where they go. What stands in them is agreed between the edge and whoever it speaks to.
const FRAMING: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Beginnings of what says who asks, and from where; with `x-` before it as well.
const IDENTITY: [&str; 14] = [
    "edge-",
    "remote-",
    "auth-request-",
    "amzn-oidc-",
    "amzn-mtls-",
    "real-ip",
    "client-ip",
    "true-client-ip",
    "cluster-client-ip",
    "original-url",
    "original-uri",
    "original-host",
    "rewrite-url",
    "forwarded",
];
/// What the names of the login's cookies begin with.
const LOGIN: [&str; 2] = ["__host-sso", "__secure-sso"];

/// The changes that the six labels ask for, and their two older names: of requests, and of responses.
pub(super) fn changes(labels: &Labels) -> Result<(Vec<Header>, Vec<Header>), LabelError> {
    Ok((
        of(labels, &["addReqHeader", "addHeader"], &["setReqHeader", "setHeader"], "delReqHeader")?,
        of(labels, &["addResHeader"], &["setResHeader"], "delResHeader")?,
    ))
}

fn of(labels: &Labels, add: &[&str], set: &[&str], delete: &str) -> Result<Vec<Header>, LabelError> {
    let first = |names: &[&str]| names.iter().find_map(|name| labels.get(name));
    let mut changes = Vec::new();
    if let Some(value) = first(add) {
        changes.extend(pairs(&value)?.into_iter().map(|(name, value)| Header::Add { name, value }));
    }
    if let Some(value) = first(set) {
        changes.extend(pairs(&value)?.into_iter().map(|(name, value)| Header::Set { name, value }));
    }
    if let Some(value) = labels.get(delete) {
        let names = value.list().map(|name| checked(&value, name)).collect::<Result<Vec<_>, _>>()?;
        few(&value, names.len())?;
        changes.extend(names.into_iter().map(|name| Header::Delete { name }));
    }
    Ok(changes)
}

/// Values of headers may be passwords, so no message shows them.
fn refused(value: &Value, reason: impl Into<String>) -> LabelError {
    LabelError::refused(&value.label, reason)
}

fn few(value: &Value, count: usize) -> Result<(), LabelError> {
    if count > MOST {
        return Err(refused(value, format!("{count} headers are too many; {MOST} are changed at most")));
    }
    Ok(())
}

/// Names and values.
fn pairs(value: &Value) -> Result<Vec<(String, String)>, LabelError> {
    let parts = divided(value)?;
    few(value, parts.len())?;
    let pair = |words: Vec<String>| -> Result<(String, String), LabelError> {
        let name = checked(value, words.first().map_or("", String::as_str))?;
        let [_, text] = words.as_slice() else {
            let reason = format!(
                "the header {name} has one word behind its name: a value with spaces stands in double quotes, and there are no conditions here"
            );
            return Err(refused(value, reason));
        };
        // Taking all cookies away is the app's own affair; making them is not, since some of them are the login's.
        if name.eq_ignore_ascii_case("cookie") {
            return Err(refused(value, "cookies of a request are the browser's to say; leave the header Cookie out"));
        }
        let text = literal(value, &name, text)?;
        Ok((name, text))
    };
    parts.into_iter().map(pair).collect()
}

/// A value as it will be sent.
fn literal(value: &Value, name: &str, text: &str) -> Result<String, LabelError> {
    if text.len() > LONGEST_VALUE || !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        let reason = format!("the value of {name} is printable ASCII, and not more than {LONGEST_VALUE} bytes of it");
        return Err(refused(value, reason));
    }
    // HAProxy reads no configuration with one, and a header that says nothing is as none.
    if text.is_empty() {
        return Err(refused(value, format!("the value of {name} is empty; say something in it, or delete the header")));
    }
    if text.replace("%%", "").contains('%') {
        let reason = format!(
            "the value of {name} has a variable of HAProxy, and there are none here; a percent sign is written `%%`"
        );
        return Err(refused(value, reason));
    }
    let low = text.to_ascii_lowercase();
    if name.eq_ignore_ascii_case("set-cookie") && LOGIN.iter().any(|cookie| low.contains(cookie)) {
        return Err(refused(value, "cookies of this name are the login's"));
    }
    Ok(text.replace("%%", "%"))
}

/// A header's name, if a service may change what it says.
fn checked(value: &Value, name: &str) -> Result<String, LabelError> {
    let is_name = (1..=LONGEST_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_name {
        return Err(refused(value, "a header's name is made of letters, digits and -, and has a space behind it"));
    }
    let low = name.to_ascii_lowercase();
    let short = low.strip_prefix("x-").unwrap_or(&low);
    if FRAMING.contains(&low.as_str()) {
        return Err(refused(
            value,
            format!("the header {name} is between the edge and whom it speaks to; leave it out"),
        ));
    }
    if IDENTITY.iter().any(|beginning| short.starts_with(beginning)) || low.starts_with("oidc-") || low == "proxy" {
        let reason = format!("the header {name} says who asks and from where, which only the edge says; leave it out");
        return Err(refused(value, reason));
    }
    Ok(name.to_owned())
}

/// The words of each part of a value. Commas divide parts and spaces divide words, where they do not stand in quotes or behind a
/// backslash, as in HAProxy's own configuration.
fn divided(value: &Value) -> Result<Vec<Vec<String>>, LabelError> {
    let mut parts = vec![Vec::new()];
    // `None` between two words.
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = value.text.chars();
    let mut end = |word: &mut Option<String>, next: bool| {
        if let (Some(part), Some(word)) = (parts.last_mut(), word.take()) {
            part.push(word);
        }
        if next {
            parts.push(Vec::new());
        }
    };
    while let Some(c) = characters.next() {
        let c = match (c, quote) {
            ('\\', None | Some('"')) => {
                characters.next().ok_or_else(|| refused(value, "nothing stands behind its last backslash"))?
            }
            (c, Some(open)) if c == open => {
                quote = None;
                continue;
            }
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
                continue;
            }
            (',' | ' ', None) => {
                end(&mut word, c == ',');
                continue;
            }
            (c, _) => c,
        };
        word.get_or_insert_default().push(c);
    }
    if quote.is_some() {
        return Err(refused(value, "a quote that was opened is not closed"));
    }
    end(&mut word, false);
    Ok(parts)
}
