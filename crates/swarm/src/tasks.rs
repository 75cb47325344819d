//! Tasks of services: what the Swarm keeps of each attempt to run a container.

use std::collections::HashMap;

use crate::{Error, Resources, release_of};

/// What a task does, in Swarm's words and in their order: it never goes back to an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskState {
    /// Made by a manager.
    New,
    /// Has addresses, and waits for a node. [`Task::error`] says why none fits.
    Pending,
    /// Has a node.
    Assigned,
    /// The node knows of it.
    Accepted,
    /// The image is pulled, the container is made.
    Preparing,
    /// Waits for the task before it to end.
    Ready,
    /// The program runs, and its health check has not said yes yet.
    Starting,
    /// The program runs, and is healthy if it has a check.
    Running,
    /// Has ended with 0.
    Complete,
    /// Was stopped because it was not wanted any more.
    Shutdown,
    /// Has ended with something else, or was killed, also because it was not healthy.
    Failed,
    /// The node could not start it.
    Rejected,
    /// Goes with its service.
    Remove,
    /// Was on a node that has not been seen for a day.
    Orphaned,
}

impl TaskState {
    /// As the Engine's API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Pending => "pending",
            Self::Assigned => "assigned",
            Self::Accepted => "accepted",
            Self::Preparing => "preparing",
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Shutdown => "shutdown",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Remove => "remove",
            Self::Orphaned => "orphaned",
        }
    }

    /// Whether nothing of it runs any more, or ever will.
    #[must_use]
    pub fn is_over(self) -> bool {
        self > Self::Running
    }
}

/// A task. The Swarm keeps the last few of each slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The Swarm's id of it.
    pub id: String,
    /// Id of the service.
    pub service: String,
    /// Which of the replicas it is, from 1; zero for one of a global service.
    pub slot: u64,
    /// Swarm id of its node; `None` before it has one.
    pub node: Option<String>,
    /// What it does.
    pub state: TaskState,
    /// What it should do; not wanted any more from [`TaskState::Shutdown`] on.
    pub desired: TaskState,
    /// When it was made, RFC 3339 in UTC.
    pub created_at: String,
    /// When it got into its state, RFC 3339 in UTC; by the clock of its node.
    pub since: String,
    /// What the node says of its state, as in `started`.
    pub message: String,
    /// What went wrong, untruncated; empty for nothing.
    pub error: String,
    /// Id of its container on its node.
    pub container: Option<String>,
    /// Of its program, once it is over.
    pub exit_code: Option<i64>,
    /// The image of its own spec, which is not that of the service while an update goes on.
    pub image: String,
    /// Labels of its container by its own spec.
    pub container_labels: HashMap<String, String>,
    /// Limits and reservations of its own spec.
    pub resources: Resources,
}

/// A place of a task on a network. Containers that are no tasks, such as the edge, have one too when they join an overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The Swarm's id of the task, or of what stands for a container that is none.
    pub task: String,
    /// Id of the service; `None` for a container that is no task.
    pub service: Option<String>,
    /// Swarm id of the node; `None` before it has one.
    pub node: Option<String>,
    /// What the task does.
    pub state: TaskState,
    /// Id of the network.
    pub network: String,
    /// Its addresses there, each with the length of its prefix, as in `10.128.3.7/24`; empty before managers gave it any.
    pub addresses: Vec<String>,
}

impl Task {
    /// The release that its own spec names.
    #[must_use]
    pub fn release(&self) -> Option<u64> {
        release_of(&self.container_labels)
    }

    /// Whether the Swarm wants it to run, or to have run to its end.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.desired <= TaskState::Complete
    }

    /// Whether it was most likely killed because it used more memory than it may. The Swarm does not say so: a task that is killed
    /// ends with 137, and so does one that was not healthy, which the error tells, or that outlived its grace, which was not wanted
    /// any more. Only [`crate::ProgramApi::memory_ran_out`] on the task's node knows.
    #[must_use]
    pub fn looks_out_of_memory(&self) -> bool {
        let said = self.error.contains("OOM") || self.error.contains("out of memory");
        let killed = self.exit_code == Some(137) && self.state == TaskState::Failed;
        said || (killed && !self.error.contains("unhealthy"))
    }
}

/// `docker service ps`. Managers only.
pub trait TaskApi: Send + Sync {
    /// Tasks of one service, by its name or id, or of all; in no order.
    ///
    /// # Errors
    /// When this node is no manager or there is no leader.
    fn list_tasks(&self, service: Option<&str>) -> impl Future<Output = Result<Vec<Task>, Error>> + Send;

    /// Which tasks are on which networks, and under which addresses; in no order. A task on several has one for each.
    ///
    /// # Errors
    /// When this node is no manager or there is no leader.
    fn list_attachments(&self) -> impl Future<Output = Result<Vec<Attachment>, Error>> + Send;
}
