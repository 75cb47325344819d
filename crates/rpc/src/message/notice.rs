//! What a client sends while what it has asked for goes on.

use super::{Deserialize, Serialize};

/// What a client may send after its request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "kebab-case")]
pub enum Notice {
    /// The terminal has another size.
    Resize {
        /// Its height in lines.
        rows: u16,
        /// Its width in characters.
        columns: u16,
    },
    /// Send a signal to the program, by its name without `SIG`.
    Signal {
        /// As in `INT`.
        name: String,
    },
}
