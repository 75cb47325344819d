//! Names of apps of which one may have been meant as the other.

/// Below so many letters, names are alike by chance.
const SHORTEST: usize = 4;

/// Whether one letter that is missing, added or another, or two in the wrong order, make one name of the other. Digits tell apps apart that
/// are meant to be called alike, such as `api` and `api2`.
pub(super) fn is_a_slip(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len().max(other.len()) < SHORTEST {
        return false;
    }
    let begin = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    let (one, other) = (&one[begin..], &other[begin..]);
    let end = one.iter().rev().zip(other.iter().rev()).take_while(|(one, other)| one == other).count();
    match (&one[..one.len() - end], &other[..other.len() - end]) {
        ([letter], []) | ([], [letter]) => !letter.is_ascii_digit(),
        ([one], [other]) => !one.is_ascii_digit() || !other.is_ascii_digit(),
        ([first, second], [third, fourth]) => first == fourth && second == third,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_finger_does_wrong_is_told_from_what_is_meant() {
        for slip in ["helo", "ello", "hell", "helloo", "jello", "hallo", "hlelo", "hello-", "hell0"] {
            assert!(is_a_slip(slip, "hello") && is_a_slip("hello", slip), "{slip}");
        }
        for meant in ["hello", "hello2", "hello-staging", "shop", "hel", "ohell", ""] {
            assert!(!is_a_slip(meant, "hello") && !is_a_slip("hello", meant), "{meant}");
        }
        assert!(!is_a_slip("web", "wed") && !is_a_slip("api-1", "api-2"));
    }
}
