//! A target with many inputs, one after the other, until one fails.

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::{Target, input};

/// An input of at most [`crate::LONGEST`] bytes takes microseconds; on a busy machine not this long.
const DEADLINE: Duration = Duration::from_secs(10);
/// How much memory an input may take: so many bytes for each of its own, and what does not depend on it. JSON needs three bytes for an
/// element of a list, which is 24 to 32 in memory, twice while the list grows, and is there in two forms while serde decides which kind
/// of message it is.
const MEMORY_FOR_A_BYTE: usize = 256;
const CONSTANT_MEMORY: usize = 4 << 20;

/// An input that does not hold what has to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Number of the input.
    pub number: u64,
    /// What the target says.
    pub reason: String,
    /// The input itself.
    pub input: Vec<u8>,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "input {}, {} bytes long: {}", self.number, self.input.len(), self.reason)
    }
}

/// What came of many inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounds {
    /// Inputs that were what they should be.
    pub accepted: u64,
    /// Inputs that were not.
    pub refused: u64,
    /// The most bytes of memory that one took.
    pub memory: usize,
    /// The longest time that one took.
    pub longest: Duration,
}

/// How much memory is in use, and a way to forget how much it was.
pub trait Memory {
    /// Begins to look for the most; returns how much there is now, in bytes.
    fn begin(&self) -> usize;
    /// The most since then, in bytes.
    fn most(&self) -> usize;
}

/// Runs a target with the inputs of these numbers ([`crate::input`]).
///
/// # Errors
/// The first input that makes it panic, or takes too long or too much memory.
pub fn rounds(
    target: &Target,
    seeds: &[Vec<u8>],
    seed: u64,
    numbers: Range<u64>,
    memory: &impl Memory,
) -> Result<Rounds, Failure> {
    let mut rounds = Rounds { accepted: 0, refused: 0, memory: 0, longest: Duration::ZERO };
    for number in numbers {
        let input = input(target, seeds, seed, number);
        let (before, began) = (memory.begin(), Instant::now());
        let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
        let (took, used) = (began.elapsed(), memory.most().saturating_sub(before));
        let most = CONSTANT_MEMORY + MEMORY_FOR_A_BYTE * input.len();
        let reason = match outcome {
            Err(panic) => message(panic.as_ref()),
            Ok(_) if took > DEADLINE => format!("it took {took:?}"),
            Ok(_) if used > most => format!("it took {used} bytes of memory, and {most} are allowed"),
            Ok(accepted) => {
                *(if accepted { &mut rounds.accepted } else { &mut rounds.refused }) += 1;
                (rounds.memory, rounds.longest) = (rounds.memory.max(used), rounds.longest.max(took));
                continue;
            }
        };
        return Err(Failure { number, reason, input });
    }
    Ok(rounds)
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program in which somebody says how much memory there is.
    struct Said(usize);

    impl Memory for Said {
        fn begin(&self) -> usize {
            1000
        }

        fn most(&self) -> usize {
            1000 + self.0
        }
    }

    fn target(run: fn(&[u8]) -> bool) -> Target {
        Target { name: "planted", run, words: &[b"boom"], rebuild: None }
    }

    #[test]
    fn a_planted_defect_is_found_and_its_number_finds_it_again() {
        let planted = target(|input| {
            assert!(!input.windows(4).any(|window| window == b"boom"), "it says boom");
            true
        });
        let seeds = vec![b"a harmless seed".to_vec()];
        let failure = rounds(&planted, &seeds, 11, 0..10_000, &Said(0)).unwrap_err();
        assert!(failure.number > 0 && failure.reason == "it says boom", "{failure}");
        let again = rounds(&planted, &seeds, 11, failure.number..failure.number + 1, &Said(0)).unwrap_err();
        assert_eq!(again, failure);
    }

    #[test]
    fn what_takes_too_much_memory_is_a_failure_and_what_does_not_is_counted() {
        let seeds = vec![b"seed".to_vec()];
        let good = target(|input| input.len() > 3);
        let failure = rounds(&good, &seeds, 11, 0..1, &Said(5 << 20)).unwrap_err();
        assert!(failure.reason.contains("bytes of memory"), "{failure}");
        let counted = rounds(&good, &seeds, 11, 0..200, &Said(70)).unwrap();
        assert_eq!((counted.accepted + counted.refused, counted.memory), (200, 70));
        assert!(counted.accepted > 0 && counted.refused > 0, "{counted:?}");
    }
}
