//! How long nothing has happened while a part is sent. What was handed to `ssh` is not there yet: on a slow line its buffers take minutes to
//! go out, and then the cluster puts the part to its place. All that time it says how far it is.

use std::time::{Duration, Instant};

/// Since when no byte was handed over and nothing was heard.
#[derive(Debug)]
pub struct Quiet {
    since: Instant,
    /// Bytes that were handed over by then.
    sent: u64,
}

impl Quiet {
    /// Nothing has happened yet.
    pub fn since(now: Instant) -> Self {
        Self { since: now, sent: 0 }
    }

    /// Whether more bytes were handed over than before. Anything that was `heard` ends the quiet, too.
    pub fn has_moved(&mut self, now: Instant, sent: u64, heard: bool) -> bool {
        let moved = sent != self.sent;
        if moved || heard {
            (self.since, self.sent) = (now, sent);
        }
        moved
    }

    /// For how long it is quiet.
    pub fn lasts(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_comes_or_goes_ends_the_quiet() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut quiet = Quiet::since(begin);
        let lasts = |quiet: &Quiet, seconds: u64| quiet.lasts(at(seconds)).as_secs();
        assert!(quiet.has_moved(at(10), 5, false));
        assert!(!quiet.has_moved(at(100), 5, false));
        assert_eq!(lasts(&quiet, 100), 90);
        // All bytes were handed over long ago, and the cluster still says how far it is.
        for seconds in (115..2_000).step_by(15) {
            assert!(!quiet.has_moved(at(seconds), 5, true));
            assert!(lasts(&quiet, seconds + 14) < 15);
        }
        assert_eq!(lasts(&quiet, 2_200), 2_200 - 1_990);
    }
}
