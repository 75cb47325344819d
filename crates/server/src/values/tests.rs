//! Changes of config and secrets: what is kept, what is refused, and that no message has a value in it.

use super::*;

fn content(entries: &[(&str, &[u8])]) -> Content {
    entries.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())).collect()
}

fn change(set: &[(&str, &[u8])], unset: &[&str], replace: bool) -> Change {
    Change { set: content(set), unset: unset.iter().map(|key| (*key).to_owned()).collect(), replace }
}

#[test]
fn what_is_not_named_stays_unless_all_is_replaced() {
    let before = content(&[("A", b"1"), ("B", b"2"), ("C", b"3")]);
    let after = changed(Kind::Config, &before, &change(&[("A", b"9")], &["C", "never there"], false)).unwrap();
    assert_eq!(after, content(&[("A", b"9"), ("B", b"2")]));
    let after = changed(Kind::Config, &before, &change(&[("A", b"9")], &[], true)).unwrap();
    assert_eq!(after, content(&[("A", b"9")]));
    let expected = [("A", "changed"), ("B", "removed"), ("C", "removed")];
    assert_eq!(differences(&before, &after), expected.map(|(key, how)| (key.to_owned(), how.to_owned())).into());
}

#[test]
fn the_limits_of_values_are_those_that_developers_read() {
    let document = include_str!("../../../../docs/apps.md");
    let document = document.split_whitespace().collect::<Vec<_>>().join(" ");
    let (entry, one, all) = (futuswarm_paas::config::LONGEST_ENTRY >> 10, LONGEST_SECRET >> 10, LARGEST_SECRETS >> 20);
    for words in [
        format!("An entry of config has less than {entry} KiB, name and value together."),
        format!("A secret has {one} KiB at most, and all secrets of an app {all} MiB."),
    ] {
        assert!(document.contains(&words), "docs/apps.md does not say {words:?}");
    }
}

#[test]
fn strange_values_stay_what_they_are() {
    let before = Content::new();
    for value in ["@/etc/passwd", "/root/.aws/credentials", "a\nb", "\"quoted\"", "a=b=c", "🦀", "", " "] {
        let after = changed(Kind::Config, &before, &change(&[("KEY", value.as_bytes())], &[], false)).unwrap();
        assert_eq!(after["KEY"], value.as_bytes(), "{value:?}");
    }
}

#[test]
fn what_no_environment_can_hold_is_refused_without_its_value() {
    let long = vec![b'x'; 1 << 20];
    for (key, value) in [
        ("KEY", b"hush\0".as_slice()),
        ("KEY", b"hush\xff".as_slice()),
        ("KEY", long.as_slice()),
        ("1KEY", b"hush".as_slice()),
        ("K Y", b"hush".as_slice()),
        ("", b"hush".as_slice()),
        ("FUTUSWARM_APP", b"hush".as_slice()),
    ] {
        let refused = changed(Kind::Config, &Content::new(), &change(&[(key, value)], &[], false)).unwrap_err();
        assert!(!refused.to_string().contains("hush"), "{refused}");
    }
}

#[test]
fn secrets_are_any_bytes_up_to_what_the_swarm_keeps() {
    let kind = Kind::Secrets;
    let set = |value: &[u8]| changed(kind, &Content::new(), &change(&[("KEY", value)], &[], false));
    assert_eq!(set(&[0, 0xff, b'\n']).unwrap()["KEY"], [0, 0xff, b'\n']);
    assert!(set(&vec![b'x'; LONGEST_SECRET]).is_ok());
    assert!(set(&vec![b'x'; LONGEST_SECRET + 1]).is_err());
    assert!(set(b"").is_err());
}

#[test]
fn secrets_are_called_as_files_are_and_no_name_leads_anywhere() {
    let set = |key: &str| changed(Kind::Secrets, &Content::new(), &change(&[(key, b"hush")], &[], false));
    for key in ["KEY", "tls.key", "id-rsa", "_key", "1st", "a..b", &"k".repeat(64)] {
        assert_eq!(set(key).unwrap()[key], b"hush", "{key}");
        let config = changed(Kind::Config, &Content::new(), &change(&[(key, b"hush")], &[], false));
        assert_eq!(config.is_ok(), !key.contains(['.', '-', '1']), "a variable is called otherwise: {key}");
    }
    for key in [
        "",
        ".",
        "..",
        ".hidden",
        "-rf",
        "a/b",
        "../a",
        "a b",
        "a\0",
        "a\n",
        "schlüssel",
        "FUTUSWARM_X",
        &"k".repeat(65),
    ] {
        let refused = set(key).unwrap_err();
        assert!(!refused.to_string().contains("hush"), "{refused}");
    }
}

#[test]
fn a_replacement_by_nothing_and_a_change_of_nothing_are_none() {
    let check = |wanted: Change| wanted.check("hello", Kind::Config);
    let refused = check(change(&[], &[], true)).unwrap_err().to_string();
    assert!(refused.contains("nothing was changed") && refused.contains("config:unset -a hello KEY"), "{refused}");
    assert!(check(change(&[], &[], false)).is_err());
    assert!(check(change(&[("1BAD", b"x")], &[], false)).is_err());
    assert!(check(change(&[("A", b"x")], &[], true)).is_ok());
    assert!(check(change(&[], &["A"], false)).is_ok());
}

#[test]
fn a_file_of_lines_is_read_and_what_was_said_beside_it_counts() {
    let set = BTreeMap::from([("A".to_owned(), Value::from("said".to_owned()))]);
    let file = Value::from("A=file\nB='two\nlines'\n".to_owned());
    let content = super::content(set, Some(file)).unwrap();
    assert_eq!(content, self::content(&[("A", b"said"), ("B", b"two\nlines")]));
    let refused = super::content(BTreeMap::new(), Some(Value::from("A=1\nhush hush\n".to_owned()))).unwrap_err();
    assert!(refused.to_string().contains("line 2") && !refused.to_string().contains("hush"), "{refused}");
}
