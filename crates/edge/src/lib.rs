//! What the edge of a node serves: routes from service labels, and HAProxy's configuration from routes. No input or output.

mod culprits;
mod haproxy;
mod labels;
mod routes;
mod rules;
mod serving;

pub use culprits::without_culprits;
pub use haproxy::{
    ADMIN_SOCKET, CONFIG_FILE, Expressions, LISTEN_PORT, MAP_FILE, MASTER_SOCKET, MEMORY_MIB, RenderError, Rendered,
    STATE_FILE, render,
};
pub use labels::{Destination, LabelError, Request, check, request};
pub use routes::{Network, Prefix, Published, Redirects, Refusal, Reserved, Route, Routes, Service, decide};
pub use rules::{Balance, Compression, Header, Limits, Maintenance, Plain, Rewrite, Rules};
pub use serving::Serving;
