//! Where a destination is served: host names and beginnings of paths, checked character by character and written in one way.

use std::collections::BTreeSet;

use super::values::{LabelError, Value};

/// What stands before a name that is to be every name one label below it.
pub(crate) const WILDCARD: &str = "*.";

/// Names or paths of one label.
const MOST: usize = 1000;
pub(super) const NO_HOSTS: &str = "a comma-separated list of host names is needed";
const NO_PATHS: &str =
    "a comma-separated list of paths is needed, each beginning with / and made of letters, digits and ._~-";

/// Host names in lower case and without a dot at their end, each once, in the order in which they were said.
pub(super) fn hosts(value: &Value) -> Result<Vec<String>, LabelError> {
    let mut hosts = Vec::new();
    for said in few(value)? {
        let host = said.strip_suffix('.').unwrap_or(said).to_ascii_lowercase();
        let name = host.strip_prefix(WILDCARD).unwrap_or(&host);
        if !name.is_ascii() {
            return Err(
                value.wrong("names with other letters than a to z are written in punycode, as in xn--bcher-kva.com")
            );
        }
        if name.contains(':') {
            return Err(value.wrong("host names stand without a port"));
        }
        if !is_host_name(name) {
            return Err(value.wrong(NO_HOSTS));
        }
        // The load balancer asks edges by their addresses how they are.
        if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(value.wrong("an address is no host name"));
        }
        hosts.push(host);
    }
    each_once(&mut hosts);
    Ok(hosts)
}

/// Keeps the first of those that are alike.
pub(super) fn each_once(hosts: &mut Vec<String>) {
    let mut known = BTreeSet::new();
    hosts.retain(|host| known.insert(host.clone()));
}

fn few<'a>(value: &'a Value) -> Result<Vec<&'a str>, LabelError> {
    let parts: Vec<&str> = value.list().collect();
    match parts.len() {
        0..=MOST => Ok(parts),
        count => Err(value.wrong(format!("{count} are too many; {MOST} are served at most"))),
    }
}

/// Beginnings of paths without a slash at their end, each once, sorted; `/` is everything.
pub(super) fn paths(value: &Value) -> Result<Vec<String>, LabelError> {
    let mut paths = BTreeSet::new();
    for said in few(value)? {
        let path = if said == "/" { said } else { said.strip_suffix('/').unwrap_or(said) };
        if said.contains("//") || !is_path(path) {
            return Err(value.wrong(NO_PATHS));
        }
        paths.insert(path.to_owned());
    }
    Ok(paths.into_iter().collect())
}

/// A path, what it lies below, and so on up to `/`.
pub(crate) fn upwards(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| above(path))
}

fn above(path: &str) -> Option<&str> {
    match path.rsplit_once('/')? {
        ("", "") => None,
        ("", _) => Some("/"),
        (above, _) => Some(above),
    }
}

/// RFC 1123.
fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && path.len() <= 512
        && path.split('/').all(|part| part != "." && part != "..")
        && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._~-".contains(&byte))
}
