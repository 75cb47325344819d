//! The lines of a backend that its route asks for.

use super::quoting::quoted;
use super::{limits, pages};
use crate::routes::Route;
use crate::rules::{Balance, Header, Plain, Rewrite};

/// What came over HTTPS: the frontend has found out what the load balancer says of it.
const OVER_HTTPS: &str = "{ var(txn.scheme) -m str https }";

/// In the order in which they apply to a request: whether it is served at all comes before what is changed in it.
/// Regular expressions begin with `expression`.
pub(super) fn lines(route: &Route, expression: &str) -> Vec<String> {
    let rules = &route.rules;
    let balance = match rules.balance {
        Balance::LeastConnections => "leastconn",
        Balance::RoundRobin => "roundrobin",
        Balance::Random => "random",
    };
    let mut lines = vec![format!("balance {balance}")];
    if rules.sticky {
        let name = route.name();
        lines.push(format!("cookie futuswarm-{name} insert indirect nocache dynamic httponly attr SameSite=Lax"));
        // Made of a task's address and this, so that every edge knows the cookies of every other.
        lines.push(format!("dynamic-cookie-key {name}"));
    }
    if let Some(compression) = &rules.compression {
        lines.push(format!("compression algo {}", compression.algorithms.join(" ")));
        lines.push(format!("compression type {}", compression.types.join(" ")));
    }
    if let Some(maintenance) = &rules.maintenance {
        lines.push(pages::maintenance(maintenance));
    }
    lines.extend(limits::lines(&rules.limits));
    lines.extend(rules.timeout_connect.map(|seconds| format!("timeout connect {seconds}s")));
    lines.extend(rules.timeout_server.map(|seconds| format!("timeout server {seconds}s")));
    lines.extend(rules.timeout_tunnel.map(|seconds| format!("timeout tunnel {seconds}s")));
    match rules.plain {
        Plain::Served => {}
        Plain::Redirected(code) => lines.push(format!(
            "http-request redirect code {code} location https://%[var(txn.host)]%[pathq] unless {OVER_HTTPS}"
        )),
        Plain::Denied => lines.push(format!("http-request deny unless {OVER_HTTPS}")),
    }
    if !rules.allowed_methods.is_empty() {
        lines.push(format!("http-request deny unless {{ method {} }}", rules.allowed_methods.join(" ")));
    }
    if !rules.denied_methods.is_empty() {
        lines.push(format!("http-request deny if {{ method {} }}", rules.denied_methods.join(" ")));
    }
    lines.extend(rules.request_headers.iter().map(|header| format!("http-request {}", change(header))));
    lines.extend(rules.response_headers.iter().map(|header| format!("http-response {}", change(header))));
    if !rules.rewrites.is_empty() {
        lines.extend(rewritten(&rules.rewrites, expression));
    }
    lines
}

fn change(header: &Header) -> String {
    // A percent sign begins a variable.
    let literal = |value: &str| quoted(&value.replace('%', "%%"));
    match header {
        Header::Add { name, value } => format!("add-header {name} {}", literal(value)),
        Header::Set { name, value } => format!("set-header {name} {}", literal(value)),
        Header::Delete { name } => format!("del-header {name}"),
    }
}

/// A path that has lost its first slash gets it back: without one the request line would be none.
fn rewritten(rewrites: &[Rewrite], prefix: &str) -> [String; 3] {
    let mut expression = "path".to_owned();
    for Rewrite { search, replace, every, any_case } in rewrites {
        let flags = match (every, any_case) {
            (false, false) => "",
            (true, false) => ",g",
            (false, true) => ",i",
            (true, true) => ",gi",
        };
        expression.push_str(&format!(",regsub('{prefix}{search}','{replace}'{flags})"));
    }
    [
        format!("http-request set-var(req.path) {}", quoted(&expression)),
        "http-request set-path %[var(req.path)] if { var(req.path) -m beg / }".to_owned(),
        "http-request set-path /%[var(req.path)] if { var(req.path) -m found } !{ var(req.path) -m beg / }".to_owned(),
    ]
}
