//! What is done about failures: a pause that grows, with jitter, and one line per reason instead of one per attempt.

use std::time::Duration;

use crate::Policy;

/// The pauses. There is no end to it: a loop that gave up would need a person.
const PAUSES: Policy = Policy {
    first: Duration::from_millis(500),
    cap: Duration::from_secs(15),
    total: Duration::MAX,
    attempt: Duration::MAX,
};
/// A reason that stays is said again after this many attempts, so that it is not forgotten.
const AGAIN: u32 = 20;

/// The failures of one loop since it last succeeded.
#[derive(Debug, Default)]
pub struct Backoff {
    attempts: u32,
    reason: String,
}

impl Backoff {
    /// Notes a failure; returns how long to wait before the next attempt.
    pub fn failed(&mut self, what: &str, reason: &str) -> Duration {
        self.attempts += 1;
        // Each answer of AWS has an id of its own; the reason is the same.
        if without_request_id(reason) != without_request_id(&self.reason) || self.attempts.is_multiple_of(AGAIN) {
            tracing::warn!(attempts = self.attempts, %reason, "{what}; will try again");
            reason.clone_into(&mut self.reason);
        }
        PAUSES.delay(self.attempts - 1)
    }

    /// Notes a success.
    pub fn reset(&mut self) {
        if self.attempts > 2 {
            tracing::info!(attempts = self.attempts, "carries on");
        }
        *self = Self::default();
    }
}

/// A reason without the ids of the requests that it is about, for comparisons.
pub fn without_request_id(reason: &str) -> String {
    let mut text = String::new();
    let mut rest = reason;
    while let Some((before, after)) = rest.split_once(" (request ") {
        text.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap_and_never_vanish() {
        let mut backoff = Backoff::default();
        for attempt in 1..40 {
            let pause = backoff.failed("asks", "no answer");
            assert!(pause <= PAUSES.cap && pause >= PAUSES.first / 10, "attempt {attempt}: {pause:?}");
        }
        backoff.reset();
        assert!(backoff.failed("asks", "no answer") <= PAUSES.first);
    }

    #[test]
    fn a_reason_is_the_same_whatever_the_request() {
        let of =
            |id: &str| format!("tokens: Decrypt answered KMSInternalException: away (request {id}); labels: no leader");
        assert_eq!(without_request_id(&of("a-1")), without_request_id(&of("b-2")));
        assert_eq!(
            without_request_id(&of("a-1")),
            "tokens: Decrypt answered KMSInternalException: away; labels: no leader"
        );
        assert_eq!(without_request_id("no id (status 404)"), "no id (status 404)");
        assert_eq!(without_request_id("cut off (request a"), "cut off");
    }
}
