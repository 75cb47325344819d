//! Patience with services that are eventually consistent: an operation is tried again, a state is polled, each with a deadline.

use std::time::Duration;

use futuswarm_retry::Policy;

/// It took too long.
#[derive(Debug, thiserror::Error)]
#[error("waited {} s for {what}; what was made stays: run the command again to carry on", .deadline.as_secs())]
pub struct Late {
    /// What was waited for.
    pub what: String,
    /// For how long.
    pub deadline: Duration,
}

/// Tries an operation again while its failure `is_early`, until the policy's time is up.
///
/// # Errors
/// With the last failure.
pub async fn retry_while<T, E, F, Fut>(
    what: &str,
    policy: Policy,
    mut operation: F,
    is_early: impl Fn(&E) -> bool,
) -> Result<T, E>
where
    E: std::fmt::Display,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let start = tokio::time::Instant::now();
    let mut attempt = 0;
    loop {
        let error = match operation().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let delay = policy.delay(attempt);
        attempt += 1;
        if !is_early(&error) || start.elapsed() + delay > policy.total {
            return Err(error);
        }
        tracing::debug!(what, attempt, reason = %error, "not yet");
        tokio::time::sleep(delay).await;
    }
}

/// Polls until `probe` answers, with the pauses of `policy` and a deadline of the caller's.
///
/// # Errors
/// With the probe's, or when the deadline has passed.
pub async fn poll<T, E, F, Fut>(what: &str, policy: Policy, deadline: Duration, mut probe: F) -> Result<T, E>
where
    E: From<Late>,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Option<T>, E>>,
{
    let start = tokio::time::Instant::now();
    let mut attempt = 0;
    loop {
        if let Some(observed) = probe().await? {
            return Ok(observed);
        }
        let delay = policy.delay(attempt);
        attempt += 1;
        if start.elapsed() + delay > deadline {
            return Err(Late { what: what.to_owned(), deadline }.into());
        }
        tokio::time::sleep(delay).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        first: Duration::from_millis(250),
        cap: Duration::from_secs(5),
        total: Duration::from_secs(90),
        attempt: Duration::from_secs(60),
    };

    #[tokio::test(start_paused = true)]
    async fn only_an_early_failure_is_tried_again_and_not_for_ever() {
        let mut calls = 0;
        let outcome = retry_while(
            "it",
            POLICY,
            || {
                calls += 1;
                let answer = if calls < 5 { Err("early") } else { Ok(calls) };
                async move { answer }
            },
            |error| *error == "early",
        );
        assert_eq!(outcome.await, Ok(5));
        let mut calls = 0;
        let outcome = retry_while(
            "it",
            POLICY,
            || {
                calls += 1;
                async { Err::<(), _>("refused") }
            },
            |error| *error == "early",
        );
        assert_eq!(outcome.await, Err("refused"));
        assert_eq!(calls, 1);
        let started = tokio::time::Instant::now();
        let outcome = retry_while("it", POLICY, || async { Err::<(), _>("early") }, |_| true);
        assert_eq!(outcome.await, Err("early"));
        assert!(started.elapsed() <= POLICY.total && started.elapsed() > POLICY.total / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_poll_ends_with_an_answer_a_failure_or_its_deadline() {
        let mut calls = 0;
        let outcome: Result<i32, Late> = poll("it", POLICY, Duration::from_secs(30), || {
            calls += 1;
            let answer = (calls == 3).then_some(calls);
            async move { Ok(answer) }
        })
        .await;
        assert_eq!(outcome.unwrap(), 3);
        let mut calls = 0;
        let failed: Result<(), Late> = poll("it", POLICY, Duration::from_secs(30), || {
            calls += 1;
            async { Err(Late { what: "something else".to_owned(), deadline: Duration::from_secs(1) }) }
        })
        .await;
        assert!(failed.is_err() && calls == 1, "a failure ends it at once: {calls} calls");
        let late = poll("the certificate", POLICY, Duration::from_secs(30), || async { Ok::<_, Late>(None::<()>) });
        let late = late.await.unwrap_err().to_string();
        assert!(late.starts_with("waited 30 s for the certificate; what was made stays: "), "{late}");
    }
}
