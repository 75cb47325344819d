//! Tests of the repository itself: the arrows between the rooms, headers, sizes, lists of tests.

mod circles;
mod comments;
mod dependencies;
mod documents;
mod map;
mod tokens;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::verbs::test::{ACCOUNTS, LONG, MACHINE};

/// A file of more lines is two rooms in one.
const LONGEST_FILE: usize = 500;

fn root() -> PathBuf {
    // Not where this was compiled: a build may be kept from another clone.
    futuswarm_paths::workspace_root().unwrap()
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_file_says_what_it_owns_and_owns_one_thing() {
    let mut found = Vec::new();
    sources(&root().join("crates"), &mut found);
    sources(&root().join("xtask"), &mut found);
    sources(&root().join("e2e"), &mut found);
    assert!(found.len() > 50, "only {} files were found", found.len());
    let mut wrong = Vec::new();
    for path in found {
        let text = std::fs::read_to_string(&path).unwrap();
        if !text.starts_with("//! ") {
            wrong.push(format!("{} does not begin with a line that says what it owns", path.display()));
        }
        if text.lines().count() > LONGEST_FILE {
            wrong.push(format!("{} has {} lines", path.display(), text.lines().count()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The files of a package's integration tests: name → text with that of its modules.
fn integration_tests() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(root().join("e2e/tests")).unwrap() {
        let path = entry.unwrap().path();
        let (main, modules) = (path.with_extension("rs"), path.with_extension(""));
        if path.extension().is_some_and(|extension| extension == "rs") || modules.join("main.rs").exists() {
            let mut text = std::fs::read_to_string(&main).unwrap_or_default();
            let mut files = Vec::new();
            if modules.is_dir() {
                sources(&modules, &mut files);
            }
            for file in files {
                text.push_str(&std::fs::read_to_string(file).unwrap());
            }
            all.insert(path.file_stem().unwrap().to_string_lossy().into_owned(), text);
        }
    }
    all
}

#[test]
fn every_ignored_test_is_run_by_cargo_xtask_test() {
    let files = integration_tests();
    assert!(files.len() > 9, "only {} files were found", files.len());
    let listed: Vec<&str> = [ACCOUNTS, MACHINE, LONG].concat();
    let mut wrong = Vec::new();
    for (name, text) in &files {
        let times = listed.iter().filter(|one| *one == name).count();
        match (text.contains("#[ignore"), times) {
            (true, 1) | (false, 0) => {}
            (true, times) => wrong.push(format!(
                "e2e/tests/{name}.rs has ignored tests and is {times} times in ACCOUNTS, MACHINE and LONG of xtask/src/verbs/test.rs instead of once"
            )),
            // A listed file is run with `--ignored` only; one without such tests would run nothing there.
            (false, _) => wrong.push(format!("e2e/tests/{name}.rs is listed and has no ignored test")),
        }
    }
    wrong.extend(
        listed.iter().filter(|name| !files.contains_key(**name)).map(|name| format!("there is no e2e/tests/{name}.rs")),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn programs_print_in_one_way() {
    let mut files = Vec::new();
    sources(&root().join("crates"), &mut files);
    sources(&root().join("xtask"), &mut files);
    // What runs as the first process or alone in a container has no reader that could go.
    let alone = ["crates/initrd", "crates/mainpage", "crates/probe"].map(|crate_dir| root().join(crate_dir));
    // In two parts, or this file would be found.
    let lint = concat!("clippy::", "print_std");
    let others: Vec<String> = files
        .iter()
        .filter(|file| !alone.iter().any(|dir| file.starts_with(dir)))
        .filter(|file| std::fs::read_to_string(file).unwrap().contains(lint))
        .map(|file| file.display().to_string())
        .collect();
    assert!(others.is_empty(), "print with the macros of crates/output instead: {}", others.join(", "));
}
