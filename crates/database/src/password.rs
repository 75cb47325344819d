//! Passwords of roles, and what the server is told in their place.

use futuswarm_secret::Secret;

use crate::Error;

/// Letters that need no quoting in a URL, a shell or SQL.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
/// 192 bits.
const LENGTH: usize = 32;

/// A new password.
///
/// # Errors
/// When the machine has no randomness.
pub fn password() -> Result<Secret, Error> {
    let mut bytes = [0; LENGTH];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::NoRandomness)?;
    // 64 letters, so that every byte gives each of them equally often.
    Ok(Secret::new(bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 64)])).collect()))
}

/// What the server keeps of a password (RFC 5803, SCRAM-SHA-256). It is made here and sent in the password's place: what the server
/// writes into its log opens nothing.
#[must_use]
pub fn verifier(password: &Secret) -> String {
    postgres_protocol::password::scram_sha_256(password.expose().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_differ_and_need_no_quoting() {
        let (one, other) = (password().unwrap(), password().unwrap());
        assert_ne!(one.expose(), other.expose());
        for password in [&one, &other] {
            assert_eq!(password.expose().len(), LENGTH);
            assert!(password.expose().bytes().all(|letter| LETTERS.contains(&letter)));
        }
    }

    #[test]
    fn a_verifier_has_the_form_that_the_server_knows_and_nothing_of_the_password() {
        let secret = Secret::new("correct-horse".to_owned());
        let (one, other) = (verifier(&secret), verifier(&secret));
        assert!(one.starts_with("SCRAM-SHA-256$4096:") && !one.contains("horse"), "{one}");
        assert_ne!(one, other, "each has a salt of its own");
    }
}
