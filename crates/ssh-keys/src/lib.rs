//! SSH keys: which public keys may log in, and the cluster's authority, whose certificates tell a client that a host is a node of the
//! cluster.
//!
//! Nothing here reads, writes or draws random numbers: seeds, nonces and the time are arguments.

mod authority;
mod public;

pub use authority::{Authority, AuthorityError, HostCertificate, PRINCIPAL, VALIDITY};
pub use public::{KeyError, LEAST_RSA_BITS, PublicKey};
