//! Tests of the repository itself: the arrows between the rooms, headers, sizes, lists of tests.

mod dependencies;
mod documents;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::verbs::test::{ACCOUNTS, LONG, MACHINE};

/// Crates that may depend on `aws-sdk-*`.
const AWS: [&str; 8] = ["agent", "aws", "imds", "local", "provision", "publish", "store", "vault"];
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

/// Crate → the names it depends on, outside of tests.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let dir = entry.unwrap().path();
        let manifest: toml::Table = std::fs::read_to_string(dir.join("Cargo.toml")).unwrap().parse().unwrap();
        let names = manifest.get("dependencies").and_then(|table| table.as_table());
        let names = names.map(|table| table.keys().cloned().collect()).unwrap_or_default();
        all.insert(dir.file_name().unwrap().to_string_lossy().into_owned(), names);
    }
    all
}

#[test]
fn every_file_says_what_it_owns_and_owns_one_thing() {
    let mut found = Vec::new();
    sources(&root().join("crates"), &mut found);
    sources(&root().join("xtask"), &mut found);
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

#[test]
fn only_named_crates_know_aws() {
    let knowing: BTreeSet<String> = dependencies()
        .into_iter()
        .filter(|(_, names)| names.iter().any(|name| name.starts_with("aws-")))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(knowing, AWS.map(str::to_owned).into());
}

#[test]
fn rendering_rooms_do_no_input_or_output() {
    let all = dependencies();
    for name in ["edge", "firewall", "userdata", "spec", "secret"] {
        for forbidden in ["tokio", "bollard", "rustix", "hyper"] {
            assert!(!all[name].contains(forbidden), "{name} depends on {forbidden}");
        }
    }
    for name in ["edge", "firewall", "userdata"] {
        let mut found = Vec::new();
        sources(&root().join("crates").join(name).join("src"), &mut found);
        let is_test = |path: &std::path::Path| {
            path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests")
        };
        for path in found.iter().filter(|path| !is_test(path)) {
            let text = std::fs::read_to_string(path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            assert!(!code.contains("std::fs") && !code.contains("std::net"), "{} does input or output", path.display());
        }
    }
}

#[test]
fn the_image_pipeline_knows_nothing_of_the_cloud() {
    let all = dependencies();
    for name in ["bake", "image-format", "tools", "initrd", "mainpage"] {
        for forbidden in
            ["futuswarm-aws", "futuswarm-provision", "futuswarm-local", "futuswarm-agent", "futuswarm-store"]
        {
            assert!(!all[name].contains(forbidden), "{name} depends on {forbidden}");
        }
    }
    assert!(!all["provision"].contains("futuswarm-local"), "provisioning must not know whether the cloud is local");
    assert!(!all["agent"].contains("futuswarm-local"), "the agent must not know whether the cloud is local");
}

/// The files of a package's integration tests: name → text with that of its modules.
fn integration_tests() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(root().join("tests/tests")).unwrap() {
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
                "tests/tests/{name}.rs has ignored tests and is {times} times in ACCOUNTS, MACHINE and LONG of xtask/src/verbs/test.rs instead of once"
            )),
            // A listed file is run with `--ignored` only; one without such tests would run nothing there.
            (false, _) => wrong.push(format!("tests/tests/{name}.rs is listed and has no ignored test")),
        }
    }
    wrong.extend(
        listed
            .iter()
            .filter(|name| !files.contains_key(**name))
            .map(|name| format!("there is no tests/tests/{name}.rs")),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn programs_print_in_one_way() {
    let mut files = Vec::new();
    sources(&root().join("crates"), &mut files);
    sources(&root().join("xtask"), &mut files);
    // What runs as the first process or alone in a container has no reader that could go.
    let alone = ["crates/initrd", "crates/mainpage"].map(|crate_dir| root().join(crate_dir));
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
