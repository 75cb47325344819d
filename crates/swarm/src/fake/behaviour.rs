//! What images are, and what their programs do.

use std::time::Duration;

use crate::Output;

/// An image of the registry, or one that nodes have of themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeImage {
    /// What tasks of it do that are to run for ever.
    pub behaviour: Behaviour,
    /// What tasks of it do that are to end: those of jobs.
    pub job: Behaviour,
    /// What a program does that somebody runs from it by hand.
    pub script: Script,
    /// As in `amd64`, which is what all machines are.
    pub architecture: String,
    /// Whether it has a HEALTHCHECK.
    pub has_health_check: bool,
    /// TCP ports.
    pub exposed_ports: Vec<u16>,
    /// How long a node pulls it that does not have it.
    pub pull: Duration,
}

impl Default for FakeImage {
    fn default() -> Self {
        Self {
            behaviour: Behaviour::default(),
            job: Behaviour::exits(Duration::from_secs(1), 0),
            script: Script::default(),
            architecture: "amd64".to_owned(),
            has_health_check: false,
            exposed_ports: Vec::new(),
            pull: Duration::from_secs(1),
        }
    }
}

impl From<Behaviour> for FakeImage {
    fn from(behaviour: Behaviour) -> Self {
        Self { behaviour, ..Self::default() }
    }
}

/// What a task of an image does from its start on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behaviour {
    /// When its health check says yes; `None` for never. A service whose check is disabled does not wait for it.
    pub healthy: Option<Duration>,
    /// When it ends by itself, and with which code.
    pub ends: Option<(Duration, i64)>,
    /// Whether it is the kernel that ends it, because of its memory.
    pub out_of_memory: bool,
    /// Why the engine cannot start it.
    pub rejected: Option<String>,
    /// How long it takes to stop when it is told to; a longer grace does not help one that takes longer.
    pub stops: Duration,
    /// What it writes when it starts.
    pub log: Vec<String>,
    /// What its health check prints as long as it does not say yes; the platform's probe says it in the log, too.
    pub answer: String,
}

impl Default for Behaviour {
    /// Healthy after a second, and stopped within one.
    fn default() -> Self {
        Self::healthy_after(Duration::from_secs(1))
    }
}

impl Behaviour {
    /// Healthy after some time, and for ever.
    #[must_use]
    pub fn healthy_after(time: Duration) -> Self {
        let stops = Duration::from_secs(1);
        let (log, answer) = (Vec::new(), String::new());
        Self { healthy: Some(time), ends: None, out_of_memory: false, rejected: None, stops, log, answer }
    }

    /// Runs, and its health check never says yes.
    #[must_use]
    pub fn never_healthy() -> Self {
        Self { healthy: None, ..Self::default() }
    }

    /// Healthy at once, and ends by itself after some time.
    #[must_use]
    pub fn exits(after: Duration, code: i64) -> Self {
        Self { ends: Some((after, code)), ..Self::healthy_after(Duration::ZERO) }
    }

    /// Healthy at once, and killed after some time because of its memory.
    #[must_use]
    pub fn runs_out_of_memory(after: Duration) -> Self {
        Self { out_of_memory: true, ..Self::exits(after, 137) }
    }

    /// The engine cannot start it.
    #[must_use]
    pub fn rejected(reason: &str) -> Self {
        Self { rejected: Some(reason.to_owned()), ..Self::default() }
    }

    /// Its health check prints this as long as it does not say yes.
    #[must_use]
    pub fn with_answer(mut self, answer: &str) -> Self {
        answer.clone_into(&mut self.answer);
        self
    }

    /// Writes these lines when it starts.
    #[must_use]
    pub fn with_log<S: Into<String>>(mut self, lines: impl IntoIterator<Item = S>) -> Self {
        self.log = lines.into_iter().map(Into::into).collect();
        self
    }
}

/// What a program does that somebody runs by hand: it writes, then reads, then ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// What it writes first.
    pub output: Vec<Output>,
    /// Whether it then writes what it reads, until there is no more.
    pub echoes: bool,
    /// How long it goes on after that.
    pub lasts: Duration,
    /// Its exit code.
    pub code: i64,
}
