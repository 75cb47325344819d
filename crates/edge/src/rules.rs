//! What an edge does with the requests of a route, besides passing them on.

use serde::{Deserialize, Serialize};

/// Everything that a service may ask for. By default that is nothing, as in documents that were written before there were rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// Of requests that have not come over HTTPS.
    pub plain: Plain,
    /// The only ones that are served; any when it is empty.
    pub allowed_methods: Vec<String>,
    /// Those that are not served.
    pub denied_methods: Vec<String>,
    /// Changed on the way to a task, in this order.
    pub request_headers: Vec<Header>,
    /// Changed on the way back, in this order.
    pub response_headers: Vec<Header>,
    /// Made of the path on the way to a task, one after the other.
    pub rewrites: Vec<Rewrite>,
    /// Its tasks get no requests while it is there.
    pub maintenance: Option<Maintenance>,
    /// More than that its tasks do not get.
    pub limits: Limits,
    /// Seconds in which a task has to take a connection.
    pub timeout_connect: Option<u32>,
    /// Seconds in which a task has to answer, or to go on with its answer.
    pub timeout_server: Option<u32>,
    /// Seconds for which nothing may be said over a WebSocket.
    pub timeout_tunnel: Option<u32>,
    /// Whether a browser stays with the task that answered it first.
    pub sticky: bool,
    /// How the task for a request is chosen.
    pub balance: Balance,
    /// Which responses are compressed, and how; none when it is absent.
    pub compression: Option<Compression>,
}

/// People are told that an app is away for a while.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// What they are told besides: no characters that mean something to HTML or JSON.
    pub text: Option<String>,
}

/// What a service gets at most; without a number there is no limit, but for that of connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Requests and WebSockets at the same time, at each edge.
    pub connections: Option<u32>,
    /// Requests of one client address in ten seconds, at each edge.
    pub request_rate: Option<u32>,
    /// Bytes of a request's body.
    pub body_size: Option<u64>,
}

/// What becomes of a request that has not come over HTTPS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plain {
    /// It is served as any other.
    #[default]
    Served,
    /// It is sent to the same place under `https://`, with this status.
    Redirected(u16),
    /// It is answered with 403.
    Denied,
}

/// A change of a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Header {
    /// One more, beside those of the same name.
    Add {
        /// Letters, digits and `-`.
        name: String,
        /// As the receiver sees it.
        value: String,
    },
    /// In the place of all of the same name.
    Set {
        /// Letters, digits and `-`.
        name: String,
        /// As the receiver sees it.
        value: String,
    },
    /// All of this name go away.
    Delete {
        /// Letters, digits and `-`.
        name: String,
    },
}

/// A regular expression, and what stands in the place of what it matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrite {
    /// One that takes a time in proportion to the length of a path, whatever the path is.
    pub search: String,
    /// With `\1` for the first group of the expression.
    pub replace: String,
    /// Whether everything that matches is replaced, and not only what matches first.
    pub every: bool,
    /// Whether `A` and `a` are the same.
    pub any_case: bool,
}

/// How the task for a request is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// The one with the fewest connections.
    #[default]
    LeastConnections,
    /// One after the other.
    RoundRobin,
    /// Of two by chance the one with fewer connections.
    Random,
}

/// How responses are compressed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compression {
    /// `gzip`, `deflate` or `raw-deflate`: the first that the browser knows is used.
    pub algorithms: Vec<String>,
    /// Media types that are compressed.
    pub types: Vec<String>,
}
