//! What somebody may put into the world around the VPC: names that lead to servers of their own, and certificates for these.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// A name that machines and their containers find, and its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorldName {
    /// None of AWS's, in small letters.
    pub name: String,
    /// One of those that are for documentation (RFC 5737). Whoever listens at it does so in the cloud's network namespace.
    pub address: Ipv4Addr,
}

/// A certificate of the local authority and its key, which is in nobody's [`std::fmt::Debug`].
#[derive(Clone, Serialize, Deserialize)]
pub struct IssuedCertificate {
    /// PEM.
    pub certificate: String,
    /// PEM.
    pub key: String,
}
