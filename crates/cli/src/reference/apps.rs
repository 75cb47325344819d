//! docs/apps.md: what it tells to type is run by the tests or named as not run, and its table of `app.toml` is the whole of it.

use std::collections::{BTreeMap, BTreeSet};

use clap::CommandFactory as _;
use futuswarm_paas::settings::{self, AppFile};

use super::lines::{parsed, words};
use super::migration::{code, root};
use crate::arguments::Arguments;

/// What the document has before the list of commands that the hour of the tests does without. The list ends at a semicolon.
const NOT_RUN: &str = "Not run there:";
/// Functions of `bats/apps/helpers.bash` and of the tests that run the program as somebody, and the program itself.
const CALLERS: [&str; 5] = ["f ", "joe ", "ci ", "$APPS_CLI\" ", "$APPS_CLI "];

fn document() -> String {
    std::fs::read_to_string(root().join("docs/apps.md")).unwrap()
}

/// The command lines of a document, in its blocks and in inline code, without the program's name.
fn told(document: &str) -> Vec<Vec<String>> {
    let (mut blocks, mut text, mut within) = (Vec::new(), String::new(), false);
    for line in document.lines() {
        if line.trim_start().starts_with("```") {
            within = !within;
        } else if within {
            blocks.push(line);
        } else {
            // Inline code may begin on one line and end on the next.
            text.push_str(line);
            text.push('\n');
        }
    }
    let lines = blocks.into_iter().chain(code(&text)).map(words);
    lines.filter(|line| line.len() > 1 && line[0] == "futuswarm").map(|line| line[1..].to_vec()).collect()
}

/// The command lines of a file of BATS.
fn run(script: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in script.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        for caller in CALLERS {
            for (at, _) in line.match_indices(caller) {
                // Not the option `-f`, and not the end of another word.
                let is_word = caller.starts_with('$') || at == 0 || line[..at].ends_with(' ');
                let rest = &line[at + caller.len()..];
                // Within a text that began before, its end is the command's.
                let odd = rest.matches('"').count() % 2 == 1;
                let rest = if odd { rest.split('"').next().unwrap_or_default() } else { rest };
                let words = words(rest);
                // What begins with a dash follows a user of that name, and `$` hands on what others have typed.
                if is_word && words.first().is_some_and(|first| !first.starts_with(['-', '$'])) {
                    found.push(words);
                }
            }
        }
    }
    found
}

/// The commands of these lines, and each with each of its options: `app:logs` and `app:logs --follow`.
fn uses(lines: &[Vec<String>]) -> Result<BTreeSet<String>, String> {
    let (mut uses, mut wrong) = (BTreeSet::new(), Vec::new());
    for line in lines {
        match parsed(std::iter::once("futuswarm").chain(line.iter().map(String::as_str))) {
            Ok(typed) => {
                uses.extend(typed.options.iter().map(|option| format!("{} {option}", typed.command)));
                uses.insert(typed.command);
            }
            Err(reason) => wrong.push(reason),
        }
    }
    match wrong.is_empty() {
        true => Ok(uses),
        false => Err(wrong.join("\n")),
    }
}

/// Files of the tests in a cluster of virtual machines, as one text.
fn scripts() -> String {
    let entries = std::fs::read_dir(root().join("bats/apps")).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_some_and(|extension| extension == "bats"));
    files.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn whatever_the_tests_of_apps_type_can_be_typed() {
    let lines = run(&scripts());
    assert!(lines.len() > 60, "only {} lines were found", lines.len());
    if let Err(wrong) = uses(&lines) {
        panic!("bats/apps:\n{wrong}");
    }
}

#[test]
fn what_the_document_tells_to_type_is_run_or_named_as_not_run() {
    let document = document();
    let told = uses(&told(&document)).unwrap_or_else(|wrong| panic!("docs/apps.md:\n{wrong}"));
    assert!(told.len() > 30, "only {} commands and options were found", told.len());
    let run = uses(&run(&scripts())).unwrap();
    let mut missing: BTreeSet<String> = told.difference(&run).cloned().collect();
    // A command that is not run at all is named without its options.
    missing.retain(|used| used.split_once(' ').is_none_or(|(command, _)| run.contains(command)));
    let list = document.split_once(NOT_RUN).and_then(|(_, rest)| rest.split_once(';')).unwrap().0;
    let all = Arguments::command();
    let full = |used: &str| {
        let (command, option) = used.split_once(' ').unwrap_or((used, ""));
        let command =
            all.find_subcommand(command).unwrap_or_else(|| panic!("there is no command {command}")).get_name();
        format!("{command} {option}").trim_end().to_owned()
    };
    let named: BTreeSet<String> = code(list).into_iter().map(full).collect();
    assert_eq!(named, missing, "docs/apps.md names as not run the first, and the tests leave out the second");
}

