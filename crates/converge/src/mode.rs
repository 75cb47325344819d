//! Whether a run makes or deletes, and whether it changes anything.

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Make everything what it should be; in a plan only say how.
    Apply {
        /// Only says what would be done: services are asked, and nothing is written.
        plan: bool,
    },
    /// Delete everything; in a plan only say what would go.
    Destroy {
        /// Only says what would go: services are asked, and nothing is written.
        plan: bool,
        /// Whether data goes, too.
        delete_data: bool,
    },
}

impl Mode {
    /// Whether services are only asked, whatever the run is for.
    #[must_use]
    pub fn plans(self) -> bool {
        match self {
            Self::Apply { plan } | Self::Destroy { plan, .. } => plan,
        }
    }

    /// Whether resources are brought about and not deleted.
    #[must_use]
    pub fn applies(self) -> bool {
        matches!(self, Self::Apply { .. })
    }

    /// Whether data is deleted with everything else.
    #[must_use]
    pub fn deletes_data(self) -> bool {
        matches!(self, Self::Destroy { delete_data: true, .. })
    }

    /// Whether a resource is left alone.
    pub(crate) fn keeps(self, holds_data: bool) -> bool {
        matches!(self, Self::Destroy { delete_data: false, .. }) && holds_data
    }
}
