//! Files of `e2e/tests/` whose ignored tests run side by side: each is a process with a state folder and ports of its own, and most
//! of its time it waits for an emulated account.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use futuswarm_output::eprintln;
use serde_json::Value;

use crate::cargo::Workspace;
use crate::process;

/// One file of tests, compiled.
#[derive(Debug, PartialEq, Eq)]
pub struct Suite {
    /// The file's name without its ending.
    name: String,
    program: PathBuf,
    /// The folder of its package, in which cargo would run it.
    folder: PathBuf,
}

/// The compiled tests of these names, in this order.
///
/// # Errors
/// When they do not compile, or cargo does not say where one of them is.
pub fn compiled(workspace: &Workspace, names: &[&str]) -> anyhow::Result<Vec<Suite>> {
    let mut tests = workspace.cargo(&["test", "--quiet", "--workspace", "--no-run"]);
    tests.arg("--message-format=json-render-diagnostics").args(names.iter().flat_map(|name| ["--test", *name]));
    in_order(&process::capture(&mut tests)?, names)
}

/// What cargo's messages say about the tests of these names.
fn in_order(messages: &str, names: &[&str]) -> anyhow::Result<Vec<Suite>> {
    let messages: Vec<Value> = messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let suite = |name: &&str| {
        let message = messages.iter().find(|message| {
            message["target"]["name"] == **name
                && message["target"]["kind"][0] == "test"
                && message["executable"].is_string()
        });
        let message = message.with_context(|| format!("cargo does not say where the compiled {name} is"))?;
        let path = |key: &str| message[key].as_str().map(PathBuf::from).context("cargo names no path");
        let folder = path("manifest_path")?.parent().context("a manifest is in no folder")?.to_owned();
        Ok(Suite { name: (*name).to_owned(), program: path("executable")?, folder })
    };
    names.iter().map(suite).collect()
}

/// How many suites run at once: one more than there are processors, since with as many a third of their time was idle.
pub fn lanes() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from) + 1
}

/// Runs the ignored tests of each suite, `lanes` suites at a time, each with its output in a file of `logs`; shows that of a suite
/// that fails. None is started after a failure.
///
/// # Errors
/// The first failure.
pub fn run(suites: Vec<Suite>, lanes: usize, logs: &Path, environment: &[(&str, &OsStr)]) -> anyhow::Result<()> {
    std::fs::create_dir_all(logs).with_context(|| format!("cannot make {}", logs.display()))?;
    let waiting = Mutex::new(VecDeque::from(suites));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let lane = || {
        while let Some(suite) = next() {
            if let Err(failed) = run_one(&suite, logs, environment) {
                waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
                return Err(failed);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes.max(1)).map(|_| scope.spawn(lane)).collect();
        let ended: Vec<_> = lanes.into_iter().map(|lane| lane.join().expect("a lane does not panic")).collect();
        ended.into_iter().collect()
    })
}

fn run_one(suite: &Suite, logs: &Path, environment: &[(&str, &OsStr)]) -> anyhow::Result<()> {
    let path = logs.join(format!("{}.log", suite.name));
    let log = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("   {}: begins, with its output in {}", suite.name, path.display());
    let started = Instant::now();
    let mut tests = Command::new(&suite.program);
    tests.args(["--ignored", "--test-threads", "1", "--nocapture"]).current_dir(&suite.folder).stdin(Stdio::null());
    tests.stderr(log.try_clone().context("the file of a test's output")?).stdout(log);
    tests.envs(environment.iter().copied());
    let status = tests.status().with_context(|| format!("cannot run {}", suite.program.display()))?;
    let seconds = started.elapsed().as_secs_f64();
    let Err(failed) = process::outcome(&suite.name, status) else {
        eprintln!("   {}: passed in {seconds:.0} s", suite.name);
        return Ok(());
    };
    let output = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    eprintln!("{}\n   {}: FAILED after {seconds:.0} s", String::from_utf8_lossy(&output).trim_end(), suite.name);
    Err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A suite that runs this shell script.
    fn suite(folder: &Path, name: &str, script: &str) -> Suite {
        let program = folder.join(name);
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Suite { name: name.to_owned(), program, folder: folder.to_owned() }
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("futuswarm-suites-{name}.{}", std::process::id()));
        let _not_there = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn cargo_says_where_tests_are() {
        let messages = r#"{"reason":"compiler-artifact","manifest_path":"/clone/e2e/Cargo.toml","target":{"kind":["lib"],"name":"vault"},"executable":null}
{"reason":"compiler-artifact","manifest_path":"/clone/e2e/Cargo.toml","target":{"kind":["test"],"name":"vault"},"executable":"/target/debug/deps/vault-1"}
{"reason":"compiler-artifact","manifest_path":"/clone/e2e/Cargo.toml","target":{"kind":["test"],"name":"bake"},"executable":"/target/debug/deps/bake-2"}
{"reason":"build-finished","success":true}"#;
        let suites = in_order(messages, &["bake", "vault"]).unwrap();
        let programs: Vec<_> = suites.iter().map(|suite| suite.program.to_str().unwrap()).collect();
        assert_eq!(programs, ["/target/debug/deps/bake-2", "/target/debug/deps/vault-1"]);
        assert_eq!(suites[0].folder, Path::new("/clone/e2e"));
        let missing = in_order(messages, &["account"]).unwrap_err().to_string();
        assert!(missing.contains("account"), "{missing}");
    }

    #[test]
    fn suites_run_side_by_side_with_their_own_output() {
        let folder = folder("beside");
        // Each waits for what the other makes: one after the other they would never end well.
        let wait = |mine: &str, other: &str| {
            format!(
                "echo $WORD; touch {mine}; for i in $(seq 100); do test -e {other} && exit 0; sleep 0.1; done; exit 1"
            )
        };
        let suites = vec![suite(&folder, "one", &wait("a", "b")), suite(&folder, "two", &wait("b", "a"))];
        run(suites, 2, &folder.join("logs"), &[("WORD", OsStr::new("heard"))]).unwrap();
        for name in ["one", "two"] {
            assert_eq!(std::fs::read_to_string(folder.join(format!("logs/{name}.log"))).unwrap(), "heard\n");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_failure_is_the_outcome_and_nothing_starts_after_it() {
        let folder = folder("fails");
        let suites = vec![suite(&folder, "bad", "exit 7"), suite(&folder, "later", "touch started")];
        let failed = run(suites, 1, &folder.join("logs"), &[]).unwrap_err().to_string();
        assert_eq!(failed, "bad failed with exit code 7");
        assert!(!folder.join("started").exists());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
