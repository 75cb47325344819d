//! The wall clock, which may be wrong and may jump; durations are measured with tokio's.

/// Says what time it is.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970, as records carry them.
    fn unix_millis(&self) -> u64;
}

/// The clock of the machine, which may be set while the agent runs.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_millis(&self) -> u64 {
        futuswarm_model::unix_millis()
    }
}
