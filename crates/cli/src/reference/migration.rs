//! docs/migration.md: every old command is in it, every new one can be typed, and every test that it names exists.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::lines::parsed;

/// What could be typed once: the commands of the client, and those of the operator's tool for moving and restoring.
const OLD: [&str; 49] = [
    "image:push",
    "app:deploy",
    "app:list",
    "app:inspect",
    "app:logs",
    "app:run",
    "app:shell",
    "app:restart",
    "app:remove",
    "config",
    "config:get",
    "config:set",
    "config:unset",
    "secret",
    "secret:set",
    "secret:get",
    "secret:unset",
    "volume:create:ebs",
    "volume:rm:ebs",
    "volume:list",
    "db:create:postgres",
    "db:drop:postgres",
    "acl:user:list",
    "acl:user:add",
    "acl:user:rm",
    "acl:user:services",
    "admin:list",
    "admin:swarm:usage",
    "admin:swarm:restart",
    "admin:user:add",
    "admin:user:rm",
    "admin:user:key:set",
    "admin:node:default_tags",
    "swarm:nodes",
    "swarm:stats",
    "swarm:node:ips",
    "swarm:node:location",
    "swarm:node:label:add",
    "swarm:node:label:rm",
    "swarm:network:health",
    "node:json",
    "cli:version-check",
    "running-services",
    "stored-services",
    "service-inspect",
    "restore-services",
    "migrate-secrets",
    "check-for-value",
    "check-for-key",
];

/// From the crate's folder, where cargo runs its tests. A path of the compiler's would be that of another clone after two shared a
/// target folder.
pub(super) fn root() -> PathBuf {
    PathBuf::from("../..")
}

fn document() -> String {
    std::fs::read_to_string(root().join("docs/migration.md")).unwrap()
}

/// The texts in inline code.
pub(super) fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The rows of the table below a heading, as cells.
fn table<'a>(document: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let section = document.split(&format!("\n## {heading}\n")).nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines().filter(|line| line.starts_with("| ") && line.ends_with('|')).skip(1);
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// Whether a line can be typed, by the program's own parser.
fn typed(line: &str) -> Result<(), String> {
    parsed(line.split_whitespace()).map(drop)
}

/// Whether a test that is named as `FILE#FUNCTION` exists.
fn exists(named: &str) -> Result<(), String> {
    let (file, function) = named.split_once('#').ok_or(format!("{named}: which test of the file?"))?;
    let text = std::fs::read_to_string(root().join(file)).map_err(|error| format!("{file}: {error}"))?;
    // What is called so and is no test would prove nothing.
    let (before, _) = text.split_once(&format!("fn {function}()")).ok_or(format!("{file} has no test {function}"))?;
    let before = before.trim_end().trim_end_matches("async").trim_end();
    let mut attributes = before.lines().rev().take_while(|line| line.trim_start().starts_with("#["));
    match attributes.any(|line| line.contains("test")) {
        true => Ok(()),
        false => Err(format!("{file}: {function} is no test")),
    }
}

#[test]
fn every_old_command_is_in_the_table_and_each_new_one_can_be_typed_and_is_tested() {
    let document = document();
    let rows = table(&document, "Commands");
    let (mut old, mut wrong) = (BTreeSet::new(), Vec::new());
    for row in &rows {
        let [before, now, tests] = row[..] else { panic!("{row:?} has not three cells") };
        old.extend(code(before));
        let commands: Vec<&str> = code(now).into_iter().filter(|text| text.starts_with("futuswarm ")).collect();
        wrong.extend(commands.iter().filter_map(|line| typed(line).err()));
        wrong.extend(code(tests).into_iter().filter_map(|named| exists(named).err()));
        if now.is_empty() || (!commands.is_empty() && tests.is_empty()) {
            wrong.push(format!("{before}: what is it now, and which test shows it?"));
        }
    }
    assert!(wrong.is_empty(), "docs/migration.md:\n{}", wrong.join("\n"));
    // `restart-services` was called, and never written.
    let expected: BTreeSet<&str> = OLD.into_iter().chain(["restart-services"]).collect();
    assert_eq!(old, expected);
}

#[test]
fn whatever_the_document_tells_to_type_can_be_typed() {
    let document = document();
    let mut lines: Vec<&str> = document.lines().map(str::trim).filter(|line| line.starts_with("futuswarm ")).collect();
    lines.extend(document.lines().filter(|line| !line.trim().starts_with("futuswarm ")).flat_map(code));
    let lines: Vec<&str> = lines.into_iter().filter(|line| line.starts_with("futuswarm ")).collect();
    assert!(lines.len() > 70, "only {} lines were found", lines.len());
    let wrong: Vec<String> = lines.into_iter().filter_map(|line| typed(line).err()).collect();
    assert!(wrong.is_empty(), "docs/migration.md:\n{}", wrong.join("\n"));
}

#[test]
fn each_old_option_has_a_row() {
    let document = document();
    let rows = table(&document, "Options");
    let named: BTreeSet<&str> = rows.iter().flat_map(|row| code(row[0])).collect();
    for option in [
        "-n",
        "-i",
        "-t",
        "--port",
        "--extra",
        "--open",
        "-e",
        "--action",
        "--size",
        "--version",
        "--node",
        "--user",
        "--key",
        "--cpu",
        "--placement",
        "--replicas",
        "--password",
        "--from",
        "--start",
        "--end",
        "--filter",
        "--total",
        "--verbose",
        "--async",
        "--debug",
        "-h",
        "-hh",
    ] {
        assert!(named.contains(option), "docs/migration.md says nothing of {option}");
    }
}

#[test]
fn what_is_checked_can_be_wrong() {
    assert!(typed("futuswarm app:deploy hello -i hello:1").is_ok() && typed("futuswarm app deploy hello").is_ok());
    assert!(typed("futuswarm app:delpoy hello").is_err() && typed("futuswarm app:deploy hello --bogus").is_err());
    assert!(typed("futuswarm app").is_err());
    assert!(exists("crates/cli/src/reference/migration.rs#what_is_checked_can_be_wrong").is_ok());
    assert!(exists("crates/cli/src/reference/migration.rs#document").is_err());
    assert!(exists("crates/cli/src/reference/migration.rs#nothing").is_err() && exists("crates/none.rs#x").is_err());
}
