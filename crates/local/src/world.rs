//! The world around the VPC: names with addresses of the network namespace, at which whoever rehearses something listens, and certificates
//! for such names.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use futuswarm_local_api::{IssuedCertificate, WorldName};
use tokio::sync::Mutex;

use crate::ca::Authority;
use crate::dnsmasq::Dnsmasq;
use crate::error::{Error, Result};
use crate::network::Network;

/// Domains of AWS, whose names are the local cloud's own.
const AWS: [&str; 2] = ["amazonaws.com", "compute.internal"];

pub struct World {
    network: Network,
    dnsmasq: Arc<Mutex<Dnsmasq>>,
    authority: Arc<Authority>,
    /// Addresses that are in the namespace because of this.
    placed: Mutex<BTreeSet<Ipv4Addr>>,
}

impl World {
    /// Nothing is there yet.
    pub fn new(network: Network, dnsmasq: Arc<Mutex<Dnsmasq>>, authority: Arc<Authority>) -> Self {
        Self { network, dnsmasq, authority, placed: Mutex::default() }
    }

    /// Replaces all names, with their addresses.
    ///
    /// # Errors
    /// When one may not be used; nothing is changed then.
    pub async fn replace(&self, names: Vec<WorldName>) -> Result<()> {
        names.iter().try_for_each(check)?;
        let names: BTreeMap<String, Ipv4Addr> = names.into_iter().map(|one| (one.name, one.address)).collect();
        let wanted: BTreeSet<Ipv4Addr> = names.values().copied().collect();
        let mut placed = self.placed.lock().await;
        let missing: Vec<Ipv4Addr> = wanted.difference(&placed).copied().collect();
        for address in missing {
            self.network.add_address(address).await?;
            placed.insert(address);
        }
        self.dnsmasq.lock().await.set_world(&names)?;
        let gone: Vec<Ipv4Addr> = placed.difference(&wanted).copied().collect();
        for address in gone {
            self.network.remove_address(address).await?;
            placed.remove(&address);
        }
        Ok(())
    }

    /// A new key, and a certificate for these names.
    ///
    /// # Errors
    /// When a name may not be used.
    pub fn issue(&self, names: &[String]) -> Result<IssuedCertificate> {
        names.iter().try_for_each(|name| check_name(name))?;
        let (certificate, key) = self.authority.issue(names)?;
        Ok(IssuedCertificate { certificate, key })
    }
}

fn check(one: &WorldName) -> Result<()> {
    check_name(&one.name)?;
    if one.address.is_documentation() {
        return Ok(());
    }
    Err(Error::Config(format!(
        "{} cannot be at {}, which may be the VPC's or AWS's: take an address for documentation (192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24)",
        one.name, one.address
    )))
}

fn check_name(name: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(plain);
    if name.len() > 253 || !name.contains('.') || !name.split('.').all(is_label) {
        return Err(Error::Config(format!("{name:?} is no full DNS name in small letters")));
    }
    let is_below = |domain: &str| name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    match AWS.into_iter().find(|domain| is_below(domain)) {
        Some(domain) => Err(Error::Config(format!("{name} is below {domain}, whose names are the local cloud's own"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, address: &str) -> WorldName {
        WorldName { name: name.to_owned(), address: address.parse().unwrap() }
    }

    #[test]
    fn names_of_the_world_take_nothing_from_the_vpc_and_from_aws() {
        for address in ["192.0.2.1", "198.51.100.7", "203.0.113.255"] {
            check(&one("login.company.example", address)).unwrap();
        }
        for address in ["10.62.0.5", "169.254.169.254", "127.0.0.1", "8.8.8.8", "203.0.114.1", "0.0.0.0"] {
            let refused = check(&one("login.company.example", address)).unwrap_err().to_string();
            assert!(refused.contains(address) && refused.contains("203.0.113.0/24"), "{refused}");
        }
        for name in ["s3.eu-west-1.amazonaws.com", "amazonaws.com", "ip-10-0-0-1.eu-west-1.compute.internal"] {
            let refused = check(&one(name, "203.0.113.1")).unwrap_err().to_string();
            assert!(refused.contains(name) && refused.contains("the local cloud's own"), "{refused}");
        }
        check_name("not-amazonaws.com").unwrap();
    }

    #[test]
    fn what_is_no_name_reaches_neither_the_name_server_nor_a_certificate() {
        let long = format!("{}.example", "x".repeat(64));
        for name in [
            "",
            "login",
            ".example",
            "login..example",
            "Login.example",
            "a b.example",
            "a.example\n203.0.113.9 b",
            "*.a.example",
            long.as_str(),
        ] {
            assert!(check_name(name).unwrap_err().to_string().contains("no full DNS name"), "{name:?}");
        }
    }
}
