//! Releases: making them, and waiting for their end.

use std::path::Path;

use futuswarm_model::Outcome;
use futuswarm_output::{eprintln, println};
use futuswarm_rpc::message::{Deploy as DeployRequest, Deployment, Plan, Request, Wait};
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::{Context, app_name, content, done};
use crate::arguments::{App, AppFlag, Deploy, Waiting};
use crate::failure::{Code, Failure, Result};
use crate::output;

#[cfg(test)]
mod tests;

/// What `--json` prints of a release, which other tools rely on.
#[derive(Debug, Serialize)]
struct Document<'a> {
    app: &'a str,
    release: Option<u64>,
    image: &'a str,
    url: &'a str,
    outcome: &'a str,
    seconds: u64,
    reason: Option<&'a str>,
}

impl From<&Waiting> for Wait {
    fn from(waiting: &Waiting) -> Self {
        Self { detach: waiting.detach, for_lock: waiting.wait, supersede: waiting.supersede }
    }
}

/// `app:deploy`.
pub fn deploy(context: &Context, options: &Deploy) -> Result<u8> {
    refuse_old_options(options)?;
    let (app, app_file) = app_and_file(options)?;
    let image = match (&options.image, &options.tag) {
        (Some(image), Some(tag)) if !image.contains('@') => Some(format!("{image}:{tag}")),
        (None, Some(tag)) => Some(format!("{app}:{tag}")),
        (image, _) => image.clone(),
    };
    let request = DeployRequest { app, image, app_file, plan: options.plan, wait: Wait::from(&options.waiting) };
    if options.plan {
        let plan = content!(context.ask(&Request::Deploy(request))?, Plan);
        return show_plan(context, &plan);
    }
    release(context, Request::Deploy(request))
}

/// Settings were options once. Who still gives them is told their place instead of having them ignored.
fn refuse_old_options(options: &Deploy) -> Result<()> {
    let old = [
        ("--port", "port", &options.port),
        ("--replicas", "replicas", &options.replicas),
        ("--cpu", "cpu", &options.cpu),
        ("--placement", "placement", &options.placement),
        ("--action", "command", &options.action),
    ];
    if let Some((option, key, _)) = old.iter().find(|(_, _, value)| value.is_some()) {
        return Err(Failure::usage(format!(
            "{option} is a setting of the app now: `{key}` in app.toml, which `futuswarm deploy -f app.toml` sends"
        )));
    }
    if options.open.is_some() {
        return Err(Failure::usage(
            "--open is no matter of deployments now: `futuswarm app:open` shows an app to the world, and `futuswarm app:private` puts it behind the login again",
        ));
    }
    match &options.extra {
        Some(_) => Err(Failure::usage("--extra passed options to Docker: apps have none but those of app.toml now")),
        None => Ok(()),
    }
}

/// The app, and the settings to send. The file in this folder counts only when it names the app: another app's settings must not be
/// sent by accident. One that cannot be read may be the app's, which must not go without its settings by accident either.
fn app_and_file(options: &Deploy) -> Result<(String, Option<String>)> {
    if let Some(file) = &options.file {
        let text = app_name::read(file)?;
        let named = app_name::named(file, &text)?;
        let given = options.app.word.as_deref().or(options.app.flag.app.as_deref());
        let app = match (given, &named) {
            (None, Some(named)) => app_name::chosen(Some(named), &AppFlag::default())?,
            _ => app_name::app(&options.app)?,
        };
        return match named {
            Some(named) if named != app => {
                Err(Failure::usage(format!("{} describes {named}, and {app} was asked for", file.display())))
            }
            _ => Ok((app, Some(text))),
        };
    }
    let app = app_name::app(&options.app)?;
    let here = Path::new(app_name::APP_FILE);
    if !here.exists() {
        return Ok((app, None));
    }
    let text = app_name::read(here)?;
    match app_name::named(here, &text)? {
        Some(named) if named == app => Ok((app, Some(text))),
        _ => {
            eprintln!("note: ./app.toml does not name {app}, and is not used");
            Ok((app, None))
        }
    }
}

fn show_plan(context: &Context, plan: &Plan) -> Result<u8> {
    if context.json {
        output::json(plan)?;
        return Ok(0);
    }
    match (plan.new, plan.changes.is_empty()) {
        (true, _) => println!("{} would be new.", plan.app),
        (false, true) => println!("Nothing would change."),
        (false, false) => println!("{} would change:", plan.app),
    }
    let cell = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let rows: Vec<Vec<String>> = plan
        .changes
        .iter()
        .map(|change| vec![change.name.clone(), cell(&change.before), cell(&change.after)])
        .collect();
    if !rows.is_empty() {
        output::table(&["SETTING", "NOW", "THEN"], &rows, "");
    }
    Ok(0)
}

