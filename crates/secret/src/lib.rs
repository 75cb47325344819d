//! A secret in memory: no `Debug`, no `Display`, no `Serialize`, so it cannot slip into a log, an error or a document.
//!
//! ```compile_fail
//! let token = futuswarm_secret::Secret::new("SWMTKN-1-…".to_owned());
//! println!("{token:?}");
//! ```

/// A secret. Its memory is overwritten when it is dropped.
pub struct Secret(String);

impl Secret {
    /// Takes a secret in.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        // Keeps the compiler from removing the writes because nobody reads them.
        std::hint::black_box(&bytes);
    }
}
