//! Failures for clients under test: which call fails, and how, is decided by a script or by a seeded generator.
//!
//! What a caller meets is what a network makes of a call: it was made or not, once or twice, and the caller knows or does not
//! know it. Times are tokio's, so that a test with paused time pays nothing for them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is made at once and answered at once.
    None,
    /// It is made after the first time and answered after the second.
    Delay(Duration, Duration),
    /// It is not made, and fails.
    Fail,
    /// It is made, and its answer is lost.
    Lose,
    /// It is made, its answer is lost, and the client makes it again, as the AWS SDK does.
    Repeat,
    /// It is not made, and fails after so long.
    Hang(Duration),
    /// It is made, and fails after so long: a caller's deadline cuts it off although it was applied.
    Stall(Duration),
    /// What it reads is said not to exist; calls that read nothing are made.
    Absent,
}

/// How many calls of a thousand meet which fault.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// [`Fault::Fail`].
    pub fail: u32,
    /// [`Fault::Lose`].
    pub lose: u32,
    /// [`Fault::Repeat`].
    pub repeat: u32,
    /// [`Fault::Hang`].
    pub hang: u32,
    /// [`Fault::Stall`].
    pub stall: u32,
    /// [`Fault::Absent`].
    pub absent: u32,
    /// Longest of the delays before a call and before its answer, in milliseconds; none when it is zero.
    pub delay_millis: u64,
    /// How long a call hangs or stalls, in milliseconds.
    pub hang_millis: u64,
}

/// The source of faults of one client. Clones draw from the same source.
#[derive(Debug, Clone)]
pub struct Faults(Arc<Mutex<Source>>);

#[derive(Debug)]
struct Source {
    script: VecDeque<Fault>,
    rates: Rates,
    rng: Rng,
}

impl Faults {
    /// No faults.
    #[must_use]
    pub fn none() -> Self {
        Self::seeded(0, Rates::default())
    }

    /// These faults for the next calls, in their order, and none from then on.
    #[must_use]
    pub fn script(faults: impl IntoIterator<Item = Fault>) -> Self {
        let source = Source { script: faults.into_iter().collect(), rates: Rates::default(), rng: Rng::with_seed(0) };
        Self(Arc::new(Mutex::new(source)))
    }

    /// Faults at random, the same for the same seed and the same calls.
    #[must_use]
    pub fn seeded(seed: u64, rates: Rates) -> Self {
        Self(Arc::new(Mutex::new(Source { script: VecDeque::new(), rates, rng: Rng::with_seed(seed) })))
    }

    /// Other rates from now on.
    pub fn set(&self, rates: Rates) {
        self.lock().rates = rates;
    }

    /// What happens to the next call.
    #[must_use]
    pub fn draw(&self) -> Fault {
        let mut source = self.lock();
        if let Some(fault) = source.script.pop_front() {
            return fault;
        }
        let rates = source.rates;
        let mut draw = source.rng.u32(..1000);
        let mut hit = |rate: u32| {
            let hit = draw < rate;
            draw = draw.wrapping_sub(rate);
            hit
        };
        if hit(rates.fail) {
            Fault::Fail
        } else if hit(rates.lose) {
            Fault::Lose
        } else if hit(rates.repeat) {
            Fault::Repeat
        } else if hit(rates.hang) {
            Fault::Hang(Duration::from_millis(rates.hang_millis))
        } else if hit(rates.stall) {
            Fault::Stall(Duration::from_millis(rates.hang_millis))
        } else if hit(rates.absent) {
            Fault::Absent
        } else if rates.delay_millis > 0 {
            let mut delay = || Duration::from_millis(source.rng.u64(..rates.delay_millis));
            Fault::Delay(delay(), delay())
        } else {
            Fault::None
        }
    }

    /// Makes a call as the next fault says; `failed` makes an error of a reason. [`Fault::Absent`] is the caller's to act on,
    /// and no fault here.
    ///
    /// # Errors
    /// Those of the call, and what `failed` makes of a fault.
    pub async fn around<T, E, Fut>(
        &self,
        fault: Fault,
        call: impl Fn() -> Fut,
        failed: impl Fn(&str) -> E,
    ) -> Result<T, E>
    where
        Fut: Future<Output = Result<T, E>>,
    {
        match fault {
            Fault::None | Fault::Absent => call().await,
            Fault::Delay(before, after) => {
                tokio::time::sleep(before).await;
                let outcome = call().await;
                tokio::time::sleep(after).await;
                outcome
            }
            Fault::Fail => Err(failed("connection refused")),
            Fault::Lose => {
                let _lost = call().await;
                Err(failed("the connection was closed before the answer"))
            }
            Fault::Repeat => {
                let _lost = call().await;
                call().await
            }
            Fault::Hang(time) => {
                tokio::time::sleep(time).await;
                Err(failed("no answer in time"))
            }
            Fault::Stall(time) => {
                let _lost = call().await;
                tokio::time::sleep(time).await;
                Err(failed("no answer in time"))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Source> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_script_is_played_call_by_call() {
        let second = Duration::from_secs(1);
        let script = [Fault::Fail, Fault::Lose, Fault::Repeat, Fault::Delay(second, second), Fault::Hang(second)];
        let faults = Faults::script(script);
        let made = AtomicU32::new(0);
        let call = || async { Ok::<u32, String>(made.fetch_add(1, Ordering::Relaxed)) };
        let (mut outcomes, start) = (Vec::new(), Instant::now());
        for _ in 0..6 {
            outcomes.push(faults.around(faults.draw(), call, str::to_owned).await.ok());
        }
        assert_eq!(outcomes, [None, None, Some(2), Some(3), None, Some(4)]);
        assert_eq!(start.elapsed(), 3 * second);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_stalls_is_made_although_its_callers_deadline_cuts_it_off() {
        let (second, made) = (Duration::from_secs(1), AtomicU32::new(0));
        let call = || async { Ok::<u32, String>(made.fetch_add(1, Ordering::Relaxed)) };
        let faults = Faults::script([Fault::Stall(3 * second), Fault::Hang(3 * second), Fault::Stall(second)]);
        for applied in [1, 1] {
            let outcome = faults.around(faults.draw(), call, str::to_owned);
            assert!(tokio::time::timeout(second, outcome).await.is_err(), "the deadline is shorter");
            assert_eq!(made.load(Ordering::Relaxed), applied);
        }
        let patient = faults.around(faults.draw(), call, str::to_owned).await;
        assert_eq!((patient, made.load(Ordering::Relaxed)), (Err("no answer in time".to_owned()), 2));
    }

    #[test]
    fn a_seed_gives_the_same_faults_again() {
        let rates = Rates { fail: 100, lose: 100, hang: 10, delay_millis: 50, ..Rates::default() };
        let draw = |seed| {
            let faults = Faults::seeded(seed, rates);
            (0..500).map(|_| faults.draw()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let lost = draw(3).iter().filter(|fault| **fault == Fault::Lose).count();
        assert!((20..=90).contains(&lost), "about one in ten: {lost}");
    }
}