/// `app:restart`.
pub fn restart(context: &Context, app: &App, waiting: &Waiting) -> Result<u8> {
    release(context, Request::Restart { app: app_name::app(app)?, wait: waiting.into() })
}

/// `app:scale`.
pub fn scale(context: &Context, flag: &AppFlag, words: &[String], waiting: &Waiting) -> Result<u8> {
    let (app, number) = app_and_number(flag, words)?;
    let number = number.ok_or_else(|| Failure::usage("how many tasks? `futuswarm scale APP N`"))?;
    let replicas =
        u32::try_from(number).map_err(|_| Failure::usage(format!("{number} tasks are more than any cluster has")))?;
    release(context, Request::Scale { app, replicas, wait: waiting.into() })
}

/// `app:rollback`.
pub fn rollback(context: &Context, flag: &AppFlag, words: &[String], waiting: &Waiting) -> Result<u8> {
    let (app, to) = app_and_number(flag, words)?;
    release(context, Request::Rollback { app, to, wait: waiting.into() })
}

/// An app's name begins with a letter and a number with a digit, so that either may stand alone.
fn app_and_number(flag: &AppFlag, words: &[String]) -> Result<(String, Option<u64>)> {
    let (mut word, mut number) = (None, None);
    for one in words {
        match one.starts_with(|c: char| c.is_ascii_digit()) {
            true if number.is_none() => {
                let parsed: u64 = one.parse().map_err(|_| Failure::usage(format!("{one:?} is no number")))?;
                number = Some(parsed);
            }
            false if word.is_none() => word = Some(one.as_str()),
            _ => return Err(Failure::usage(format!("unexpected {one:?}: expected an app, a number, or both"))),
        }
    }
    Ok((app_name::chosen(word, flag)?, number))
}

/// `app:watch`: the number of the release is a word or an option.
pub fn watch(context: &Context, flag: &AppFlag, words: &[String], option: Option<u64>) -> Result<u8> {
    let (app, word) = app_and_number(flag, words)?;
    match (word, option) {
        (Some(one), Some(other)) if one != other => {
            Err(Failure::usage(format!("which release is meant: {one} or {other}?")))
        }
        _ => release(context, Request::Watch { app, release: word.or(option) }),
    }
}

/// `app:cancel`.
pub fn cancel(context: &Context, app: &App) -> Result<u8> {
    let answer = context.ask(&Request::Cancel { app: app_name::app(app)? })?;
    done(context, answer)
}

/// Makes a release, or waits for one, and shows what came of it.
fn release(context: &Context, request: Request) -> Result<u8> {
    let app = app_name::of(&request).unwrap_or_default().to_owned();
    goes_on_when_interrupted(&app);
    let rollback = matches!(request, Request::Rollback { .. });
    match context.wait(&request) {
        Ok(answer) => {
            let deployment = content!(answer, Deployment);
            finish(context, &deployment, rollback)
        }
        Err(failure) => Err(lost_or_refused(context, &app, &request, failure)?),
    }
}

/// What `--json` says of a release that was not made, and what to do when the answer did not come.
fn lost_or_refused(context: &Context, app: &str, request: &Request, failure: Failure) -> Result<Failure> {
    if failure.cut {
        let more = format!("; a release that has begun goes on: `futuswarm watch {app}` shows what comes of it");
        return Ok(Failure { message: failure.message + &more, ..failure });
    }
    if context.json && !matches!(failure.code, Code::Unreachable | Code::Versions) {
        let outcome = match failure.code {
            Code::Locked => "locked",
            Code::TimedOut => "timed_out",
            Code::Failed => "failed",
            _ => "refused",
        };
        let image = match request {
            Request::Deploy(deploy) => deploy.image.as_deref().unwrap_or_default(),
            _ => "",
        };
        let reason = Some(failure.message.as_str());
        output::json(&Document { app, release: None, image, url: "", outcome, seconds: 0, reason })?;
    }
    Ok(failure)
}

/// Who stops to wait does not stop the release, and is told so.
fn goes_on_when_interrupted(app: &str) {
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]) else { return };
    let app = app.to_owned();
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            eprintln!(
                "\nThe release goes on if it has begun: `futuswarm watch {app}` waits for its end, `futuswarm cancel {app}` ends it."
            );
            std::process::exit(128 + signal);
        }
    });
}

