//! A secret in memory: no `Debug`, no `Display`, no `Serialize`, so it cannot slip into a log, an error or a document.
//!
//! ```compile_fail
//! let token = futuswarm_secret::Secret::new("SWMTKN-1-…".to_owned());
//! println!("{token:?}");
//! ```

use zeroize::Zeroizing;

/// A secret. Its memory is overwritten when it is dropped.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret in.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}
