//! Which Swarm an engine is in, by its own certificate: the engine of a worker does not say it.
//!
//! Swarm issues each node a certificate whose subject is `O=<Swarm's id>, OU=<role>, CN=<node's id>`
//! (<https://docs.docker.com/engine/swarm/how-swarm-mode-works/pki/>).

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Where Debian's dockerd keeps it.
pub(super) const PATH: &str = "/var/lib/docker/swarm/certificates/swarm-node.crt";
/// The object identifier 2.5.4.10 (organizationName) as DER has it.
const ORGANIZATION: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x0a];
/// DER's tags of UTF8String and PrintableString.
const TEXTS: [u8; 2] = [0x0c, 0x13];

/// The id of the Swarm that the certificate in this file is of; `None` when there is no such file, or it is no certificate.
pub(super) fn swarm_of(path: &Path) -> Option<String> {
    organization(&std::fs::read_to_string(path).ok()?)
}

/// The organisation in the first certificate of a PEM file. The issuer of Swarm's certificates has none.
fn organization(pem: &str) -> Option<String> {
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let der = STANDARD.decode(body.split_whitespace().collect::<String>()).ok()?;
    let at = der.windows(ORGANIZATION.len()).position(|window| window == ORGANIZATION)? + ORGANIZATION.len();
    let (tag, length) = (der.get(at)?, usize::from(*der.get(at + 1)?));
    // A longer length would take more bytes; ids have 25.
    if !TEXTS.contains(tag) || length > 127 {
        return None;
    }
    let text = der.get(at + 2..at + 2 + length)?;
    std::str::from_utf8(text).ok().filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `openssl` with the subject that Swarm gives to a worker, and its issuer.
    const WORKER: &str = include_str!("certificate/worker.crt");

    #[test]
    fn the_organisation_of_a_nodes_certificate_is_its_swarm() {
        assert_eq!(organization(WORKER).as_deref(), Some("ec2adilxf4ngv7ev8fwsi61i7"));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("swarm-node.crt");
        assert_eq!(swarm_of(&path), None, "an engine that never was in one");
        std::fs::write(&path, WORKER).unwrap();
        assert_eq!(swarm_of(&path).as_deref(), Some("ec2adilxf4ngv7ev8fwsi61i7"));
    }

    #[test]
    fn what_is_cut_off_or_something_else_says_nothing() {
        for length in 0..WORKER.len() - 30 {
            assert_eq!(organization(&WORKER[..length]), None, "{length}");
        }
        for text in [
            "",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----",
        ] {
            assert_eq!(organization(text), None, "{text}");
        }
        let body = |bytes: &[u8]| {
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(bytes))
        };
        for tail in [&[0x0c][..], &[0x0c, 5, b'a'], &[0x02, 1, 1], &[0x0c, 0x82, 1, 0], &[0x0c, 0]] {
            assert_eq!(organization(&body(&[&ORGANIZATION[..], tail].concat())), None, "{tail:?}");
        }
    }
}
