//! Looks at everything that is needed. It does not stop at the first that is wrong, and each has one remedy.

use std::process::{Command, Stdio};
use std::time::Instant;

use futuswarm_output::println;
use futuswarm_rpc::message::{Answer, Request};
use serde::Serialize;

use super::{Context, app_name};
use crate::arguments::App;
use crate::failure::{Code, Result};
use crate::output;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    /// `ok`, `warn` or `fail`.
    result: &'static str,
    evidence: String,
}

fn ok(check: &'static str, evidence: impl Into<String>) -> Check {
    Check { check, result: "ok", evidence: evidence.into() }
}

fn warn(check: &'static str, evidence: impl Into<String>) -> Check {
    Check { check, result: "warn", evidence: evidence.into() }
}

fn fail(check: &'static str, evidence: impl Into<String>) -> Check {
    Check { check, result: "fail", evidence: evidence.into() }
}

/// Runs all checks; the exit code is not 0 when one has failed.
pub fn doctor(context: &Context, app: &App) -> Result<u8> {
    // What was typed is answered before anything is looked at; a variable or a file around is one more thing to look at.
    if app.word.is_some() || app.flag.app.is_some() {
        app_name::app(app)?;
    }
    let mut checks = vec![ssh()];
    let mut code = 0;
    match context.cluster() {
        Ok(cluster) => {
            let config = &cluster.config;
            checks.push(ok(
                "cluster",
                format!("{}: {}@{}, port {}", cluster.name, config.user, config.host, config.port),
            ));
            match &config.identity {
                Some(path) if !path.is_file() => {
                    checks.push(fail("key", format!("there is no {}: log in again with --identity", path.display())));
                }
                Some(path) => checks.push(ok("key", path.display().to_string())),
                None => checks.push(ok("key", "whatever ssh offers")),
            }
            let begin = Instant::now();
            match context.ask(&Request::Whoami) {
                Ok(Answer::Whoami(known)) => {
                    let took = begin.elapsed().as_millis();
                    checks.push(ok("connection", format!("{} answered in {took} ms", known.node)));
                    checks.push(match known.name == config.user {
                        true => ok("user", known.name.clone()),
                        false => fail("user", format!("your key is the one of {}: log in again", known.name)),
                    });
                    let ours = env!("CARGO_PKG_VERSION");
                    checks.push(match known.version == ours {
                        true => ok("version", ours),
                        false => warn(
                            "version",
                            match &known.command_line {
                                Some(theirs) => {
                                    format!("{ours} here, {} there: {} has theirs", known.version, theirs.url)
                                }
                                None => format!("{ours} here, {} there: whoever runs it has theirs", known.version),
                            },
                        ),
                    });
                    checks.extend(the_app(context, app));
                }
                Ok(other) => checks.push(fail("connection", super::unexpected(&other).message)),
                Err(failure) => {
                    code = failure.code.number();
                    checks.push(fail("connection", failure.message));
                }
            }
        }
        Err(failure) => checks.push(fail("cluster", failure.message)),
    }
    match context.json {
        true => output::json(&checks)?,
        false => {
            for Check { check, result, evidence } in &checks {
                println!("{result:4}  {check}: {}", output::plain(evidence));
            }
        }
    }
    let failed = checks.iter().any(|check| check.result == "fail");
    Ok(if failed { code.max(Code::Failed.number()) } else { 0 })
}

fn ssh() -> Check {
    match Command::new("ssh").arg("-V").stdin(Stdio::null()).output() {
        Ok(said) => ok("ssh", String::from_utf8_lossy(&said.stderr).trim().to_owned()),
        Err(error) => fail("ssh", format!("{error}: install the OpenSSH client")),
    }
}

/// The app, when one is named, here or around.
fn the_app(context: &Context, app: &App) -> Option<Check> {
    let name = match app_name::if_named(app.word.as_deref(), &app.flag) {
        Ok(name) => name?,
        Err(failure) => return Some(fail("app", failure.message)),
    };
    let found = match context.ask(&Request::App { app: name }) {
        Ok(Answer::App(found)) => found,
        Ok(other) => return Some(fail("app", super::unexpected(&other).message)),
        Err(failure) => return Some(fail("app", failure.message)),
    };
    let row = &found.row;
    let says = format!("{}: {} of {} tasks run", row.app, row.running, row.replicas);
    Some(match row.running >= row.replicas {
        true => ok("app", says),
        false => fail(
            "app",
            format!("{says}; `futuswarm why {}` and `futuswarm logs {} --previous` say why", row.app, row.app),
        ),
    })
}
