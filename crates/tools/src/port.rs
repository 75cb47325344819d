//! A port for a program of the tree that is about to start.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that Linux gives to connections (`net.ipv4.ip_local_port_range`, from 32768): one of those is as likely as not to be
/// somebody's connection by the time that a program listens on it.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// The next one, counted from [`FIRST`]; `COUNT` before the first was asked for.
static NEXT: AtomicU16 = AtomicU16::new(COUNT);

/// A TCP port of 127.0.0.1 that nobody listens on, and that this process does not get twice.
///
/// # Errors
/// When the system allows no listening, or all ports are taken.
pub fn free_port() -> std::io::Result<u16> {
    // Other processes that do the same at this time begin elsewhere.
    let begin = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(COUNT)).unwrap_or_default();
    let _somebody_has_begun = NEXT.compare_exchange(COUNT, begin, Ordering::Relaxed, Ordering::Relaxed);
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrInUse);
    for _ in 0..COUNT {
        let next = |next: u16| Some((next + 1) % COUNT);
        let port = FIRST + NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_default();
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_nobody_listens) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn nobody_is_given_a_port_twice_or_one_that_is_taken() {
        let mut ports = BTreeSet::new();
        let mut taken = Vec::new();
        for _ in 0..100 {
            let port = free_port().unwrap();
            assert!((FIRST..FIRST + COUNT).contains(&port) && ports.insert(port), "{port}");
            if let Ok(listener) = TcpListener::bind(("127.0.0.1", port + 1)) {
                taken.push((port + 1, listener));
            }
        }
        assert!(taken.iter().all(|(port, _)| !ports.contains(port)), "{taken:?}");
    }
}
