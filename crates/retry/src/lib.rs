//! One backoff for calls that leave the process: how long to wait between attempts, and a loop of attempts.
//!
//! Delays use *full jitter*: a uniform choice between zero and a ceiling that doubles up to a cap. Many nodes that start
//! at the same moment then spread out instead of meeting again at every attempt
//! (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).

mod backoff;

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

pub use backoff::{Backoff, without_request_id};

/// How long to keep trying and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Ceiling of the first delay.
    pub first: Duration,
    /// Ceiling of every later delay.
    pub cap: Duration,
    /// Time after which no new attempt starts.
    pub total: Duration,
    /// Longest time for a single attempt; an attempt that takes longer counts as failed.
    pub attempt: Duration,
}

impl Policy {
    /// The ceiling of the delay after `attempt` failures (counted from zero).
    #[must_use]
    pub fn ceiling(&self, attempt: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(attempt)).min(self.cap)
    }

    /// A delay with full jitter, never under a tenth of its ceiling so that a loop cannot spin.
    #[must_use]
    pub fn delay(&self, attempt: u32) -> Duration {
        let ceiling = self.ceiling(attempt);
        ceiling.mul_f64(0.1 + 0.9 * fastrand::f64())
    }
}

/// Why [`retry`] gave up.
#[derive(Debug, thiserror::Error)]
pub enum Error<E: Display> {
    /// The operation said that trying again is of no use.
    #[error("{0}")]
    Permanent(E),
    /// The time is up; the last failure is kept.
    #[error("{what}: gave up after {attempts} attempts in {}: {last}", seconds(.elapsed))]
    Exhausted {
        /// The operation, in words.
        what: String,
        /// Attempts, the first included.
        attempts: u32,
        /// Since the first attempt began.
        elapsed: Duration,
        /// The last failure, in words.
        last: String,
    },
}

fn seconds(duration: &Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// What a failed attempt means for the next one.
#[derive(Debug)]
pub enum Failure<E> {
    /// Try again after a delay.
    Transient(E),
    /// Do not try again.
    Permanent(E),
}

/// Calls `operation` until it succeeds, fails for good, or the policy's time is up.
///
/// Every failed attempt is logged once, in one line, at `warn` from the third on and at `debug` before.
pub async fn retry<T, E, F, Fut>(what: &str, policy: Policy, mut operation: F) -> Result<T, Error<E>>
where
    E: Display,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Failure<E>>>,
{
    let start = Instant::now();
    let mut attempts = 0;
    loop {
        let failure = match tokio::time::timeout(policy.attempt, operation()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(Failure::Permanent(error))) => return Err(Error::Permanent(error)),
            Ok(Err(Failure::Transient(error))) => error.to_string(),
            Err(_) => format!("no answer within {}", seconds(&policy.attempt)),
        };
        let delay = policy.delay(attempts);
        attempts += 1;
        let elapsed = start.elapsed();
        if elapsed + delay > policy.total {
            return Err(Error::Exhausted { what: what.to_owned(), attempts, elapsed, last: failure });
        }
        if attempts < 3 {
            tracing::debug!(what, attempts, reason = %failure, "will try again");
        } else {
            tracing::warn!(what, attempts, reason = %failure, "will try again");
        }
        tokio::time::sleep(delay).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        first: Duration::from_millis(100),
        cap: Duration::from_secs(1),
        total: Duration::from_secs(10),
        attempt: Duration::from_secs(2),
    };

    #[test]
    fn ceilings_double_up_to_the_cap() {
        let ceilings: Vec<u128> = (0..6).map(|attempt| POLICY.ceiling(attempt).as_millis()).collect();
        assert_eq!(ceilings, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(POLICY.ceiling(u32::MAX), POLICY.cap, "no overflow");
    }

    #[test]
    fn delays_stay_between_a_tenth_of_the_ceiling_and_the_ceiling() {
        for attempt in 0..200 {
            let (delay, ceiling) = (POLICY.delay(attempt % 8), POLICY.ceiling(attempt % 8));
            assert!(delay >= ceiling / 10 && delay <= ceiling, "{delay:?} against {ceiling:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_transient_failure_is_tried_again() {
        let mut calls = 0;
        let result: Result<u32, Error<&str>> = retry("read the token", POLICY, || {
            calls += 1;
            let outcome = if calls < 4 { Err(Failure::Transient("busy")) } else { Ok(calls) };
            async move { outcome }
        })
        .await;
        assert_eq!(result.unwrap(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_permanent_failure_ends_at_once() {
        let mut calls = 0;
        let result: Result<(), _> = retry("read the token", POLICY, || {
            calls += 1;
            async { Err(Failure::Permanent("access denied")) }
        })
        .await;
        assert_eq!(result.unwrap_err().to_string(), "access denied");
        assert_eq!(calls, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn giving_up_says_what_how_often_and_the_last_reason() {
        let result: Result<(), Error<&str>> =
            retry("read the token", POLICY, || async { Err(Failure::Transient("503 Slow Down")) }).await;
        let message = result.unwrap_err().to_string();
        assert!(message.starts_with("read the token: gave up after "), "{message}");
        assert!(message.ends_with("503 Slow Down"), "{message}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_hangs_is_cut_off() {
        let started = Instant::now();
        let result: Result<(), Error<&str>> = retry("read the token", POLICY, std::future::pending).await;
        assert!(result.unwrap_err().to_string().ends_with("no answer within 2.0 s"));
        assert!(started.elapsed() <= POLICY.total + POLICY.attempt);
    }
}
