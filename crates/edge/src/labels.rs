//! Routes from the `com.df.*` labels of services (those of Docker Flow Proxy, so that existing services move over).
//!
//! Labels are written by whoever may create a service, and what is made of them becomes a line of HAProxy's configuration:
//! everything is checked here, character by character.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

const NOTIFY: &str = "com.df.notify";
const DOMAIN: &str = "com.df.serviceDomain";
const PATH: &str = "com.df.servicePath";
const PORT: &str = "com.df.port";

/// One service behind the edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The service's name.
    pub service: String,
    /// Host names, lower case.
    pub domains: Vec<String>,
    /// Path prefix; `/` is everything.
    pub path: String,
    /// The port that its tasks listen on.
    pub port: u16,
    /// The overlay network on which the edge reaches its tasks.
    pub network: String,
}

/// All services behind the edge: the document under `cluster/edge/routes` in the bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routes {
    /// Sorted by service.
    pub routes: Vec<Route>,
}

/// A label that cannot be used. The service is left out; the others are served.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("service {service}: label {label} is {value:?}: {reason}; the service is not served until it is mended")]
pub struct LabelError {
    /// The service.
    pub service: String,
    /// The label.
    pub label: &'static str,
    /// Its value.
    pub value: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// The route that a service's labels ask for; `None` when they ask for none (`com.df.notify` is not `true`).
///
/// # Errors
/// When a label is missing or cannot be used.
pub fn from_labels(
    service: &str,
    network: &str,
    labels: &HashMap<String, String>,
) -> Result<Option<Route>, LabelError> {
    let value = |label: &str| labels.get(label).map(|value| value.trim());
    if value(NOTIFY) != Some("true") {
        return Ok(None);
    }
    let wrong = |label: &'static str, reason| LabelError {
        service: service.to_owned(),
        label,
        value: labels.get(label).cloned().unwrap_or_default(),
        reason,
    };
    let port = value(PORT).and_then(|port| port.parse::<u16>().ok()).filter(|port| *port > 0);
    let port = port.ok_or_else(|| wrong(PORT, "a port between 1 and 65535 is needed"))?;
    let domains: Vec<String> =
        value(DOMAIN).unwrap_or_default().split(',').map(|name| name.trim().to_ascii_lowercase()).collect();
    if !domains.iter().all(|name| is_host_name(name)) {
        return Err(wrong(DOMAIN, "a comma-separated list of host names is needed"));
    }
    let path = value(PATH).unwrap_or("/");
    if !is_path(path) {
        return Err(wrong(PATH, "a path that begins with / and has only letters, digits and /._~- is needed"));
    }
    Ok(Some(Route { service: service.to_owned(), domains, path: path.to_owned(), port, network: network.to_owned() }))
}

/// Routes sorted by service, without those whose host and path another service has: the first by name keeps it, so that
/// every node decides the same. Returns the names of the services left out, each with the service that it clashes with.
#[must_use]
pub fn without_conflicts(mut routes: Vec<Route>) -> (Routes, Vec<(String, String)>) {
    routes.sort_by(|a, b| a.service.cmp(&b.service));
    let mut owners: BTreeMap<(String, String), String> = BTreeMap::new();
    let mut clashes = Vec::new();
    routes.retain(|route| {
        let mut keys = route.domains.iter().map(|domain| (domain.clone(), route.path.clone()));
        if let Some(owner) = keys.find_map(|key| owners.get(&key)) {
            clashes.push((route.service.clone(), owner.clone()));
            return false;
        }
        for domain in &route.domains {
            owners.insert((domain.clone(), route.path.clone()), route.service.clone());
        }
        true
    });
    (Routes { routes }, clashes)
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
    path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._~-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(key, value)| (format!("com.df.{key}"), (*value).to_owned())).collect()
    }

    #[test]
    fn labels_become_a_route() {
        let labels =
            labels(&[("notify", "true"), ("serviceDomain", "Blog.example.com, www.example.com"), ("port", "80")]);
        let route = from_labels("blog", "net", &labels).unwrap().unwrap();
        assert_eq!(route.domains, ["blog.example.com", "www.example.com"]);
        assert_eq!((route.path.as_str(), route.port, route.network.as_str()), ("/", 80, "net"));
    }

    #[test]
    fn a_service_without_notify_is_not_served() {
        assert_eq!(from_labels("db", "net", &labels(&[("port", "5432")])).unwrap(), None);
    }

    #[test]
    fn nothing_that_could_add_a_line_to_the_configuration_gets_through() {
        for (key, bad) in [
            ("serviceDomain", "a.com\n    server evil 1.2.3.4"),
            ("serviceDomain", "a.com }"),
            ("serviceDomain", ""),
            ("serviceDomain", "-a.com"),
            ("serviceDomain", "a..com"),
            ("servicePath", "no-slash"),
            ("servicePath", "/a b"),
            ("servicePath", "/a\" or"),
            ("port", "0"),
            ("port", "65536"),
            ("port", "http"),
        ] {
            let mut all =
                labels(&[("notify", "true"), ("serviceDomain", "a.com"), ("port", "80"), ("servicePath", "/")]);
            all.insert(format!("com.df.{key}"), bad.to_owned());
            let error = from_labels("app", "net", &all).unwrap_err();
            assert_eq!((error.label, error.value.as_str()), (format!("com.df.{key}").as_str(), bad));
        }
    }

    #[test]
    fn two_services_with_one_host_do_not_both_get_it() {
        let route = |service: &str, domain: &str| Route {
            service: service.to_owned(),
            domains: vec![domain.to_owned()],
            path: "/".to_owned(),
            port: 80,
            network: "net".to_owned(),
        };
        let (routes, clashes) = without_conflicts(vec![route("b", "x.com"), route("a", "x.com"), route("c", "y.com")]);
        assert_eq!(routes.routes.iter().map(|route| route.service.as_str()).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(clashes, [("b".to_owned(), "a".to_owned())]);
    }
}