#[test]
fn lines_are_found_in_documents_and_scripts() {
    let text = "see `futuswarm\nps hello` and `futuswarm`\n```\nfutuswarm config:set - <.env\ndocker ps\n```\nor `futuswarm-probe: x`\n";
    assert_eq!(told(text), [vec!["config:set", "-"], vec!["ps", "hello"]]);
    let script = "# f no\nrun -0 f deploy hello -f \"$D/app.toml\"\nsql() { bash -c \"$(declare -f someone f); f db:psql hello\" <<<\"$1\"; }\n\
        ci() { someone ci \"$APPS_CLI\" \"$@\"; }\nrun -0 f acl:user:rm joe -a hello\nx --command \"$APPS_CLI shell hello\" /dev/null";
    let expected: [&[&str]; 4] = [
        &["deploy", "hello", "-f", "$D/app.toml"],
        &["db:psql", "hello"],
        &["acl:user:rm", "joe", "-a", "hello"],
        &["shell", "hello"],
    ];
    assert_eq!(run(script), expected);
}

/// A row of the table of `app.toml`.
struct Row {
    /// What counts without the key, as a file would say it.
    default: Option<String>,
    /// The least and the most, or all there are.
    limits: Vec<String>,
}

/// By their keys; those of a table with a dot, as in `health.path`.
fn rows(document: &str) -> BTreeMap<String, Row> {
    let section = document.split_once("\n| key |").unwrap().1;
    let lines = section.lines().skip(2).take_while(|line| line.starts_with('|'));
    let rows = lines.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        let [key, _, default, limits] = cells[..] else { panic!("{line} has not four cells") };
        let owned = |cell: &str| code(cell).into_iter().map(str::to_owned).collect::<Vec<_>>();
        (owned(key).remove(0), Row { default: owned(default).pop(), limits: owned(limits) })
    });
    rows.collect()
}

/// A file with this value of a key, and what it is without the key.
fn files(key: &str, value: &str) -> (String, String) {
    let (before, name) = match key.split_once('.') {
        None => (String::new(), key),
        Some(("health", name @ ("path" | "port" | "image" | "runs"))) => {
            return (format!("[health]\n{name} = {value}\n"), String::new());
        }
        Some(("health", name)) => ("[health]\npath = \"/\"\n".to_owned(), name),
        Some(("release", name @ "command")) => return (format!("[release]\n{name} = {value}\n"), String::new()),
        Some((table, name)) => (format!("[{table}]\ncommand = [\"x\"]\n"), name),
    };
    (format!("{before}{name} = {value}\n"), before)
}

fn read(text: &str) -> Result<AppFile, String> {
    let told =
        |problems: Vec<settings::Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    settings::parse(text).map_err(|problems| format!("{text}{}", told(problems)))
}

/// The keys that a table of the file may have, which are told to who uses another one.
fn keys(table: &str) -> BTreeSet<String> {
    let problems = settings::parse(&format!("{table}\nnone_of_these = 1\n")).unwrap_err();
    let keys: BTreeSet<String> = code(&problems[0].message).into_iter().skip(1).map(str::to_owned).collect();
    assert!(keys.len() > 1, "{}", problems[0]);
    keys
}

#[test]
fn every_key_of_app_toml_has_a_row() {
    let mut expected = keys("");
    for table in ["health", "release"] {
        assert!(expected.remove(table), "{table}");
        expected.extend(keys(&format!("[{table}]")).into_iter().map(|key| format!("{table}.{key}")));
    }
    let document = document();
    let rows = rows(&document);
    assert_eq!(rows.keys().cloned().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn defaults_and_limits_of_app_toml_are_those_of_its_table() {
    let document = document();
    let rows = rows(&document);
    for (key, row) in &rows {
        if let Some(default) = &row.default {
            let (with, without) = files(key, default);
            assert_eq!(read(&with).unwrap(), read(&without).unwrap(), "{key} = {default} is not what counts otherwise");
        }
        for value in &row.limits {
            read(&files(key, value).0).unwrap_or_else(|told| panic!("{key} = {value}: {told}"));
        }
    }
    // One step beyond what the table says.
    for (key, beyond) in [
        ("port", ["0", "65536"]),
        ("replicas", ["-1", "201"]),
        ("memory", ["\"15 MiB\"", "\"257 GiB\""]),
        ("cpu", ["0.009", "64.001"]),
        ("stop_grace", ["0", "3601"]),
        ("update_order", ["\"both\"", "\"\""]),
        ("health.runs", ["0", "3601"]),
        ("health.interval", ["0", "3601"]),
        ("health.timeout", ["0", "3601"]),
        ("health.retries", ["0", "101"]),
        ("health.start", ["0", "3601"]),
        ("release.timeout", ["0", "3601"]),
    ] {
        assert_eq!(rows[key].limits.len(), 2, "the table says nothing of the limits of {key}");
        for value in beyond {
            assert!(read(&files(key, value).0).is_err(), "{key} = {value}");
        }
    }
}
