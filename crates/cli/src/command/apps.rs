//! What apps there are, and how they are.

use std::io::IsTerminal as _;
use std::process::{Command, Stdio};

use futuswarm_output::println;
use futuswarm_rpc::message::{App as AppAnswer, AppRow, Request};

use super::{Context, app_name, confirm, content, done, table};
use crate::arguments::{App, AppFlag, Latest};
use crate::failure::Result;
use crate::output::{self, moment, or_dash};

/// `app:list`; with a name it lists the tasks of the app, as the old command line did.
pub fn list(context: &Context, flag: &AppFlag) -> Result<u8> {
    if let Some(name) = &flag.app {
        return ps(context, &App { word: Some(name.clone()), flag: AppFlag::default() });
    }
    let rows = content!(context.ask(&Request::Apps)?, Apps);
    print(context, &rows)
}

/// Prints rows of apps.
pub fn print(context: &Context, rows: &[AppRow]) -> Result<u8> {
    let heads = ["APP", "RELEASE", "TASKS", "STATE", "ROLE", "IMAGE", "URL"];
    table(context, rows, &heads, "No apps.", |row| {
        let state = match row.deploying {
            Some(release) => format!("release {release} is on its way"),
            None if row.release.is_none() => "never deployed".to_owned(),
            None if row.running < row.replicas => "not all tasks run".to_owned(),
            None => "ok".to_owned(),
        };
        vec![
            row.app.clone(),
            or_dash(row.release),
            format!("{}/{}", row.running, row.replicas),
            state,
            or_dash(row.role),
            or_dash(row.image.as_ref()),
            row.url.clone(),
        ]
    })
}

fn fetch(context: &Context, app: &App) -> Result<AppAnswer> {
    Ok(*content!(context.ask(&Request::App { app: app_name::app(app)? })?, App))
}

/// `app:inspect`.
pub fn inspect(context: &Context, app: &App) -> Result<u8> {
    let app = fetch(context, app)?;
    if context.json {
        output::json(&app)?;
        return Ok(0);
    }
    let row = &app.row;
    let mut pairs = vec![
        ("app", row.app.clone()),
        ("url", row.url.clone()),
        ("release", or_dash(row.release)),
        ("image", or_dash(row.image.as_ref())),
        ("digest", or_dash(app.digest.as_ref())),
        ("tasks", format!("{}/{}", row.running, row.replicas)),
        ("role", or_dash(row.role)),
        ("visitors", visitors(&app)),
        ("config", or_dash(app.config.as_ref())),
        ("secrets", or_dash(app.secrets.as_ref())),
        ("created", format!("{} by {}", moment(app.created_at), app.created_by)),
    ];
    if let Some(release) = row.deploying {
        pairs.push(("deploying", format!("release {release}")));
    }
    output::list(&pairs);
    if let Some(settings) = &app.settings {
        println!();
        // As JSON has them: every one, under its name in the document.
        if let Ok(serde_json::Value::Object(settings)) = serde_json::to_value(settings) {
            let pairs: Vec<(&str, String)> =
                settings.iter().map(|(name, value)| (name.as_str(), value.to_string())).collect();
            output::list(&pairs);
        }
    }
    println!();
    tasks(&app);
    Ok(0)
}

/// Who may open it, in one line.
fn visitors(app: &AppAnswer) -> String {
    let said = match (app.row.open, &app.visitors) {
        (true, _) => "the world".to_owned(),
        (false, None) => "everybody who can log in".to_owned(),
        (false, Some(list)) if list.is_empty() => "nobody".to_owned(),
        (false, Some(list)) => list.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
    };
    if app.login { said } else { format!("{said} (the cluster has no login yet: the world)") }
}

fn tasks(app: &AppAnswer) {
    let rows: Vec<Vec<String>> = app
        .tasks
        .iter()
        .map(|task| {
            vec![
                format!("{}.{}", app.row.app, task.slot),
                or_dash(task.release),
                task.state.clone(),
                task.desired.clone(),
                moment(task.since),
                or_dash(task.node.as_ref()),
                task.id.clone(),
                task.error.replace('\n', " "),
            ]
        })
        .collect();
    output::table(&["TASK", "RELEASE", "STATE", "WANTED", "SINCE", "NODE", "ID", "ERROR"], &rows, "No tasks.");
}

