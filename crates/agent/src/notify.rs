//! What systemd is told: ready, alive, and one line about the state.

use sd_notify::NotifyState;

/// The connection to systemd; does nothing when there is none.
#[derive(Debug)]
pub struct Notify;

impl Notify {
    /// The connection, whether there is one or not.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "nobody makes one without wanting to say something")]
    pub fn new() -> Self {
        Self
    }

    /// Ready: it begins its work.
    pub fn ready(&self) {
        send(&[NotifyState::Ready]);
    }

    /// Another round is done; resets the watchdog.
    pub fn alive(&self, status: &str) {
        send(&[NotifyState::Watchdog, NotifyState::Status(status)]);
    }

    /// The agent waits for something before it can be ready.
    pub fn waiting(&self, status: &str) {
        // Start-up may take longer than the unit's limit when the metadata service is down; that is not the agent's fault.
        send(&[NotifyState::ExtendTimeoutUsec(120_000_000), NotifyState::Status(status), NotifyState::Watchdog]);
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd cannot be told");
    }
}
