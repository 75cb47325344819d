//! Logs of tasks, over all nodes.

use std::time::Duration;

use futures_util::stream::BoxStream;

use crate::Error;

mod lines;

pub(crate) use lines::Lines;

/// When nothing comes for so long although not all is there, a node does not answer (moby#37336: it may never do).
pub const SILENCE: Duration = Duration::from_secs(10);

/// Whose log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogSource<'a> {
    /// All tasks of a service that the Swarm still keeps, by the service's name or id.
    Service(&'a str),
    /// One task, by its id.
    Task(&'a str),
}

/// Which lines are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Whether to go on with new lines. Then silence is no sign of anything, and nothing ends the stream but its reader.
    pub follow: bool,
    /// Only lines since so many milliseconds since 1970.
    pub since: Option<u64>,
    /// So many lines of each task at most.
    pub tail: Option<u32>,
}

/// A line of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// By its node's clock, RFC 3339 in UTC with nanoseconds.
    pub at: String,
    /// Id of the task.
    pub task: String,
    /// Swarm id of the node.
    pub node: String,
    /// Id of the service.
    pub service: String,
    /// Whether it went to standard error.
    pub stderr: bool,
    /// Without the line's end. What was written as one line of more than 16 KiB is put together again, up to a limit.
    pub line: Vec<u8>,
}

/// What comes out of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogItem {
    /// Something that a task has written.
    Line(LogLine),
    /// Not everything could be had.
    Gap {
        /// In the Swarm's words.
        reason: String,
        /// Swarm ids of the nodes that the reason names.
        nodes: Vec<String>,
    },
    /// Nothing more came for [`SILENCE`] although not all is there, and the Swarm does not say from whom. It is the last item.
    Silence,
}

/// Lines in the order in which they came from the nodes, which is not that of their times.
pub type LogStream = BoxStream<'static, Result<LogItem, Error>>;

/// `docker service logs`. Managers only.
pub trait LogApi: Send + Sync {
    /// The log of a service or a task. Without `follow` it ends, in any case: after [`SILENCE`] with a [`LogItem::Silence`].
    ///
    /// # Errors
    /// When there is no such service or task ([`Error::is_not_found`]), or the managers do not answer.
    fn logs(&self, source: LogSource<'_>, options: LogOptions)
    -> impl Future<Output = Result<LogStream, Error>> + Send;
}
