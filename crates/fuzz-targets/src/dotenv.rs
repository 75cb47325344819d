//! Dotenv files, which the control service reads as they were sent.

use std::collections::BTreeSet;

use futuswarm_paas::config::dotenv::{parse, render};
use futuswarm_paas::config::{Change, LARGEST_CONFIG, LONGEST_ENTRY, Values, changed, check_key};

pub(crate) const WORDS: &[&[u8]] = &[
    b"KEY=",
    b"export ",
    b"\n",
    b"\r\n",
    b" #",
    b"\t#",
    b"'",
    b"\"",
    b"\\\"",
    b"\\n",
    b"\\$",
    b"=",
    b"\xef\xbb\xbf",
    b"FUTUSWARM_",
    b"\0",
    "🦀=ä".as_bytes(),
    b"A='\n'\nA=1",
];

/// The text of a file.
pub fn dotenv(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let lines = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let values = match parse(text) {
        Ok(values) => values,
        Err(errors) => {
            assert!(!errors.is_empty(), "a refusal without a reason");
            for error in &errors {
                assert!((1..=lines).contains(&error.line), "line {} of {lines}", error.line);
                assert!(!error.reason.is_empty() && error.reason.len() < 300, "{error}");
            }
            assert!(errors.len() <= lines, "{} reasons for {lines} lines", errors.len());
            return false;
        }
    };
    let length: usize = values.iter().map(|(key, value)| key.len() + value.len()).sum();
    assert!(length <= text.len(), "{length} bytes out of {}", text.len());
    for key in values.keys() {
        assert!(check_key(key).is_ok(), "{key:?}");
    }
    let written = render(&values);
    match parse(&written) {
        Ok(again) => assert!(again == values, "it comes back otherwise: {written:?}"),
        Err(errors) => panic!("what was written cannot be read: {errors:?}: {written:?}"),
    }
    limits(&values);
    true
}

/// A config takes all of it or nothing, and then no more than a task could start with.
fn limits(values: &Values) {
    let change = Change { set: values.clone(), unset: BTreeSet::new() };
    let Ok(after) = changed(&Values::new(), &change) else { return };
    assert!(after == *values, "a config has other values than it was given");
    assert!(after.iter().all(|(key, value)| key.len() + value.len() < LONGEST_ENTRY && !value.contains('\0')));
    assert!(after.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() <= LARGEST_CONFIG);
}
