//! Inputs made of seeds: the same ones for the same number, on every machine.

use std::ops::Range;

use fastrand::Rng;

use crate::Target;

/// No input is longer, in bytes: what is wrong with longer ones is wrong with these.
pub const LONGEST: usize = 64 << 10;
/// Numbers at which something usually ends.
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1",
    "255",
    "256",
    "65535",
    "65536",
    "2147483648",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "1e999",
];
/// Lengths in four bytes, big endian.
const LENGTHS: [u32; 9] = [0, 1, 5, 255, 65_536, 262_144, 262_145, 8_388_608, u32::MAX];

/// The input of a number: the seeds as they are come first, and then each number has changes of one of them. `seed` decides all that is
/// by chance.
#[must_use]
pub fn input(target: &Target, seeds: &[Vec<u8>], seed: u64, number: u64) -> Vec<u8> {
    if let Some(whole) = usize::try_from(number).ok().and_then(|number| seeds.get(number)) {
        return whole.clone();
    }
    // Far apart for numbers that are not.
    let mut random = Rng::with_seed(seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let Some(chosen) = random.choice(seeds) else { return Vec::new() };
    if let Some(rebuild) = target.rebuild.filter(|_| random.bool()) {
        let mut bytes = rebuild(&mut random, chosen, target.words);
        bytes.truncate(LONGEST);
        return bytes;
    }
    let mut bytes = chosen.clone();
    if random.u8(..8) == 0
        && let Some(other) = random.choice(seeds)
    {
        // The beginning of one and the end of another.
        bytes.truncate(random.usize(..=bytes.len()));
        bytes.extend(&other[random.usize(..=other.len())..]);
    }
    for _ in 0..random.u8(1..=5) {
        change(&mut random, &mut bytes, target.words);
    }
    bytes
}

/// Makes them another input, at one place.
pub(crate) fn change(random: &mut Rng, bytes: &mut Vec<u8>, words: &[&[u8]]) {
    let word = |random: &mut Rng| random.choice(words).copied().unwrap_or_default();
    if bytes.is_empty() {
        bytes.extend(word(random));
        return;
    }
    let at = random.usize(..bytes.len());
    match random.u8(..11) {
        0 => bytes[at] ^= 1 << random.u8(..8),
        1 => bytes[at] = *random.choice(b"\0\x01\x7f\x80\xff\"\\\n0'=".iter()).unwrap_or(&0),
        2 => drop(bytes.drain(range(random, bytes.len()))),
        3 => {
            let piece = bytes[range(random, bytes.len())].to_vec();
            let times = if random.u8(..16) == 0 { random.usize(1..200) } else { random.usize(1..3) };
            insert(bytes, at, &piece.repeat(times));
        }
        4 | 5 => insert(bytes, at, word(random)),
        6 => {
            let word = word(random);
            let end = (at + word.len()).min(bytes.len());
            bytes.splice(at..end, word.iter().copied());
        }
        7 => bytes.truncate(at),
        8 => number(random, bytes, at),
        9 => {
            let length = LENGTHS[random.usize(..LENGTHS.len())].to_be_bytes();
            let end = (at + length.len()).min(bytes.len());
            bytes.splice(at..end, length);
        }
        _ => {
            let (from, to) = (range(random, bytes.len()), random.usize(..bytes.len()));
            let piece = bytes[from].to_vec();
            let end = (to + piece.len()).min(bytes.len());
            bytes.splice(to..end, piece);
        }
    }
    bytes.truncate(LONGEST);
}

/// A short stretch, mostly.
fn range(random: &mut Rng, length: usize) -> Range<usize> {
    let begin = random.usize(..length);
    let most = if random.u8(..8) == 0 { length } else { 24 };
    begin..(begin + random.usize(1..=most)).min(length)
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}

/// Another number in the place of the next one that stands there in digits.
fn number(random: &mut Rng, bytes: &mut Vec<u8>, from: usize) {
    let is_digit = |at: &usize| bytes[*at].is_ascii_digit();
    let Some(begin) = (from..bytes.len()).find(is_digit) else { return };
    let end = (begin..bytes.len()).find(|at| !is_digit(at)).unwrap_or(bytes.len());
    let number = NUMBERS[random.usize(..NUMBERS.len())];
    bytes.splice(begin..end, number.bytes());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const TARGET: Target = Target { name: "none", run: |_| true, words: &[b"word"], rebuild: None };

    #[test]
    fn a_number_has_one_input_and_the_seeds_come_first() {
        let seeds = vec![b"{\"a\":17}".to_vec(), b"second".to_vec(), Vec::new()];
        for (number, seed) in seeds.iter().enumerate() {
            assert_eq!(input(&TARGET, &seeds, 11, number as u64), *seed);
        }
        let all = |seed| (0..500).map(|number| input(&TARGET, &seeds, seed, number)).collect::<Vec<_>>();
        assert_eq!(all(11), all(11));
        let distinct: BTreeSet<Vec<u8>> = all(11).into_iter().chain(all(12)).collect();
        assert!(distinct.len() > 600, "only {} of 1000 inputs differ", distinct.len());
        assert!(distinct.iter().all(|input| input.len() <= LONGEST));
        assert!(distinct.iter().any(|input| input.windows(4).any(|window| window == b"word")));
        assert_eq!(input(&TARGET, &[], 11, 0), b"");
    }
}
