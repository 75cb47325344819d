//! Times as records carry them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
#[must_use]
pub fn unix_millis() -> u64 {
    // A clock before 1970 is a clock that is not set; zero then reads as "long ago", which is the safe side.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
