//! What a service asks of the edge by its `com.df.*` labels (those of Docker Flow Proxy, so that existing services move over).
//!
//! Labels are written by whoever may create a service, and what is made of them becomes part of HAProxy's configuration:
//! everything is checked here, character by character. A label that would have to change how the service is served, and that is
//! not honoured, is refused by its name: `com.df.users` that is ignored would leave a service open that asks for a password.

use std::collections::HashMap;

const PREFIX: &str = "com.df.";
const NOTIFY: &str = "com.df.notify";
const DOMAIN: &str = "com.df.serviceDomain";
const PATH: &str = "com.df.servicePath";
const PORT: &str = "com.df.port";
const MODE: &str = "com.df.reqMode";
/// Without a meaning here, and safe to pass over: every edge serves every service, and services have their names.
const NEUTRAL: [&str; 2] = ["com.df.distribute", "com.df.serviceName"];
/// Labels of Docker Flow Monitor, which share the prefix and are not about requests.
const OTHER_PROGRAMS: [&str; 2] = ["com.df.scrape", "com.df.alert"];

/// What a service asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Host names, lower case, at least one.
    pub hosts: Vec<String>,
    /// Path prefixes without a slash at the end, at least one; `/` is everything.
    pub paths: Vec<String>,
    /// The port that its tasks listen on.
    pub port: u16,
}

/// A label that cannot be used. The service is left out; the others are served.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("its label {label} is {value:?}: {reason}")]
pub struct LabelError {
    /// With its prefix `com.df.`.
    pub label: String,
    /// As it is on the service.
    pub value: String,
    /// What is wrong with it, and what would be right.
    pub reason: &'static str,
}

/// What a service's labels ask for; `None` when they ask for nothing (`com.df.notify` is absent or `false`).
///
/// # Errors
/// When a label is missing, cannot be used or is not honoured.
pub fn request(labels: &HashMap<String, String>) -> Result<Option<Request>, LabelError> {
    let value = |label: &str| labels.get(label).map(|value| value.trim());
    let wrong = |label: &str, reason| LabelError {
        label: label.to_owned(),
        value: labels.get(label).cloned().unwrap_or_default(),
        reason,
    };
    match value(NOTIFY) {
        None | Some("false") => return Ok(None),
        Some("true") => {}
        Some(_) => return Err(wrong(NOTIFY, "`true` serves the service, `false` does not")),
    }
    let mut unknown: Vec<&String> = labels.keys().filter(|label| !is_known(label)).collect();
    unknown.sort();
    if let Some(label) = unknown.first() {
        return Err(wrong(label, "this label is not honoured, so the service is not served; remove it"));
    }
    if value(MODE).is_some_and(|mode| mode != "http") {
        return Err(wrong(MODE, "only `http` is served"));
    }
    let port = value(PORT).and_then(|port| port.parse::<u16>().ok()).filter(|port| *port > 0);
    let port = port.ok_or_else(|| wrong(PORT, "a port between 1 and 65535 is needed"))?;
    let mut hosts = list(value(DOMAIN).unwrap_or_default()).map(|host| host.to_ascii_lowercase()).collect::<Vec<_>>();
    if !hosts.iter().all(|name| is_host_name(name)) {
        return Err(wrong(DOMAIN, "a comma-separated list of host names is needed"));
    }
    let paths = list(value(PATH).unwrap_or("/"));
    let mut paths = paths.map(|path| if path == "/" { path } else { path.trim_end_matches('/') }).collect::<Vec<_>>();
    if !paths.iter().all(|path| is_path(path)) {
        return Err(wrong(
            PATH,
            "a comma-separated list of paths is needed, each beginning with / and made of letters, digits and ._~-",
        ));
    }
    hosts.sort();
    hosts.dedup();
    paths.sort_unstable();
    paths.dedup();
    Ok(Some(Request { hosts, paths: paths.into_iter().map(str::to_owned).collect(), port }))
}

fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim)
}

fn is_known(label: &str) -> bool {
    !label.starts_with(PREFIX)
        || [NOTIFY, DOMAIN, PATH, PORT, MODE].contains(&label)
        || NEUTRAL.contains(&label)
        || OTHER_PROGRAMS.iter().any(|prefix| label.starts_with(prefix))
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
        && !path.contains("//")
        && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._~-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(key, value)| (format!("com.df.{key}"), (*value).to_owned())).collect()
    }

    #[test]
    fn labels_become_a_request() {
        let labels = labels(&[
            ("notify", "true"),
            ("distribute", "true"),
            ("serviceDomain", "Blog.example.com, www.example.com,blog.example.com"),
            ("servicePath", "/b/, /a,/b"),
            ("port", "80"),
            ("scrapePort", "9090"),
        ]);
        let request = request(&labels).unwrap().unwrap();
        assert_eq!(request.hosts, ["blog.example.com", "www.example.com"]);
        assert_eq!((request.paths, request.port), (vec!["/a".to_owned(), "/b".to_owned()], 80));
    }

    #[test]
    fn a_service_without_notify_is_not_served() {
        assert_eq!(request(&labels(&[("port", "5432")])).unwrap(), None);
        assert_eq!(request(&labels(&[("notify", "false"), ("users", "a:b")])).unwrap(), None);
        assert!(request(&labels(&[("notify", "yes"), ("port", "80")])).is_err(), "meant, and not understood");
    }

    #[test]
    fn nothing_that_could_add_a_line_to_the_configuration_gets_through() {
        for (key, bad) in [
            ("serviceDomain", "a.com\n    server evil 1.2.3.4"),
            ("serviceDomain", "a.com }"),
            ("serviceDomain", ""),
            ("serviceDomain", "a.com,"),
            ("serviceDomain", "-a.com"),
            ("serviceDomain", "a..com"),
            ("serviceDomain", "*.a.com"),
            ("servicePath", "no-slash"),
            ("servicePath", "/a b"),
            ("servicePath", "/a\" or"),
            ("servicePath", "/a,"),
            ("servicePath", "/a//b"),
            ("port", "0"),
            ("port", "65536"),
            ("port", "http"),
            ("reqMode", "tcp"),
            ("users", "ada:secret"),
            ("httpsOnly", "true"),
            ("port.2", "8081"),
            ("serviceDomain.1", "b.com"),
            ("reqPathSearchReplace", "/a,/b"),
        ] {
            let mut all =
                labels(&[("notify", "true"), ("serviceDomain", "a.com"), ("port", "80"), ("servicePath", "/")]);
            all.insert(format!("com.df.{key}"), bad.to_owned());
            let error = request(&all).unwrap_err();
            assert_eq!((error.label, error.value.as_str()), (format!("com.df.{key}"), bad));
        }
    }
}
