//! What HAProxy's configuration is rendered from, and the rendering.

use serde::Serialize;

use crate::error::{Error, Result};

const TEMPLATE: &str = include_str!("../templates/haproxy.cfg.hbs");

/// One target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Server {
    /// Instance id.
    pub id: String,
    /// IPv4, in the VPC.
    pub address: String,
    /// TCP, where traffic goes.
    pub port: i32,
}

/// A health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its path; `None` for a check that only connects.
    pub path: Option<String>,
    /// Its port, if it is not the one of the traffic.
    pub port: Option<i32>,
    /// Accepted status codes, in HAProxy's words.
    pub matcher: String,
    /// Seconds between checks.
    pub interval: i32,
    /// Seconds for a check.
    pub timeout: i32,
    /// Checks until healthy.
    pub rise: i32,
    /// Checks until unhealthy.
    pub fall: i32,
}

/// The targets behind an action: a target group, or the instances of a classic load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// Its name, unique among all.
    pub name: String,
    /// How health is found out.
    pub check: Check,
    /// Whether targets speak TLS.
    pub tls: bool,
    /// How many targets are registered.
    pub targets: usize,
    /// The targets that run.
    pub servers: Vec<Server>,
}

/// What is done with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// To a pool of this name.
    Forward(String),
    /// Somewhere else.
    Redirect(Redirect),
    /// The load balancer answers itself.
    Fixed {
        /// Status code.
        status: String,
        /// As in the header; without a charset.
        content_type: String,
        /// At most 1024 characters, as on AWS.
        body: String,
    },
}

/// A redirection in AWS's words: `#{host}` and so on stand for what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// `HTTP`, `HTTPS` or `#{protocol}`.
    pub protocol: String,
    /// A name, or `#{host}`.
    pub host: String,
    /// A number, or `#{port}`.
    pub port: String,
    /// Path, with its slash.
    pub path: String,
    /// Without its question mark; `#{query}` keeps it.
    pub query: String,
    /// 301 or 302.
    pub code: u16,
}

/// A rule of a listener: an action for some requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Patterns of hosts, one of which must fit; none: any host.
    pub hosts: Vec<String>,
    /// Patterns of paths, one of which must fit; none: any path.
    pub paths: Vec<String>,
    /// What is done.
    pub action: Action,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Name of its load balancer.
    pub balancer: String,
    /// Its port on AWS: 80 or 443.
    pub port: i32,
    /// Files with certificate and key, the default one first; none: plain HTTP.
    pub certificates: Vec<String>,
    /// Its rules, the most important one first.
    pub rules: Vec<Rule>,
    /// What is done with all other requests.
    pub default: Action,
}

/// Everything the configuration is rendered from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Loopback port that stands for port 80.
    pub http_port: u16,
    /// Loopback port that stands for port 443.
    pub https_port: u16,
    /// Network namespace.
    pub netns: String,
    /// HAProxy's admin socket.
    pub socket: String,
    /// At most one listener for each of the two ports.
    pub listeners: Vec<Listener>,
    /// What they forward to.
    pub pools: Vec<Pool>,
}

/// A rule in HAProxy's words.
#[derive(Serialize)]
struct RuleView {
    name: String,
    hosts: Vec<String>,
    paths: Vec<String>,
}

/// An action in HAProxy's words, with what it depends on.
#[derive(Serialize)]
struct ActionView {
    /// ` if …`, or nothing.
    condition: String,
    /// The same, and that there is a query.
    with_query: String,
    pool: Option<String>,
    location: Option<String>,
    code: u16,
    status: Option<String>,
    content_type: String,
    body: String,
    keeps_query: bool,
}

#[derive(Serialize)]
struct ListenerView {
    port: u16,
    listener: i32,
    balancer: String,
    protocol: &'static str,
    certificates: Vec<String>,
    rules: Vec<RuleView>,
    actions: Vec<ActionView>,
}

#[derive(Serialize)]
struct View<'a> {
    socket: &'a str,
    netns: &'a str,
    http_port: u16,
    nothing_on_80: bool,
    listeners: Vec<ListenerView>,
    pools: &'a [Pool],
}

impl Model {
    /// The loopback port that stands for a port on AWS.
    pub fn local_port(&self, port: i32) -> Option<u16> {
        match port {
            80 => Some(self.http_port),
            443 => Some(self.https_port),
            _ => None,
        }
    }

    /// A port of a redirection, as it is here.
    fn redirect_port(&self, port: &str, own: u16) -> String {
        match port.parse().ok().and_then(|port| self.local_port(port)) {
            Some(local) => local.to_string(),
            None if port == "#{port}" => own.to_string(),
            None => port.to_owned(),
        }
    }

