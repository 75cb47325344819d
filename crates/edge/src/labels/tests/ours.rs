//! Labels that are not Docker Flow Proxy's: what they become, and what the document says of them.

use super::*;
use crate::rules::{Limits, Maintenance};

/// Labels of a service that is served, and these of our own.
fn with(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    let mut all = labels(&[]);
    all.extend(pairs.iter().map(|(name, value)| (format!("{OUR_PREFIX}{name}"), (*value).to_owned())));
    all
}

fn rules(pairs: &[(&str, &str)]) -> Result<crate::Rules, LabelError> {
    request(&with(pairs)).map(|request| request.unwrap().destinations.remove(0).rules)
}

/// The cells of the document's rows: name, what counts otherwise, limits.
fn rows() -> Vec<[Vec<String>; 3]> {
    let code = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let lines = include_str!("../../../../../docs/routing.md").lines();
    let lines = lines.filter(|line| line.starts_with(&format!("| `{OUR_PREFIX}")));
    let cells = lines.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        let [name, otherwise, limits, _] = cells[..] else { panic!("{line} has not four cells") };
        [name, otherwise, limits].map(code)
    });
    cells.collect()
}

/// The row's cells of a label, behind its name.
fn row(name: &str) -> [Vec<String>; 2] {
    let rows = rows();
    let found = rows.into_iter().find(|[names, ..]| names[0] == format!("{OUR_PREFIX}{name}"));
    let [_, otherwise, limits] = found.unwrap();
    [otherwise, limits]
}

#[test]
fn the_document_has_a_row_for_every_label_of_our_own() {
    let told: Vec<String> = rows().into_iter().map(|[names, ..]| names.concat()).collect();
    assert_eq!(told, own::NAMES.map(|name| format!("{OUR_PREFIX}{name}")));
}

#[test]
fn maintenance_is_on_or_off_and_has_a_sentence() {
    assert_eq!(rules(&[]).unwrap().maintenance, None);
    for (pairs, expected) in [
        (&[("maintenance", "false"), ("maintenanceText", "Back at 14:00.")][..], None),
        (&[("maintenanceText", "Back at 14:00.")][..], None),
        (&[("maintenance", "true")][..], Some(None)),
        (&[("maintenance", "TRUE"), ("maintenanceText", " it's ö, 100% ")][..], Some(Some("it's ö, 100%"))),
    ] {
        let expected = expected.map(|text: Option<&str>| Maintenance { text: text.map(str::to_owned) });
        assert_eq!(rules(pairs).unwrap().maintenance, expected, "{pairs:?}");
    }
    let [otherwise, limits] = row("maintenance");
    assert_eq!(rules(&[("maintenance", &otherwise[0])]), rules(&[]));
    assert!(limits.iter().all(|value| rules(&[("maintenance", value)]).is_ok()), "{limits:?}");
    let long = |count: usize| rules(&[("maintenanceText", &"ö".repeat(count))]);
    assert!(long(200).is_ok() && long(201).is_err());
    for bad in ["<b>", "a > b", "a & b", "\"a\"", "a\\b"] {
        let error = rules(&[("maintenanceText", bad)]).unwrap_err();
        assert_eq!(error.label, "com.futuswarm.maintenanceText", "{bad}");
    }
    assert!(rules(&[("maintenance", "later")]).unwrap_err().reason.contains("`true` or `false`"));
}

#[test]
fn limits_have_their_labels_and_limits_themselves() {
    let all = [("connections", "10"), ("requestRate", "20"), ("bodySize", "3 MiB"), ("timeoutConnect", "4")];
    let rules_of_all = rules(&all).unwrap();
    let limits = Limits { connections: Some(10), request_rate: Some(20), body_size: Some(3 << 20) };
    assert_eq!((rules_of_all.limits, rules_of_all.timeout_connect), (limits, Some(4)));
    for (size, bytes) in [("1KiB", 1 << 10), ("512 MiB", 512 << 20), (" 100 GiB ", 100 << 30)] {
        assert_eq!(rules(&[("bodySize", size)]).unwrap().limits.body_size, Some(bytes), "{size}");
    }
    for (name, beyond) in [
        ("connections", &["0", "3001", "-1", "1.5", "many", "99999999999"][..]),
        ("requestRate", &["0", "100001", "10/s"][..]),
        ("bodySize", &["0 KiB", "101 GiB", "1024", "10 MB", "10 mib", "MiB", "1.5 GiB", "-1 KiB", "1 KiB 2"][..]),
        ("bodySize", &["99999999999999999999 GiB", "18446744073709551615 GiB", "\u{661} MiB"][..]),
        ("timeoutConnect", &["0", "61", "5s"][..]),
    ] {
        let [_, told] = row(name);
        assert_eq!(told.len(), 2, "the least and the most of {name}");
        for value in &told {
            assert!(rules(&[(name, value)]).is_ok(), "{name} = {value}");
        }
        for value in beyond {
            let error = rules(&[(name, value)]).unwrap_err();
            assert_eq!(error.label, format!("{OUR_PREFIX}{name}"), "{value}");
            // The most that is possible is told to who asked for more.
            assert!(error.reason.contains(told[1].as_str()), "{name} = {value}: {error}");
        }
    }
}

#[test]
fn labels_of_our_own_are_known_or_refused_by_their_names() {
    for name in own::NAMES {
        for hostile in HOSTILE {
            let error = rules(&[(name, hostile)]).unwrap_err();
            assert_eq!(error.label, format!("{OUR_PREFIX}{name}"), "{hostile:?}");
            assert!(!error.to_string().contains(['\n', '\0', '\r']), "{error}");
        }
        let capital = name.to_ascii_uppercase();
        let error = rules(&[(&capital, "true")]).unwrap_err();
        assert!(error.reason.ends_with(&format!("it is written com.futuswarm.{name}")), "{error}");
        assert!(rules(&[(name, " ")]).is_ok(), "one that says nothing is no label");
        for numbered in [format!("{name}.1"), format!("{name}.11")] {
            let error = rules(&[(&numbered, "true")]).unwrap_err();
            assert!(error.reason.contains("without a gap"), "{numbered}: {error}");
        }
    }
    for unknown in ["", ".", "canary", "maintenance.0", "maintenance.01", "maintenance.1.1", "maintenance.300"] {
        let error = rules(&[(unknown, "true")]).unwrap_err();
        assert_eq!((error.label, error.value), (format!("com.futuswarm.{unknown}"), None));
        assert!(error.reason.contains("remove it"), "{}", error.reason);
    }
    let mut off = with(&[("canary", "x\n")]);
    off.insert("com.df.notify".to_owned(), "false".to_owned());
    assert_eq!(request(&off), Ok(None), "nothing of a service that is not served is read");
}

#[test]
fn a_destination_has_labels_of_its_own() {
    let mut all = labels(&[("port.1", "1"), ("port.2", "2"), ("servicePath.2", "/api")]);
    all.insert("com.futuswarm.maintenance".to_owned(), "true".to_owned());
    all.insert("com.futuswarm.maintenance.2".to_owned(), "false".to_owned());
    let destinations = request(&all).unwrap().unwrap().destinations;
    let closed: Vec<bool> = destinations.iter().map(|one| one.rules.maintenance.is_some()).collect();
    assert_eq!(closed, [true, false]);
}
