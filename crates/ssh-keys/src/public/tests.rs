//! Keys that ssh-keygen made, and what people paste by mistake.

use super::*;

// Made with ssh-keygen; the fingerprints are what `ssh-keygen -l` says of them.
const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIFaGyyoLbAHgsqiR1shjva05Y1DwEfmDxtX8/zc5Tad";
const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBMSjgnhackHHtp3xZeykv0kiWUnDI4RfTXZYusiPo404L2rY+LLr2JEmhS7CQYHTdnUJkkZRDeDIxa/+H7np/AY=";
const ECDSA_521: &str = "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBACot01DX24psd2IidzXeY/DQSuxtNkFSSaud7xbYf+q36NFoMLwXOwHKO5GOR5+NHnQQwZS2PZbRMHunmbDVAUTTQBKAX1y+eq23lUTDsDwK+UhOmI2lXxb21Wwo79GjSNKAvu7S1tj5vLhwk1pSDcX2IIK1Rh3amTE8U9ZjmYFxPPUGA==";
const RSA_2048: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCtFh3RlOh4UELu6vRey2GDN0YnBY2qPrrr3azBAL/76Wv/ay5ZfcpE0waWwQfpUsmzWZ/OGa7jJFqr/S1D2yVSxQwOMny9qR93GSTmw7M8383pHqUQQS3axwm+QXRZTl2BScQKfjaw07KHNOF352IKzfPRuvJbXOigiI7T4+iguV+BuCyaxGdtEf/NT2MsN2ygsh25fXC4d5g4/wZi3Xy4XHvDE82PeuDigyh0eUk/jHI6zpBp5tnKrIldnMZTtPzqfVq3OICOq6OX3xqFPB/jJrssy5+1YrPwck7087uDcMaefQ+4cOFjoqh8f3lcs2QHjtoYBI2Iacgnak/XYJOZ";
const RSA_3072: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQDw7pXOq8wW62LDzM1rOJzfwpgTE5w8nySDV4qOrCW/BNc2g4EUeBbu/G35cJco0yKl+H6l8rQFNtI1tvftaySxmj1FZK58uiHZhNPM1fZjNLfg7AK8y0d2VpljskenBG2lgbFpBDfT0KDlGw8ZTgBuHLdqI0jb27rntWK/U7TsVQc3fJW0EV/llJ0QVhIhjsXDpFSsjVv8+QNzjxazdTQK1r+mtL1QecKbVaJK/EpUXp96vUaFxeiO2Y63RTBKsSY4vOEXGWanFMWrNGaWqXaTlUfqfXZoWx0SREyKhAgACmDJ9MnBUzTR8gtsDv1MGp0C29oF2AnzliM3IKiRPJOfLRPxZWwL5eAGmg6d/ZIZgMN3X9JiqKQiQ/B1vd1re/4+sJ3Kj1IhaeVnYvBjGj9u4HC+gtHFVLVgWuZ/Z2D88ZKeqkADEH7LRvZFLQWDgudXWbWx2UTt9YSixxh2Uebs+1wp49y+Az01L9dbPeTdTvyPEL2lyp+MCbGT6Wy/+NM=";

#[test]
fn keys_of_people_are_read_with_the_fingerprints_that_ssh_keygen_shows() {
    for (key, fingerprint) in [
        (ED25519, "SHA256:Th3mp0gUEoehjvZrUO4p0J4cumnCBPVv/K/oShrEM6E"),
        (ECDSA, "SHA256:o6NNgmF+jxawMJOM+fahQZYzMmBWxFq1XItS7rSyLEk"),
        (ECDSA_521, "SHA256:gyjTNmr/Fn7TETTvxodOWyiI5e3m473jFPanBmpsC1s"),
        (RSA_3072, "SHA256:l3W1rHfIUCH61GKL+0++VdLVIqPVMHRFTCUEROShkBk"),
    ] {
        let read = PublicKey::parse(key).unwrap();
        assert_eq!((read.line(), read.fingerprint().as_str()), (key, fingerprint));
        assert_eq!(read.hash().len(), 64);
    }
}

#[test]
fn one_key_has_one_form_whatever_is_around_it() {
    let read = PublicKey::parse(ED25519).unwrap();
    for text in [
        format!("{ED25519} jane@laptop with \"quotes\"\n"),
        format!("\u{feff}  {ED25519}\r\n"),
        ED25519.replacen(' ', "\t  ", 1),
    ] {
        assert_eq!(PublicKey::parse(&text).unwrap(), read, "{text:?}");
    }
}

#[test]
fn a_key_of_a_security_key_is_taken() {
    let word = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let kind = "sk-ssh-ed25519@openssh.com";
    let blob = [word(kind.as_bytes()), word(&[9; 32]), word(b"ssh:")].concat();
    let line = format!("{kind} {}", ssh_key_base64(&blob));
    assert_eq!(PublicKey::parse(&line).unwrap().line(), line);
}

/// RFC 4648, with padding.
fn ssh_key_base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = (0..3).fold(0u32, |bits, at| bits << 8 | u32::from(three.get(at).copied().unwrap_or(0)));
        (0..4)
            .map(|at| match at <= three.len() {
                true => char::from(DIGITS[(bits >> (18 - 6 * at) & 63) as usize]),
                false => '=',
            })
            .collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

#[test]
fn what_must_not_log_in_is_refused_with_a_reason() {
    let cut = &ED25519[..ED25519.len() - 8];
    let two = format!("{ED25519}\n{ECDSA}");
    let swapped = ED25519.replacen("ssh-ed25519", "ssh-rsa", 1);
    let long = format!("{ED25519} {}", "x".repeat(10_000));
    let options = format!("command=\"/bin/sh\" {ED25519}");
    let private = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----";
    for (text, reason) in [
        ("", "it is empty"),
        (" \n", "it is empty"),
        (private, "it is a private key"),
        ("PuTTY-User-Key-File-3: ssh-ed25519", "it is a private key"),
        (&two, "several lines"),
        (&long, "longer than any"),
        (&options, "begins with options"),
        ("restrict", "begins with options"),
        ("hello world", "begins with options"),
        ("ssh-ed25519", "nothing follows its type"),
        ("ssh-ed25519 🦀", "it is damaged"),
        (cut, "it is damaged"),
        (&swapped, "it is damaged"),
        (RSA_2048, "an RSA key of 2048 bits, and 3072 are the least"),
        ("ssh-dss AAAAB3NzaC1kc3MAAACBAP", "keys of the type ssh-dss are not taken"),
        ("ssh-ed25519-cert-v01@openssh.com AAAA", "are not taken"),
    ] {
        let error = PublicKey::parse(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{text:?}: {error}");
        assert!(!error.contains("b3BlbnNzaC1rZXk"), "no error repeats what may be a private key");
    }
}
