//! The ways into HAProxy: the port that the load balancer asks, and with a login the socket behind it. Both have the same rules, which are
//! in the template once; what each has beside them is here.

use serde::Serialize;

use super::quoting::quoted;
use super::{LISTEN_PORT, MAP_FILE, access, token};
use crate::labels::WILDCARD;
use crate::routes::Routes;

/// Bytes of a buffer with a login. The session itself ends at the login, but the names of somebody's groups come as far as this.
pub(super) const LOGIN_BUFFER: u32 = 65_536;
/// What the login (`crates/sso`) takes for a user, or says for nobody.
const USER: &str = "^[!#-;=?-~]{1,254}$";

/// The domain whose hosts are behind a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateDomain {
    /// The bare domain. It and what is below it is served to who comes by the login.
    pub domain: String,
    /// The socket that the login hands requests on to, as HAProxy sees it. What is said there of users is believed: nobody else reaches it.
    pub socket: String,
    /// Whether users are named by their e-mail addresses, so that apps get them as such, too.
    pub named_by_email: bool,
    /// Whether apps get tokens: then [`super::TOKEN_KEYS_FILE`] is beside the configuration.
    pub tokens: bool,
}

/// A way in.
#[derive(Serialize)]
pub(super) struct Frontend {
    name: &'static str,
    /// Where it listens.
    bind: String,
    /// What regular expressions begin with.
    expression: &'static str,
    /// What HAProxy writes of a request.
    access_log: String,
    map_file: &'static str,
    /// Whether any host stands for every name below another.
    wildcards: bool,
    /// Before anything is taken from a request.
    first: Vec<String>,
    /// Once it is known who serves it, and nothing from outside says any more who asks.
    last: Vec<String>,
}

/// The port, and the socket of a login.
pub(super) fn all(routes: &Routes, expression: &'static str, private: Option<&PrivateDomain>) -> Vec<Frontend> {
    let mut prefixes = routes.routes.iter().flat_map(|route| &route.prefixes);
    let wildcards = prefixes.any(|prefix| prefix.host.starts_with(WILDCARD));
    let frontend = |name, bind, first, last| Frontend {
        name,
        bind,
        expression,
        access_log: access::format(),
        map_file: MAP_FILE,
        wildcards,
        first,
        last,
    };
    let port = format!(":{LISTEN_PORT}");
    let Some(private) = private else { return vec![frontend("edge", port, Vec::new(), Vec::new())] };
    // The folder of the socket is closed to everybody else; to whom it is open, the login is another user.
    let socket = format!("unix@{} mode 666", private.socket);
    vec![
        frontend("edge", port, Vec::new(), private_hosts(private)),
        frontend("login", socket, visitor(expression), identity(private, expression)),
    ]
}

/// Whoever does not come by the login gets nothing of the private domain. A slash is in no host; what stands behind one must not hide the
/// host from this and show it to the map.
fn private_hosts(private: &PrivateDomain) -> Vec<String> {
    let PrivateDomain { domain, .. } = private;
    vec![
        "# Hosts of the private domain are served to who comes by the login.".to_owned(),
        format!("acl private var(txn.host),field(1,/) -m str {}", quoted(domain)),
        format!("acl private var(txn.host),field(1,/) -m end {}", quoted(&format!(".{domain}"))),
        "http-request set-var(txn.backend) str(nobody) if private".to_owned(),
    ]
}

/// Reads what the login says, before the headers that say it are taken away like everybody's.
fn visitor(expression: &str) -> Vec<String> {
    vec![
        "# The login always says who asks, once; `-` is nobody. Who says it otherwise is not the login.".to_owned(),
        format!(
            "http-request deny deny_status 403 unless {{ req.fhdr_cnt(x-edge-user) eq 1 }} {{ req.fhdr(x-edge-user) -m reg '{expression}{USER}' }}"
        ),
        "http-request deny deny_status 403 if { req.fhdr_cnt(x-edge-groups) gt 1 }".to_owned(),
        "http-request set-var(txn.user) req.fhdr(x-edge-user) unless { req.fhdr(x-edge-user) -m str -- - }".to_owned(),
        "http-request set-var(txn.groups) req.fhdr(x-edge-groups) if { var(txn.user) -m found }".to_owned(),
    ]
}

/// Says to the app who asks.
fn identity(private: &PrivateDomain, expression: &str) -> Vec<String> {
    let set = |name: &str, variable: &str| {
        format!("http-request set-header {name} %[var(txn.{variable})] if {{ var(txn.{variable}) -m found }}")
    };
    let mut lines = vec!["# Who asks; nobody is no header.".to_owned(), set("Remote-User", "user")];
    if private.named_by_email {
        lines.push(set("Remote-Email", "user"));
    }
    lines.push(set("Remote-Groups", "groups"));
    if private.tokens {
        lines.extend(token::lines(&private.domain, expression));
    }
    lines
}