    fn location(&self, redirect: &Redirect, listener: &Listener, own: u16) -> String {
        let protocol = match redirect.protocol.as_str() {
            "HTTPS" => "https",
            "HTTP" => "http",
            _ => protocol(listener),
        };
        let host = literal(&redirect.host).replace("#{host}", "%[req.hdr(host),host_only]");
        let path = literal(&redirect.path).replace("/#{path}", "%[path]").replace("#{path}", "%[path,bytes(1)]");
        format!("{protocol}://{host}:{}{path}", self.redirect_port(&redirect.port, own))
    }

    fn action(&self, action: &Action, listener: &Listener, own: u16, rule: Option<&str>) -> ActionView {
        let condition = match rule {
            Some(rule) => format!(" if {{ var(txn.rule) -m str {rule} }}"),
            None => String::new(),
        };
        let with_query = match rule {
            Some(_) => format!("{condition} {{ query -m found }}"),
            None => " if { query -m found }".to_owned(),
        };
        let mut view = ActionView {
            condition,
            with_query,
            pool: None,
            location: None,
            code: 302,
            status: None,
            content_type: String::new(),
            body: String::new(),
            keeps_query: false,
        };
        match action {
            Action::Forward(pool) => view.pool = Some(pool.clone()),
            Action::Redirect(redirect) => {
                let mut location = self.location(redirect, listener, own);
                view.keeps_query = redirect.query == "#{query}";
                if !view.keeps_query && !redirect.query.is_empty() {
                    location.push('?');
                    location.push_str(&literal(&redirect.query).replace("#{query}", "%[query]"));
                }
                view.location = Some(location);
                view.code = redirect.code;
            }
            Action::Fixed { status, content_type, body } => {
                view.status = Some(status.clone());
                view.content_type = quoted(content_type);
                view.body = quoted(body);
            }
        }
        view
    }

    fn listener(&self, listener: &Listener) -> Option<ListenerView> {
        let port = self.local_port(listener.port)?;
        let name = |index: usize| format!("rule{index}");
        let named = listener.rules.iter().enumerate();
        let rules = named.clone().map(|(index, rule)| RuleView {
            name: name(index),
            hosts: rule.hosts.iter().map(|host| regex(host)).collect(),
            paths: rule.paths.iter().map(|path| regex(path)).collect(),
        });
        let mut actions: Vec<ActionView> =
            named.map(|(index, rule)| self.action(&rule.action, listener, port, Some(&name(index)))).collect();
        let mut default = self.action(&listener.default, listener, port, None);
        // All rules of a kind are looked at before any of the next kind; so the default must say that it is one.
        if !listener.rules.is_empty() && default.pool.is_none() {
            default.condition = " unless { var(txn.rule) -m found }".to_owned();
            default.with_query = " if { query -m found } !{ var(txn.rule) -m found }".to_owned();
        }
        actions.push(default);
        Some(ListenerView {
            port,
            listener: listener.port,
            balancer: listener.balancer.clone(),
            protocol: protocol(listener),
            certificates: listener.certificates.clone(),
            rules: rules.collect(),
            actions,
        })
    }

    /// Renders HAProxy's configuration.
    ///
    /// # Errors
    /// When the template and the model do not fit.
    pub fn render(&self) -> Result<String> {
        let view = View {
            socket: &self.socket,
            netns: &self.netns,
            http_port: self.http_port,
            nothing_on_80: self.listeners.iter().all(|listener| listener.port != 80),
            listeners: self.listeners.iter().filter_map(|listener| self.listener(listener)).collect(),
            pools: &self.pools,
        };
        let mut engine = handlebars::Handlebars::new();
        engine.set_strict_mode(true);
        engine.register_escape_fn(handlebars::no_escape);
        engine.render_template(TEMPLATE, &view).map_err(|error| Error::Config(format!("haproxy.cfg: {error}")))
    }
}

fn protocol(listener: &Listener) -> &'static str {
    if listener.certificates.is_empty() { "http" } else { "https" }
}

/// Text between double quotes of HAProxy's configuration.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '"' | '\\' | '$' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            other => out.push(other),
        }
    }
    out
}

/// Text inside of a quoted log format: a percent sign would begin an expression.
fn literal(text: &str) -> String {
    quoted(text).replace('%', "%%")
}

/// A pattern with `*` and `?` as a regular expression, quoted.
fn regex(pattern: &str) -> String {
    let mut out = "^".to_owned();
    for character in pattern.chars() {
        match character {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '_' | '-' | '/' => out.push(character),
            plain if plain.is_alphanumeric() => out.push(plain),
            special => out.extend(['\\', special]),
        }
    }
    out.push('$');
    quoted(&out)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
