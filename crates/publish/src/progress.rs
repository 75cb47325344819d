//! What happens, told to whoever shows it; the library itself prints nothing.

/// Something that happens.
#[derive(Debug, Clone)]
pub enum Event {
    /// A step begins; there is nothing to count in it.
    Step(String),
    /// Blocks are being sent.
    Blocks {
        /// Of all that must be sent.
        total: usize,
        /// Sent so far.
        sent: usize,
    },
    /// Something that somebody should know, although it stops nothing.
    Note(String),
}

/// Somebody who is told.
pub type Report<'a> = &'a (dyn Fn(Event) + Send + Sync);
