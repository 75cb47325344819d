//! What the edge of a node serves: routes from service labels, and HAProxy's configuration from routes. No input or output.

mod culprits;
mod haproxy;
mod labels;
mod open;
mod routes;
mod rules;
mod serving;

/// The node's port at which the login in front of the private domain is published, beside the edge's own port 80.
pub const LOGIN_HOST_PORT: u16 = 81;

pub use culprits::without_culprits;
pub use haproxy::{
    ADMIN_SOCKET, CONFIG_FILE, Expressions, LISTEN_PORT, LOGIN_MEMORY_MIB, MAP_FILE, MASTER_SOCKET, MEMORY_MIB,
    PrivateDomain, RenderError, Rendered, STATE_FILE, TOKEN_KEYS_FILE, render, render_with_login, token_keys,
};
pub use labels::{Destination, LabelError, Request, check, request};
pub use open::with_open_hosts;
pub use routes::{Network, Prefix, Published, Redirects, Refusal, Reserved, Route, Routes, Service, decide};
pub use rules::{Balance, Compression, Header, Limits, Maintenance, Plain, Rewrite, Rules};
pub use serving::Serving;
