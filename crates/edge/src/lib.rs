//! What the edge of a node serves: routes from service labels, and HAProxy's configuration from routes. No input or output.

mod haproxy;
mod labels;

pub use haproxy::{LISTEN_PORT, RenderError, render};
pub use labels::{LabelError, Route, Routes, from_labels, without_conflicts};
