//! SSH public keys in OpenSSH's format: whether a line is a whole key of a kind that EC2 imports.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const ED25519: &str = "ssh-ed25519";
const RSA: &str = "ssh-rsa";
/// Bytes of an Ed25519 public key (RFC 8032).
const ED25519_BYTES: usize = 32;
/// Bits of an RSA modulus; EC2 takes 1024, 2048 and 4096 (its user guide, "Create a key pair"), and whoever has another length
/// hears that from EC2.
const RSA_BITS: std::ops::RangeInclusive<usize> = 1024..=16384;

/// Whether a text is the one line of a public key, all of it.
///
/// The second word is what RFC 4253, section 6.6, calls the public key's format, in base64: strings, each after its length. A
/// key from which characters are missing is no longer that.
///
/// # Errors
/// With what is needed instead, as the object of "is needed".
pub fn check(line: &str) -> Result<(), &'static str> {
    const ONE_LINE: &str = "the one line of an Ed25519 or RSA public key (EC2 takes no others)";
    const WHOLE: &str =
        "the whole line of the public key, as in the file that ends with .pub (this one is cut short or damaged)";
    let line = line.trim();
    let mut words = line.split_whitespace();
    let (Some(kind), Some(key)) = (words.next(), words.next()) else { return Err(ONE_LINE) };
    if ![ED25519, RSA].contains(&kind) || line.contains('\n') {
        return Err(ONE_LINE);
    }
    let bytes = STANDARD.decode(key).map_err(|_| WHOLE)?;
    let mut rest = bytes.as_slice();
    if string(&mut rest) != Some(kind.as_bytes()) {
        return Err(WHOLE);
    }
    let whole = match kind {
        ED25519 => string(&mut rest).is_some_and(|point| point.len() == ED25519_BYTES),
        _ => {
            let (exponent, modulus) = (string(&mut rest), string(&mut rest));
            exponent.is_some_and(|exponent| !exponent.is_empty())
                && modulus.is_some_and(|modulus| RSA_BITS.contains(&bits(modulus)))
        }
    };
    if whole && rest.is_empty() { Ok(()) } else { Err(WHOLE) }
}

/// Takes one string off: four bytes of length, most significant first, and so many bytes.
fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let string = after.get(..length)?;
    *rest = after.get(length..)?;
    Some(string)
}

/// How many bits a positive number of several bytes has.
fn bits(number: &[u8]) -> usize {
    let significant = number.iter().skip_while(|byte| **byte == 0).count();
    let zeros = number.iter().find(|byte| **byte != 0).map_or(0, |byte| byte.leading_zeros() as usize);
    significant * 8 - zeros
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &str, parts: &[&[u8]]) -> String {
        let mut bytes = Vec::new();
        for part in std::iter::once(&kind.as_bytes()).chain(parts) {
            bytes.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
            bytes.extend(*part);
        }
        format!("{kind} {}", STANDARD.encode(bytes))
    }

    fn rsa(bits: usize) -> String {
        // A number whose first bit is set has a zero before it, because it is positive.
        line(RSA, &[&[1, 0, 1], &[&[0], vec![0xab; bits / 8].as_slice()].concat()])
    }

    #[test]
    fn whole_keys_of_both_kinds_are_good_with_and_without_a_comment() {
        let real = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIL8yNFHcVkVvm0CuEe8zWqkjXJcvCYQ0Dp0h3tmbxNqN";
        for good in [real.to_owned(), line(ED25519, &[&[7; 32]]), rsa(1024), rsa(2048), rsa(3072), rsa(4096)] {
            assert_eq!(check(&good), Ok(()), "{good}");
            assert_eq!(check(&format!("{good} operators@example.com of two words\n")), Ok(()), "{good}");
        }
    }

    #[test]
    fn a_key_from_which_any_characters_are_missing_is_refused() {
        for whole in [line(ED25519, &[&[7; 32]]), rsa(2048)] {
            let start = whole.find(' ').unwrap() + 1;
            for missing in 1..=40 {
                for at in [start, start + 9, start + 30, whole.len() - missing] {
                    let cut = format!("{}{}", &whole[..at], &whole[(at + missing).min(whole.len())..]);
                    assert!(check(&cut).is_err(), "{missing} at {at}: {cut}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_key_is_refused_with_what_is_needed() {
        for (bad, needed) in [
            (String::new(), "the one line"),
            ("ssh-ed25519".to_owned(), "the one line"),
            (line("ecdsa-sha2-nistp256", &[&[1; 65]]), "the one line"),
            (format!("{}\n{}", rsa(2048), rsa(2048)), "the one line"),
            ("ssh-ed25519 AAAA!".to_owned(), "the whole line"),
            (rsa(512), "the whole line"),
            (line(ED25519, &[&[7; 31]]), "the whole line"),
            (line(ED25519, &[&[7; 32], &[1]]), "the whole line"),
            // The two words contradict each other.
            (line(ED25519, &[&[7; 32]]).replace("ssh-ed25519 ", "ssh-rsa "), "the whole line"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----".to_owned(), "the one line"),
        ] {
            assert!(check(&bad).unwrap_err().starts_with(needed), "{bad}");
        }
        for length in 0..8 {
            // Lengths that lead after the end.
            let _no_panic = check(&format!("ssh-rsa {}", STANDARD.encode(vec![0xff; length])));
        }
    }
}
