//! What sshd is told of known, unknown, expired and shared keys, and of names that try to end the quotes.

use std::collections::BTreeSet;

use futuswarm_node_files::{LoginKeys, LoginToken};

use super::*;

const JANE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIFaGyyoLbAHgsqiR1shjva05Y1DwEfmDxtX8/zc5Tad";
const CI: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBMSjgnhackHHtp3xZeykv0kiWUnDI4RfTXZYusiPo404L2rY+LLr2JEmhS7CQYHTdnUJkkZRDeDIxa/+H7np/AY=";
const NOW: u64 = 1_760_000_000_000;

fn logins(user: &str, app: &str, token: &str) -> Logins {
    let mut logins = Logins { written_at: NOW, ..Logins::default() };
    logins.users.insert(user.to_owned(), LoginKeys { keys: BTreeSet::from([JANE.to_owned()]) });
    let hash = PublicKey::parse(CI).unwrap().hash();
    logins.tokens.insert(hash, LoginToken { app: app.to_owned(), name: token.to_owned(), expires_at: NOW + 1 });
    logins
}

fn ask(logins: &Logins, key: &str, now: u64) -> Result<Option<String>, Refusal> {
    let (kind, key) = key.split_once(' ').unwrap();
    line(logins, kind, key, now)
}

#[test]
fn a_key_gets_the_session_of_its_owner_and_nothing_else() {
    let logins = logins("jane.doe", "hello", "ci-1");
    let session = |argument: &str, key: &str| {
        let hash = PublicKey::parse(key).unwrap().hash();
        format!("restrict,command=\"/usr/bin/futuswarm-node session {argument} --key {hash}\" {key}")
    };
    assert_eq!(ask(&logins, JANE, NOW).unwrap().unwrap(), session("--user jane.doe", JANE));
    assert_eq!(ask(&logins, CI, NOW).unwrap().unwrap(), session("--token hello/ci-1", CI));
    assert_eq!(ask(&Logins::default(), JANE, NOW), Ok(None), "nobody's");
}

#[test]
fn what_is_no_key_lets_nobody_in() {
    let logins = logins("jane", "hello", "ci");
    let (_, blob) = JANE.split_once(' ').unwrap();
    for (kind, key) in [
        ("", ""),
        ("ssh-ed25519", ""),
        ("ssh-rsa", blob),
        ("ssh-ed25519", &blob[..20]),
        ("restrict", blob),
        ("ssh-ed25519\n", blob),
        ("ssh-ed25519", "\0"),
    ] {
        assert_eq!(line(&logins, kind, key, NOW), Ok(None), "{kind:?} {key:?}");
    }
}

#[test]
fn an_expired_token_and_a_key_of_two_are_refused() {
    let mut logins = logins("jane", "hello", "ci");
    assert_eq!(
        ask(&logins, CI, NOW + 1).unwrap_err().to_string().split(';').next(),
        Some("the token ci of hello has expired")
    );
    logins.users.insert("joe".to_owned(), LoginKeys { keys: BTreeSet::from([JANE.to_owned(), CI.to_owned()]) });
    for (key, owners) in [(JANE, "jane and to joe"), (CI, "joe and to the token ci of hello")] {
        let error = ask(&logins, key, NOW).unwrap_err().to_string();
        assert!(error.contains(owners) && error.contains("SHA256:"), "{error}");
    }
}

#[test]
fn no_name_breaks_out_of_the_quotes() {
    for evil in
        ["a\" ssh-rsa", "a\\", "$(reboot)", "a b", "a\nssh-ed25519 AAAA", "a;b", "--user", "", "Ä", "a/b", "`x`"]
    {
        let user = ask(&logins(evil, "hello", "ci"), JANE, NOW);
        assert!(matches!(user, Err(Refusal::Name(_))), "{evil:?}: {user:?}");
        for logins in [logins("jane", evil, "ci"), logins("jane", "hello", evil)] {
            assert!(matches!(ask(&logins, CI, NOW), Err(Refusal::Name(_))), "{evil:?}");
        }
    }
}
