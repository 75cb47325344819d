//! Certificates, read by the library and by ssh-keygen itself.

use std::process::Command;

use super::*;

/// That of a host, made with `ssh-keygen -t ed25519`.
const HOST: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIFaGyyoLbAHgsqiR1shjva05Y1DwEfmDxtX8/zc5Tad root@i-0123456789abcdef0";
const NOW: u64 = 1_760_000_000;

fn authority() -> Authority {
    Authority::from_seed(&[7; 32], "prod")
}

#[test]
fn an_authority_survives_being_sealed() {
    let (first, text) = (authority(), authority().private().unwrap());
    let second = Authority::from_private(&text).unwrap();
    assert_eq!(first.public().unwrap(), second.public().unwrap());
    assert!(first.public().unwrap().starts_with("ssh-ed25519 AAAA"));
    assert_eq!(first.public().unwrap().split(' ').count(), 2, "no comment");
    let cut = text.expose()[..text.expose().len() / 2].to_owned();
    for damaged in [String::new(), cut, "x".to_owned()] {
        let error = Authority::from_private(&Secret::new(damaged)).err().unwrap().to_string();
        assert!(error.starts_with("the private key of the cluster's SSH authority cannot be used: "), "{error}");
    }
}

#[test]
fn a_certificate_is_renewed_in_its_second_half_and_when_anything_about_it_is_another() {
    let (authority, other) = (authority(), Authority::from_seed(&[8; 32], "prod"));
    let text = authority.certify(HOST, "i-1", [1; 32], NOW).unwrap();
    let (public, another) = (authority.public().unwrap(), other.public().unwrap());
    let certificate = HostCertificate::parse(&text).unwrap();
    assert_eq!(certificate.valid_before(), NOW + 30 * 86_400);
    let days = |days: u64| NOW + days * 86_400;
    for (now, current) in [(NOW, true), (days(14), true), (days(16), false), (days(31), false), (NOW - 7200, false)] {
        assert_eq!(certificate.is_current(&public, HOST, now), current, "{now}");
    }
    assert!(!certificate.is_current(&another, HOST, NOW), "of another authority");
    assert!(!certificate.is_current(&public, &another, NOW), "of another host key: a node has started again");
    for text in ["", "x", HOST, &text[..text.len() / 2]] {
        assert!(HostCertificate::parse(text).is_none(), "{text}");
    }
}

#[test]
fn only_ed25519_is_certified() {
    for host in ["", "ssh-rsa AAAA", "ssh-ed25519", "ssh-ed25519 AAAA"] {
        let error = authority().certify(host, "i-1", [1; 32], NOW).unwrap_err();
        assert!(matches!(error, AuthorityError::Host(_)), "{error}");
    }
}

#[test]
fn openssh_reads_the_certificate_and_the_authority() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, public) = (dir.path().join("host-cert.pub"), dir.path().join("ca.pub"));
    std::fs::write(&certificate, authority().certify(HOST, "i-0123456789abcdef0", [1; 32], NOW).unwrap()).unwrap();
    std::fs::write(&public, authority().public().unwrap()).unwrap();
    let keygen = |path: &std::path::Path, how: &str| {
        let mut command = Command::new("ssh-keygen");
        let output = command.arg(how).arg("-f").arg(path).env("TZ", "UTC").env("LC_ALL", "C").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let shown = keygen(&certificate, "-L");
    for line in [
        "Type: ssh-ed25519-cert-v01@openssh.com host certificate",
        "Key ID: \"i-0123456789abcdef0\"",
        "Valid: from 2025-10-09T07:53:20 to 2025-11-08T08:53:20",
        &format!("Signing CA: ED25519 {} (using ssh-ed25519)", authority().fingerprint()),
        "Critical Options: (none)",
        "Extensions: (none)",
    ] {
        assert!(shown.contains(line), "{line} is missing in:\n{shown}");
    }
    let principals: Vec<&str> =
        shown.lines().skip_while(|line| !line.contains("Principals:")).skip(1).take(1).collect();
    assert_eq!(principals[0].trim(), PRINCIPAL);
    assert!(keygen(&public, "-l").contains(&authority().fingerprint()));
}
