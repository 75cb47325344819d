//! The measures that need nothing but memory, by the program as `cargo xtask bench` runs it.

use std::process::Command;

use serde_json::Value;

fn measured(words: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_futuswarm-bench")).args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_list_of_apps_takes_the_asker_the_index_and_a_line_of_the_audit() {
    let list = measured(&["list", "--apps", "20", "--releases", "2", "--milliseconds", "20"]);
    assert_eq!((&list["apps"], &list["requests"]), (&20.into(), &3.into()), "{list}");
    let milliseconds = list["milliseconds"].as_f64().unwrap();
    assert!(milliseconds > 40.0, "two requests, of 20 ms each, come before the answer: {list}");
}

#[test]
fn a_request_is_answered_as_often_as_it_is_asked() {
    let dispatch = measured(&["dispatch", "--requests", "20"]);
    let milliseconds = |key: &str| dispatch[key].as_f64().unwrap();
    assert_eq!(dispatch["requests"], 20);
    assert!(0.0 < milliseconds("median_ms") && milliseconds("median_ms") <= milliseconds("slowest_ms"), "{dispatch}");
}
