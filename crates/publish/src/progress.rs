//! What happens, told to whoever shows it; the library itself prints nothing.

/// What a run is at.
#[derive(Debug, Clone)]
pub enum Event {
    /// A step begins; there is nothing to count in it.
    Step(String),
    /// Another block was sent, or the first is about to be.
    Blocks {
        /// Number of all blocks that must be sent.
        total: usize,
        /// Of those, sent so far.
        sent: usize,
    },
    /// Something that somebody should know, although it stops nothing.
    Note(String),
}

/// Called with every event, from several tasks.
pub type Report<'a> = &'a (dyn Fn(Event) + Send + Sync);
