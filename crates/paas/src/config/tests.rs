//! Config changes lose nothing, and dotenv files come back as they went.

use super::dotenv::{parse, render};
use super::*;

fn values(entries: &[(&str, &str)]) -> Values {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn many_keys_change_at_once_or_none_does() {
    let before = values(&[("A", "1"), ("B", "2"), ("C", "3")]);
    let change =
        Change { set: values(&[("B", "@not-a-file"), ("D", "")]), unset: ["C".to_owned(), "X".to_owned()].into() };
    let after = changed(&before, &change).unwrap();
    assert_eq!(after, values(&[("A", "1"), ("B", "@not-a-file"), ("D", "")]));
    let wanted = [("B", Difference::Changed), ("C", Difference::Removed), ("D", Difference::Added)];
    assert_eq!(differences(&before, &after), wanted.map(|(key, difference)| (key.to_owned(), difference)).into());
    let wrong = Change { set: values(&[("E", "5"), ("1F", "6")]), unset: BTreeSet::new() };
    assert_eq!(changed(&before, &wrong), Err(ConfigError::Key("1F".to_owned())));
    // A key that is set and unset is set.
    let both = Change { set: values(&[("A", "2")]), unset: ["A".to_owned()].into() };
    assert_eq!(changed(&before, &both).unwrap()["A"], "2");
}

#[test]
fn awkward_keys_are_refused_and_awkward_values_are_kept() {
    for key in ["", "A B", "A=B", "A\n", "A\0", "ä", "🦀", "A\"", "A'", "A-B", "1", "../A"] {
        let change = Change { set: values(&[(key, "x")]), unset: BTreeSet::new() };
        assert_eq!(changed(&Values::new(), &change), Err(ConfigError::Key(key.to_owned())), "{key:?}");
    }
    for value in
        ["", "a=b=c", "\"", "'", "a\nb", "\r\n", "🦀", "/etc/passwd", "@file", "$HOME `id` $(id)", " a ", "#", "\\"]
    {
        let change = Change { set: values(&[("A", value)]), unset: BTreeSet::new() };
        assert_eq!(changed(&Values::new(), &change).unwrap()["A"], value);
    }
}

#[test]
fn what_no_task_could_start_with_is_refused_without_its_value() {
    let one = |value: String| {
        changed(&Values::new(), &Change { set: [("KEY".to_owned(), value)].into(), unset: BTreeSet::new() })
    };
    assert_eq!(one("a\0b".to_owned()), Err(ConfigError::Nul("KEY".to_owned())));
    assert_eq!(one("s".repeat(1 << 20)), Err(ConfigError::Long("KEY".to_owned(), 1 << 20)));
    assert_eq!(one("s".repeat(LONGEST_ENTRY - 5)).map(|values| values.len()), Ok(1));
    let reserved = changed(&Values::new(), &Change { set: values(&[("FUTUSWARM_APP", "x")]), unset: BTreeSet::new() });
    assert_eq!(reserved, Err(ConfigError::Reserved("FUTUSWARM_APP".to_owned())));
    let full: Values = (0..9).map(|key| (format!("K{key}"), "s".repeat(LONGEST_ENTRY - 5))).collect();
    let error = changed(&Values::new(), &Change { set: full, unset: BTreeSet::new() }).unwrap_err();
    assert!(matches!(error, ConfigError::Large(length) if length > LARGEST_CONFIG), "{error}");
    assert!(!error.to_string().contains("ss"));
    let change = Change { set: values(&[("TOKEN", "hunter2")]), unset: BTreeSet::new() };
    assert!(!format!("{change:?}").contains("hunter2"));
}

#[test]
fn dotenv_files_mean_what_people_expect() {
    let text = "\u{feff}# a comment\r\n\
        PLAIN=a b # and a comment\r\n\
        export EXPORTED = spaced \n\
        EMPTY=\n\
        HASH=a#b\n\
        COMMENT=# nothing\n\
        SINGLE='a \"$X\" \\n # b' # c\n\
        DOUBLE=\"a\\n\\t\\\"\\\\\\$\\q\"\n\
        \n\
        LINES='one\n\
        two'\n\
        EQUALS=a=b=\n\
        DOLLAR=$HOME\n\
        LAST=no newline";
    let wanted = values(&[
        ("PLAIN", "a b"),
        ("EXPORTED", "spaced"),
        ("EMPTY", ""),
        ("HASH", "a#b"),
        ("COMMENT", ""),
        ("SINGLE", "a \"$X\" \\n # b"),
        ("DOUBLE", "a\n\t\"\\$\\q"),
        ("LINES", "one\ntwo"),
        ("EQUALS", "a=b="),
        ("DOLLAR", "$HOME"),
        ("LAST", "no newline"),
    ]);
    assert_eq!(parse(text).unwrap(), wanted);
}

#[test]
fn every_line_that_cannot_be_read_is_named_without_its_value() {
    let text = "A=1\nno equals hunter2\n1B=hunter2\nA=hunter2\nC='x'hunter2\nD='hunter2\nE=5\n";
    let errors = parse(text).unwrap_err();
    assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
    for error in &errors {
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn a_line_of_a_value_without_quotes_is_not_shown() {
    let text = "KEY=-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHh+hunter2/==\n";
    let errors = parse(text).unwrap_err();
    assert_eq!(errors.len(), 1);
    let said = errors[0].to_string();
    assert!(said.starts_with("line 2: ") && said.contains("between quotes") && !said.contains("hunter2"), "{said}");
    let long = "A".repeat(10_000);
    for text in [format!("{long}=1\n{long}=2\n"), format!("FUTUSWARM_{long}=1\n")] {
        let said = parse(&text).unwrap_err()[0].to_string();
        assert!(said.len() < 200 && said.contains("A…"), "{said}");
    }
}

#[test]
fn of_many_lines_that_cannot_be_read_the_first_are_told() {
    let errors = parse(&"x\n".repeat(1_000_000)).unwrap_err();
    assert_eq!((errors.len(), errors[99].line), (super::dotenv::MOST_ERRORS, 100));
}

#[test]
fn a_file_sets_so_many_keys_and_no_more() {
    let file = |keys: usize| (0..keys).map(|key| format!("K{key}=\n")).collect::<String>();
    let most = super::dotenv::MOST_KEYS;
    assert_eq!(parse(&file(most)).unwrap().len(), most);
    let errors = parse(&file(20 * most)).unwrap_err();
    assert_eq!((errors.len(), errors[0].line), (1, most + 1));
    assert!(errors[0].to_string().contains("10000 keys stand above"), "{}", errors[0]);
}

#[test]
fn whatever_is_written_is_read_back() {
    let alphabet: Vec<char> = "aB0_ =#'\"\\$\n\r\t\u{feff}ä🦀`@/".chars().collect();
    for seed in 0..5_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut text = |least: usize| -> String {
            (0..random.usize(least..8)).map(|_| alphabet[random.usize(..alphabet.len())]).collect()
        };
        let wanted: Values = (0..3).map(|key| (format!("K_{key}"), text(0))).collect();
        assert_eq!(parse(&render(&wanted)), Ok(wanted), "seed {seed}");
        // And what is no file is refused or read, and never panics.
        let _any = parse(&text(0));
    }
}
