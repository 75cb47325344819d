//! Tasks beside the agent's main loop: one that ends or panics ends the process, so that systemd starts all of it again.
//!
//! Nobody would notice otherwise: what a dead task has said last stays readable, and the main loop goes on telling systemd
//! that all is well.

use std::any::Any;

use tokio::sync::mpsc;
use tokio::task::JoinError;

use crate::Error;

/// Starts supervised tasks.
#[derive(Debug, Clone)]
pub(crate) struct Supervisor(mpsc::UnboundedSender<Error>);

/// Hears of the end of supervised tasks.
#[derive(Debug)]
pub(crate) struct Ends(mpsc::UnboundedReceiver<Error>);

/// A supervisor, and where the ends of its tasks arrive.
pub(crate) fn supervisor() -> (Supervisor, Ends) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Supervisor(sender), Ends(receiver))
}

impl Supervisor {
    /// Starts a task that is to run as long as the process does.
    pub(crate) fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (task, sender) = (tokio::spawn(task), self.0.clone());
        tokio::spawn(async move {
            let error = match task.await {
                Ok(()) => Error::TaskEnded { name, reason: "it returned".to_owned() },
                Err(error) => panicked(name, error),
            };
            // Nobody listens any more only when the process ends in any case.
            let _nobody_listens = sender.send(error);
        });
    }
}

impl Ends {
    /// The first end of a task; never while all of them run.
    pub(crate) async fn first(&mut self) -> Error {
        match self.0.recv().await {
            Some(error) => error,
            // Without a supervisor there are no tasks.
            None => std::future::pending().await,
        }
    }
}

/// The error of a task that did not return, with what it panicked with.
pub(crate) fn panicked(name: &'static str, error: JoinError) -> Error {
    let reason = match error.try_into_panic() {
        Ok(panic) => format!("it panicked: {}", message(panic.as_ref())),
        Err(error) => error.to_string(),
    };
    Error::TaskEnded { name, reason }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::watch;

    use super::*;

    /// The main loop, feeding a watchdog every second, beside the tasks; says how often it was fed before the end.
    async fn main_loop(mut ends: Ends, edge: watch::Receiver<bool>) -> (u32, Error) {
        let mut fed = 0;
        let forever = async {
            loop {
                // What a dead task has said last: true for ever.
                assert!(*edge.borrow());
                fed += 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let error = tokio::select! {
            biased;
            error = ends.first() => error,
            () = forever => unreachable!("it has no end"),
        };
        (fed, error)
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_ends_the_process_and_feeds_no_watchdog() {
        let (supervisor, ends) = supervisor();
        let (_sender, edge) = watch::channel(true);
        supervisor.spawn("the edge", async {
            tokio::time::sleep(Duration::from_millis(2500)).await;
            panic!("index {} out of range", 7);
        });
        let (fed, error) = tokio::time::timeout(Duration::from_secs(60), main_loop(ends, edge)).await.unwrap();
        assert_eq!(fed, 3, "at 0, 1 and 2 seconds, and never after its death");
        assert_eq!(error.to_string(), "the edge has ended: it panicked: index 7 out of range");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_returns_is_an_end_too_and_one_that_runs_is_not() {
        let (supervisor, mut ends) = supervisor();
        supervisor.spawn("the edge", std::future::pending());
        assert!(tokio::time::timeout(Duration::from_secs(3600), ends.first()).await.is_err());
        supervisor.spawn("another", async {});
        assert_eq!(ends.first().await.to_string(), "another has ended: it returned");
    }
}
