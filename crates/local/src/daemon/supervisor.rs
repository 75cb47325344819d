//! What the daemon does while everything runs: answers its control socket, wakes its reconcilers, and ends when it is told to, when
//! the emulator has died, or when one of its tasks has ended.

use std::future::Future;
use std::sync::{Arc, RwLock};

use futuswarm_aws_front::images::Images;
use tokio::sync::{Notify, mpsc};

use crate::control::Ask;
use crate::error::{Error, Result};
use crate::tasks::Tasks;
use crate::vms::powered::Powered;

/// What is watched and told.
pub struct Supervisor {
    /// Servers and reconcilers: none of them ever ends by itself.
    pub tasks: Tasks,
    /// Questions of the control socket.
    pub asked: mpsc::Receiver<Ask>,
    /// Notified when something was changed in the emulator.
    pub changed: Arc<Notify>,
    /// The reconcilers' alarm clocks; the first is that of the machines.
    pub wakes: Vec<Arc<Notify>>,
    /// The machines that are switched on.
    pub powered: Powered,
    /// Names of images, for the list of machines.
    pub images: Arc<RwLock<Images>>,
}

impl Supervisor {
    /// Runs until `stop`, or until somebody asks for the end through the control socket. `emulator` ends with the emulator, and
    /// says how that ended. No reconciler is waited for.
    ///
    /// # Errors
    /// When the emulator or a task has ended.
    pub async fn run(mut self, stop: impl Future<Output = ()>, emulator: impl Future<Output = String>) -> Result<()> {
        let (mut stop, mut emulator) = (std::pin::pin!(stop), std::pin::pin!(emulator));
        loop {
            tokio::select! {
                () = &mut stop => break,
                status = &mut emulator => {
                    return Err(Error::Command {
                        command: "the AWS emulator (moto)".to_owned(),
                        detail: format!("ended with {status}; what it knew is lost, so the cluster goes, too"),
                    });
                }
                error = self.tasks.ended() => return Err(error),
                ask = self.asked.recv() => match ask {
                    None => break,
                    Some(Ask::Shutdown(reply)) => {
                        self.powered.cut_all().await;
                        let _asker_gone = reply.send(());
                        break;
                    }
                    Some(Ask::Machines(reply)) => {
                        let _asker_gone = reply.send(self.powered.status(&self.images));
                    }
                    Some(Ask::Kill(instance, reply)) => {
                        tracing::info!(instance, "power cut asked for");
                        let _asker_gone = reply.send(self.powered.cut(&instance));
                        self.wakes.first().into_iter().for_each(|machines| machines.notify_one());
                    }
                },
                () = self.changed.notified() => self.wakes.iter().for_each(|wake| wake.notify_one()),
            }
        }
        // Nobody is to start another machine, or to tell the emulator of those that end now.
        drop(self.tasks);
        self.powered.cut_all().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::Instant;

    use super::*;
    use crate::daemon::reconcilers::{self, Reconcile};

    /// As the databases while PostgreSQL starts.
    struct Slow;

    impl Reconcile for Slow {
        const WHAT: &'static str = "slow things";

        async fn reconcile(&mut self) -> Result<()> {
            tokio::time::sleep(Duration::from_secs(600)).await;
            Ok(())
        }
    }

    struct Counted(Arc<std::sync::atomic::AtomicU32>);

    impl Reconcile for Counted {
        const WHAT: &'static str = "counted things";

        async fn reconcile(&mut self) -> Result<()> {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(())
        }
    }

    fn supervisor() -> (Supervisor, mpsc::Sender<Ask>) {
        let (asks, asked) = mpsc::channel(16);
        let wakes: Vec<Arc<Notify>> = (0..2).map(|_| Arc::default()).collect();
        let supervisor = Supervisor {
            tasks: Tasks::default(),
            asked,
            changed: Arc::default(),
            wakes,
            powered: Powered::default(),
            images: Arc::default(),
        };
        (supervisor, asks)
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reconciler_delays_neither_a_kill_nor_the_others_nor_the_end() {
        let (mut supervisor, asks) = supervisor();
        let rounds = Arc::default();
        supervisor.tasks.spawn("the slow one", reconcilers::run(Slow, Arc::clone(&supervisor.wakes[0])));
        let counted = reconcilers::run(Counted(Arc::clone(&rounds)), Arc::clone(&supervisor.wakes[1]));
        supervisor.tasks.spawn("the counted one", counted);
        let changed = Arc::clone(&supervisor.changed);
        let running = tokio::spawn(supervisor.run(std::future::pending(), std::future::pending()));
        // The slow one is in its first round from here on.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let asked = Instant::now();
        let (reply, killed) = oneshot::channel();
        asks.send(Ask::Kill("i-1".to_owned(), reply)).await.unwrap();
        assert!(!killed.await.unwrap(), "there is no such machine");
        assert_eq!(asked.elapsed(), Duration::ZERO);
        let before = rounds.load(std::sync::atomic::Ordering::Relaxed);
        changed.notify_one();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(rounds.load(std::sync::atomic::Ordering::Relaxed), before + 1, "a change wakes it at once");
        let (reply, ended) = oneshot::channel();
        asks.send(Ask::Shutdown(reply)).await.unwrap();
        ended.await.unwrap();
        running.await.unwrap().unwrap();
        assert!(asked.elapsed() < Duration::from_secs(1), "ended after {:?}", asked.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_emulator_or_of_a_task_ends_the_daemon_beside_a_slow_reconciler() {
        let (mut dying, _asks) = supervisor();
        dying.tasks.spawn("the slow one", reconcilers::run(Slow, Arc::default()));
        let emulator = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            "signal 9".to_owned()
        };
        let started = Instant::now();
        let error = dying.run(std::future::pending(), emulator).await.unwrap_err().to_string();
        assert!(error.contains("moto") && error.contains("signal 9"), "{error}");
        assert_eq!(started.elapsed(), Duration::from_secs(5));

        let (mut crippled, _asks) = supervisor();
        crippled.tasks.spawn("the slow one", reconcilers::run(Slow, Arc::default()));
        crippled.tasks.spawn("the reconciler of the machines", async {});
        let error = crippled.run(std::future::pending(), std::future::pending()).await.unwrap_err().to_string();
        assert!(error.starts_with("the reconciler of the machines has ended"), "{error}");
    }
}
