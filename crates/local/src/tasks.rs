//! Tasks that must not end: one that does, by an error or a panic, ends the process that cannot do its job without it.

use std::collections::BTreeMap;
use std::future::Future;

use tokio::task::{Id, JoinSet};

use crate::error::Error;

/// The tasks of the daemon; they are ended when this is dropped.
#[derive(Default)]
pub struct Tasks {
    set: JoinSet<()>,
    names: BTreeMap<Id, &'static str>,
}

impl Tasks {
    /// Starts a task that is to run as long as the process does.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.set.spawn(task).id();
        self.names.insert(id, name);
    }

    /// Waits until one of them ends; says which one and how.
    pub async fn ended(&mut self) -> Error {
        let Some(ended) = self.set.join_next_with_id().await else {
            // Nothing to wait for is nothing that can end.
            return std::future::pending().await;
        };
        let (id, how) = match ended {
            Ok((id, ())) => (id, "returned".to_owned()),
            Err(error) => (error.id(), error.to_string()),
        };
        let name = self.names.get(&id).copied().unwrap_or("a task");
        Error::TaskEnded { name, how }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_end_of_one_task_is_an_error_that_names_it() {
        let mut tasks = Tasks::default();
        tasks.spawn("the one that waits", std::future::pending());
        let waited = tokio::time::timeout(Duration::from_millis(20), tasks.ended()).await;
        assert!(waited.is_err(), "nothing has ended yet");
        tasks.spawn("the one that panics", async {
            let empty: Option<u8> = None;
            assert!(empty.is_some(), "this panic is the test's own");
        });
        let message = tasks.ended().await.to_string();
        assert!(
            message.starts_with("the one that panics has ended (task ") && message.contains("panicked"),
            "{message}"
        );
        tasks.spawn("the one that returns", async {});
        let message = tasks.ended().await.to_string();
        assert!(message.starts_with("the one that returns has ended (returned)"), "{message}");
    }

    #[tokio::test]
    async fn tasks_end_with_their_owner() {
        let (alive, mut dropped) = tokio::sync::oneshot::channel::<()>();
        let mut tasks = Tasks::default();
        tasks.spawn("the one with a channel", async move {
            let _held = alive;
            std::future::pending().await
        });
        tokio::task::yield_now().await;
        assert!(dropped.try_recv().is_err_and(|error| error == tokio::sync::oneshot::error::TryRecvError::Empty));
        drop(tasks);
        assert!(
            tokio::time::timeout(Duration::from_secs(5), dropped).await.unwrap().is_err(),
            "its end has been dropped"
        );
    }
}