/// Shows what came of a release, and returns the exit code.
pub fn finish(context: &Context, deployment: &Deployment, rollback: bool) -> Result<u8> {
    let code = code(deployment.outcome);
    if context.json {
        output::json(&document(deployment))?;
        return Ok(code);
    }
    let Deployment { app, url, previous, .. } = deployment;
    let release = deployment.release.map_or_else(|| "the release".to_owned(), |release| format!("release {release}"));
    let undo = match previous {
        Some(previous) => format!("`futuswarm rollback {app} {previous}` undoes it"),
        None => format!("there was no release before it; `futuswarm app:remove {app}` removes the app"),
    };
    match deployment.outcome {
        None => eprintln!("{app}: {release} is on its way; `futuswarm watch {app}` waits for its end"),
        Some(Outcome::Deployed) => {
            eprintln!("{app}: {release} is deployed ({} s)", deployment.seconds);
            // What was not waited for any longer.
            if let Some(late) = &deployment.failure {
                eprintln!("{}", output::plain(&late.reason));
                eprintln!("What to do: {}", output::plain(&late.remedy));
            }
            if rollback {
                eprintln!("{undo}");
            }
        }
        Some(Outcome::Unchanged) => eprintln!("{app}: nothing that runs had to be changed"),
        Some(outcome) => {
            eprintln!("{app}: {release}: {outcome} ({} s)", deployment.seconds);
            explain(deployment, outcome);
        }
    }
    if code == 0 {
        println!("{}", output::plain(url));
    }
    Ok(code)
}

/// Says on standard error why a release failed, and what became of the app.
pub fn explain(deployment: &Deployment, outcome: Outcome) {
    if let Some(failure) = &deployment.failure {
        eprintln!("{}", output::plain(&failure.reason));
        if !failure.log.is_empty() {
            eprintln!("The last lines:");
            for line in &failure.log {
                eprintln!("  {}", output::plain(line));
            }
        }
        eprintln!("What to do: {}", output::plain(&failure.remedy));
    }
    let app = &deployment.app;
    match (outcome, deployment.previous) {
        (Outcome::Superseded, _) => eprintln!("A later release took its place: `futuswarm releases {app}` lists them."),
        (_, Some(previous)) => eprintln!("Release {previous} is what {app} runs with: there is nothing to undo."),
        (_, None) => eprintln!("{app} had no release before, and does not run."),
    }
}

fn document(deployment: &Deployment) -> Document<'_> {
    Document {
        app: &deployment.app,
        release: deployment.release,
        image: &deployment.image,
        url: &deployment.url,
        outcome: match deployment.outcome {
            Some(outcome) => name(outcome),
            None => "pending",
        },
        seconds: deployment.seconds,
        reason: deployment.failure.as_ref().map(|failure| failure.reason.as_str()),
    }
}

fn name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Deployed => "deployed",
        Outcome::Unchanged => "unchanged",
        Outcome::RolledBack => "rolled_back",
        Outcome::Failed => "failed",
        Outcome::TimedOut => "timed_out",
        Outcome::Cancelled => "cancelled",
        Outcome::Superseded => "superseded",
    }
}

/// What somebody waited for decides the exit code.
pub fn code(outcome: Option<Outcome>) -> u8 {
    match outcome {
        None | Some(Outcome::Deployed | Outcome::Unchanged) => 0,
        Some(Outcome::RolledBack | Outcome::Failed | Outcome::Cancelled | Outcome::Superseded) => Code::Failed.number(),
        Some(Outcome::TimedOut) => Code::TimedOut.number(),
    }
}

/// Of a change of config: the release that it made, if it made one.
pub fn of_change(context: &Context, deployment: Option<&Deployment>) -> Result<u8> {
    match deployment {
        Some(deployment) if !context.json => {
            let code = code(deployment.outcome);
            match deployment.outcome {
                Some(outcome) if code != 0 => {
                    eprintln!("{}: {outcome} ({} s)", deployment.app, deployment.seconds);
                    explain(deployment, outcome);
                    eprintln!("The new values are kept; tasks get them with the next deployment or change.");
                }
                Some(outcome) => eprintln!("{}: {outcome} ({} s)", deployment.app, deployment.seconds),
                None => eprintln!("a release is on its way; `futuswarm watch {}` waits for its end", deployment.app),
            }
            Ok(code)
        }
        Some(deployment) => Ok(code(deployment.outcome)),
        None => Ok(0),
    }
}
