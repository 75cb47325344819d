//! HAProxy's configuration from routes: a short text, and a map of any number of hosts and paths beside it.

mod access;
mod backend;
mod frontend;
mod limits;
mod map;
mod pages;
mod processes;
mod quoting;
mod token;

use serde::Serialize;

use crate::routes::{Route, Routes};
pub use frontend::PrivateDomain;
use frontend::{Frontend, LOGIN_BUFFER};
pub use processes::{LOGIN_MEMORY_MIB, MEMORY_MIB};
pub use token::{TOKEN_KEYS_FILE, token_keys};

const TEMPLATE: &str = include_str!("templates/haproxy.cfg.hbs");
/// Where HAProxy listens inside the edge container; published on the node's port 80.
pub const LISTEN_PORT: u16 = 8080;
/// Name of the configuration's file.
pub const CONFIG_FILE: &str = "haproxy.cfg";
/// Name of the map's file; it is in the configuration's own folder.
pub const MAP_FILE: &str = "routes.map";
/// Name of HAProxy's socket for the agent, in the folder that HAProxy may write to.
pub const ADMIN_SOCKET: &str = "admin.sock";
/// Name of the socket of HAProxy's master, which loads configurations, in the same folder.
pub const MASTER_SOCKET: &str = "master.sock";
/// Name of the file with the addresses of tasks that a new process begins with, beside the socket.
pub const STATE_FILE: &str = "servers.state";

/// Name of the socket that tells Prometheus's metrics, in the same folder.
const METRICS_SOCKET: &str = "metrics.sock";

/// The template and its data do not fit; a defect of this crate.
#[derive(Debug, thiserror::Error)]
#[error("the edge's HAProxy configuration cannot be rendered: {0}")]
pub struct RenderError(#[from] Box<handlebars::RenderError>);

/// The two files that HAProxy reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The content of [`CONFIG_FILE`].
    pub config: String,
    /// The content of [`MAP_FILE`].
    pub map: String,
}

/// How HAProxy treats regular expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expressions {
    /// They become machine code, as fits what serves requests.
    Compiled,
    /// They are read and nothing else, which is enough for a check: the agent's own processes may not make memory executable
    /// (`MemoryDenyWriteExecute=` of its unit), and HAProxy calls a configuration wrong whose expressions it cannot compile.
    Interpreted,
}

impl Expressions {
    /// What every expression begins with (pcre2pattern(3)).
    fn prefix(self) -> &'static str {
        match self {
            Self::Compiled => "",
            Self::Interpreted => "(*NO_JIT)",
        }
    }
}

#[derive(Serialize)]
struct Model<'a> {
    run_dir: &'a str,
    admin_socket: &'a str,
    state_file: &'a str,
    metrics_socket: &'a str,
    /// How many reloads a process may survive.
    former_processes: u32,
    complete: bool,
    has_login: bool,
    /// Bytes of a buffer with a login.
    login_buffer: u32,
    frontends: Vec<Frontend>,
    /// What HAProxy answers by itself, a line for each status.
    errors: Vec<String>,
    /// What becomes of a request that nobody serves.
    nobody: String,
    backends: Vec<Backend<'a>>,
    redirects: Vec<Redirect<'a>>,
}

#[derive(Serialize)]
struct Backend<'a> {
    name: String,
    service: &'a str,
    port: u16,
    slots: u32,
    /// What its route asks for, a line each.
    lines: Vec<String>,
}

impl<'a> Backend<'a> {
    fn of(route: &'a Route, expressions: Expressions) -> Self {
        Self {
            name: service_backend(route),
            service: &route.service,
            port: route.port,
            slots: route.slots,
            lines: backend::lines(route, expressions.prefix()),
        }
    }
}

#[derive(Serialize)]
struct Redirect<'a> {
    name: String,
    to: &'a str,
}

impl<'a> Redirect<'a> {
    fn of(route: &'a Route) -> Option<Self> {
        let redirects = route.redirects.as_ref()?;
        Some(Self { name: redirect_backend(route), to: &redirects.to })
    }
}

/// What serves the requests of a route.
fn service_backend(route: &Route) -> String {
    format!("service-{}", route.name())
}

/// What answers requests for the hosts that only lead to a route's own.
fn redirect_backend(route: &Route) -> String {
    format!("redirect-{}", route.name())
}

/// Renders what HAProxy reads for these routes in a cluster without a login. An edge that is not `complete` lacks routes that it will have
/// in a moment: it serves those that it has, and tells the load balancer not to choose it yet.
/// `run_dir` is the folder that HAProxy may write to, as HAProxy sees it.
///
/// # Errors
/// When the template does not fit its data.
pub fn render(
    routes: &Routes,
    complete: bool,
    run_dir: &str,
    expressions: Expressions,
) -> Result<Rendered, RenderError> {
    rendered(routes, complete, run_dir, expressions, None)
}

/// [`render`] in a cluster with a login: hosts of the private domain are served to who comes by it, and to nobody else.
///
/// # Errors
/// As of [`render`].
pub fn render_with_login(
    routes: &Routes,
    complete: bool,
    run_dir: &str,
    expressions: Expressions,
    private: &PrivateDomain,
) -> Result<Rendered, RenderError> {
    rendered(routes, complete, run_dir, expressions, Some(private))
}

fn rendered(
    routes: &Routes,
    complete: bool,
    run_dir: &str,
    expressions: Expressions,
    private: Option<&PrivateDomain>,
) -> Result<Rendered, RenderError> {
    let mut engine = handlebars::Handlebars::new();
    engine.set_strict_mode(true);
    engine.register_escape_fn(handlebars::no_escape);
    let model = Model {
        run_dir,
        admin_socket: ADMIN_SOCKET,
        state_file: STATE_FILE,
        metrics_socket: METRICS_SOCKET,
        former_processes: processes::former(routes),
        complete,
        has_login: private.is_some(),
        login_buffer: LOGIN_BUFFER,
        frontends: frontend::all(routes, expressions.prefix(), private),
        errors: pages::errors(),
        nobody: pages::nobody(complete),
        backends: routes.routes.iter().map(|route| Backend::of(route, expressions)).collect(),
        redirects: routes.routes.iter().filter_map(Redirect::of).collect(),
    };
    let config = engine.render_template(TEMPLATE, &model).map_err(|error| RenderError(Box::new(error)))?;
    Ok(Rendered { config, map: map::map(routes) })
}

#[cfg(test)]
mod tests;