/// `app:ps`.
pub fn ps(context: &Context, app: &App) -> Result<u8> {
    let app = fetch(context, app)?;
    match context.json {
        true => output::json(&app.tasks)?,
        false => tasks(&app),
    }
    Ok(0)
}

/// `swarm:node:location`: the tasks that run, and where.
pub fn location(context: &Context, app: &App) -> Result<u8> {
    let app = fetch(context, app)?;
    let running: Vec<_> = app.tasks.iter().filter(|task| task.state == "running").collect();
    table(context, &running, &["TASK", "NODE", "ID"], "No task runs.", |task| {
        vec![format!("{}.{}", app.row.app, task.slot), or_dash(task.node.as_ref()), task.id.clone()]
    })
}

/// `app:releases`: a star marks the one that runs.
pub fn releases(context: &Context, latest: &Latest) -> Result<u8> {
    let request = Request::Releases { app: app_name::app(&latest.app)?, limit: latest.limit };
    let releases = content!(context.ask(&request)?, Releases);
    let heads = ["RELEASE", "OUTCOME", "WHEN", "BY", "IMAGE", "REASON"];
    table(context, &releases, &heads, "No releases.", |row| {
        let current = if row.current { "*" } else { "" };
        let of = row.of.map(|of| format!(" (of {of})")).unwrap_or_default();
        vec![
            format!("{}{current}", row.release),
            row.outcome.map_or_else(|| "on its way".to_owned(), |outcome| outcome.to_string()),
            moment(row.created_at),
            row.by.clone(),
            format!("{}{of}", row.image),
            row.reason.clone().unwrap_or_default(),
        ]
    })
}

/// `app:why`: evidence and remedy of what failed.
pub fn why(context: &Context, app: &App, release: Option<u64>) -> Result<u8> {
    let why = content!(context.ask(&Request::Why { app: app_name::app(app)?, release })?, Why);
    if context.json {
        let failure = why.failure.as_ref();
        let evidence = failure.map(|failure| serde_json::json!({ "reason": failure.reason, "log": failure.log }));
        output::json(&serde_json::json!({
            "app": why.app,
            "release": why.release,
            "outcome": why.outcome,
            "class": failure.map(|failure| failure.class),
            "evidence": evidence,
            "remedy": failure.map(|failure| &failure.remedy),
        }))?;
        return Ok(0);
    }
    let (Some(release), Some(failure)) = (why.release, &why.failure) else {
        println!("No release of {} has failed.", why.app);
        return Ok(0);
    };
    let outcome = why.outcome.map_or_else(|| "on its way".to_owned(), |outcome| outcome.to_string());
    println!("Release {release} of {}: {outcome}", why.app);
    println!("{}", output::plain(&failure.reason));
    if !failure.log.is_empty() {
        println!("\nThe last lines:");
        for line in &failure.log {
            println!("  {}", output::plain(line));
        }
    }
    println!("\nWhat to do: {}", output::plain(&failure.remedy));
    Ok(0)
}

/// `app:browse`: prints the URL, and opens it where somebody sits.
pub fn browse(context: &Context, app: &App, print: bool) -> Result<u8> {
    let app = fetch(context, app)?;
    if context.json {
        output::json(&serde_json::json!({ "app": app.row.app, "url": app.row.url }))?;
        return Ok(0);
    }
    println!("{}", output::plain(&app.row.url));
    let here = std::io::stdout().is_terminal() && !print;
    // Only what is a page may be opened: the text comes from elsewhere.
    if here && (app.row.url.starts_with("https://") || app.row.url.starts_with("http://")) {
        let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
        let null = Stdio::null;
        // Where there is no browser, the URL that was printed is enough.
        let _opened = Command::new(program).arg(&app.row.url).stdin(null()).stdout(null()).stderr(null()).spawn();
    }
    Ok(0)
}

/// `app:remove`.
pub fn remove(context: &Context, app: &App, given: Option<&str>) -> Result<u8> {
    let app = app_name::app(app)?;
    confirm(&format!("{app} will be removed with its config, secrets and releases"), &app, given)?;
    let answer = context.wait(&Request::Remove { app })?;
    done(context, answer)
}
