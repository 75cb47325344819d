//! What an edit of a config comes to.

use super::*;

fn found(values: &[(&str, &[u8])]) -> Values {
    Values {
        app: "hello".to_owned(),
        kind: CONFIG,
        version: Some("v".to_owned()),
        values: values.iter().map(|(key, value)| ((*key).to_owned(), Some(Value::from(value.to_vec())))).collect(),
    }
}

#[test]
fn what_is_shown_is_read_back_as_it_was() {
    let values: [(&str, &[u8]); 4] =
        [("A", b"plain"), ("B", "quote \" newline \n $HOME 🦀 # = @".as_bytes()), ("C", b""), ("D", &[0xff, 0])];
    let text = render(&found(&values));
    assert!(text.contains("# D: 2 bytes that are no text"), "{text}");
    let change = difference(&found(&values), &text).unwrap();
    assert!(change.set.is_empty() && change.unset.is_empty(), "{change:?}");
}

#[test]
fn only_what_was_edited_is_sent_and_what_is_no_text_stays() {
    let found = found(&[("A", b"1"), ("B", b"2"), ("C", b"3"), ("D", &[0xff])]);
    let change = difference(&found, "A=1\nB=22\nE=5\n").unwrap();
    assert_eq!(change.set.keys().collect::<Vec<_>>(), ["B", "E"]);
    assert_eq!(change.unset, BTreeSet::from(["C".to_owned()]));
}

#[test]
fn an_edit_that_cannot_be_read_says_where() {
    let reasons = difference(&found(&[]), "A=1\nno line\n1X=2\n").unwrap_err();
    assert!(reasons.contains("line 2") && reasons.contains("line 3"), "{reasons}");
}
