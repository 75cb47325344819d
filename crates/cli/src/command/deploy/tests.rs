//! Exit codes of outcomes, and what the words of a deployment mean.

use clap::Parser as _;

use super::*;
use crate::arguments::{AppVerb, Arguments, Verb};

fn options(line: &[&str]) -> Deploy {
    let argv = ["futuswarm", "deploy"].iter().chain(line);
    match Arguments::try_parse_from(argv).unwrap().verb {
        Verb::App(AppVerb::Deploy(options)) => options,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_outcome_has_its_exit_code_and_its_name() {
    for (outcome, expected) in [
        (Outcome::Deployed, 0),
        (Outcome::Unchanged, 0),
        (Outcome::RolledBack, 1),
        (Outcome::Failed, 1),
        (Outcome::Cancelled, 1),
        (Outcome::Superseded, 1),
        (Outcome::TimedOut, 6),
    ] {
        assert_eq!(code(Some(outcome)), expected, "{outcome}");
        assert_eq!(name(outcome), outcome.to_string());
    }
    assert_eq!(code(None), 0);
}

#[test]
fn an_app_and_a_number_come_in_any_order() {
    let flag = AppFlag { app: Some("hello".to_owned()) };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    for (given, expected) in
        [(&["hello", "3"][..], Some(3)), (&["3", "hello"], Some(3)), (&["3"], Some(3)), (&[], None)]
    {
        assert_eq!(app_and_number(&flag, &words(given)).unwrap(), ("hello".to_owned(), expected), "{given:?}");
    }
    for bad in [&["3", "4"][..], &["hello", "shop"], &["3x"], &["99999999999999999999999"]] {
        assert_eq!(app_and_number(&flag, &words(bad)).unwrap_err().code, Code::Usage, "{bad:?}");
    }
}

#[test]
fn settings_that_were_options_say_where_they_are_now() {
    for (line, part) in [
        (&["hello", "--port", "80"][..], "`port` in app.toml"),
        (&["hello", "--open=true"], "`futuswarm app:open` shows an app to the world"),
        (&["hello", "--extra=--mount type=bind"], "none but those of app.toml"),
    ] {
        let refused = refuse_old_options(&options(line)).unwrap_err();
        assert!(refused.message.contains(part), "{refused}");
    }
    refuse_old_options(&options(&["hello", "-i", "hello"])).unwrap();
}

#[test]
fn a_file_for_another_app_is_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.toml");
    std::fs::write(&file, "app = \"shop\"\n").unwrap();
    let file = file.to_str().unwrap();
    let (app, text) = app_and_file(&options(&["-f", file])).unwrap();
    assert_eq!((app.as_str(), text.as_deref()), ("shop", Some("app = \"shop\"\n")));
    assert!(app_and_file(&options(&["hello", "-f", file])).unwrap_err().message.contains("describes shop"));
    assert!(app_and_file(&options(&["hello", "-f", "/nowhere/app.toml"])).is_err());
}
