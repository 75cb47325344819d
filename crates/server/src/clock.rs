//! The wall clock, and times as the Engine writes them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Says what time it is.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970.
    fn unix_millis(&self) -> u64;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_millis(&self) -> u64 {
        futuswarm_model::unix_millis()
    }
}

/// Milliseconds since 1970 of a time in RFC 3339; zero for one that cannot be read, which reads as "long ago".
pub(crate) fn milliseconds(text: &str) -> u64 {
    let parsed = OffsetDateTime::parse(text, &Rfc3339).ok();
    parsed.and_then(|time| u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_writes_is_read() {
        assert_eq!(milliseconds("2026-11-30T02:00:00.123456789Z"), 1_796_004_000_123);
        assert_eq!(milliseconds("2026-11-30T02:00:00Z"), 1_796_004_000_000);
        assert_eq!(milliseconds(""), 0);
        assert_eq!(milliseconds("0001-01-01T00:00:00Z"), 0);
    }
}
