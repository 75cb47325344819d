//! The measures that need no cloud, by the program as `cargo xtask bench` runs it. Those of the edge need root and the tools tree.

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

/// No figure is held against another: the machine may be busy, and the tests are beside each other.
#[test]
fn the_edge_and_a_configuration_by_hand_answer_every_request() {
    let load = measured(&["edge", "load", "--rounds", "1", "--seconds", "1", "--connections", "4"]);
    for side in ["ours", "by_hand", "by_hand_closing"] {
        for key in ["requests_per_second", "processor_us", "busy", "p99_us"] {
            assert!(load[side][key].as_f64().unwrap() > 0.0, "{side} {key}: {load}");
        }
    }
    for key in ["rate_ratio", "p99_ratio", "processor_ratio", "paced_per_second"] {
        assert!(load[key].as_f64().unwrap() > 0.0, "{key}: {load}");
    }
    assert!(load["saturated"].is_boolean(), "{load}");
}

#[test]
fn services_of_the_edge_are_rendered_checked_loaded_and_reached() {
    let services = measured(&["edge", "services", "--count", "20", "--rounds", "2"]);
    assert_eq!((&services["services"], &services["lost"]), (&20.into(), &0.into()), "{services}");
    for key in ["asked", "render_ms", "check_seconds", "reload_seconds", "memory_mib", "by_hand_memory_mib"] {
        assert!(services[key].as_f64().unwrap() > 0.0, "{key}: {services}");
    }
}
