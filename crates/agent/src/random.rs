//! Where secrets that the agent makes come from.

use crate::Error;

/// Bytes of the kernel's generator.
#[cfg(not(test))]
pub(crate) fn bytes() -> Result<[u8; 32], Error> {
    let mut bytes = [0; 32];
    let failed = |error: getrandom::Error| Error::Refused(format!("the kernel gives no random bytes: {error}"));
    getrandom::fill(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Bytes of the simulation's generator: a run of a seed is the same each time.
#[cfg(test)]
#[expect(clippy::unnecessary_wraps, reason = "as the one that may fail")]
pub(crate) fn bytes() -> Result<[u8; 32], Error> {
    let mut bytes = [0; 32];
    fastrand::fill(&mut bytes);
    Ok(bytes)
}
