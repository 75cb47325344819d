//! Databases of apps.

use futuswarm_output::println;
use futuswarm_rpc::message::{Backup, Event, Request, Wait};

use super::{Context, app_name, config, confirm, content, done, show};
use crate::arguments::{App, Losing, Waiting};
use crate::connection::Incoming;
use crate::failure::{Failure, Result};
use crate::output::{self, Progress, moment, or_dash, size};

/// `db:list`.
pub fn list(context: &Context, app: &App) -> Result<u8> {
    let found = content!(context.wait(&Request::Database { app: app_name::app(app)? })?, Database);
    if context.json {
        output::json(&found)?;
        return Ok(0);
    }
    let created = found.created_at.zip(found.created_by.as_ref());
    output::list(&[
        ("app", found.app.clone()),
        ("database", or_dash(found.database.as_ref())),
        ("server", or_dash(found.server.as_ref())),
        ("size", or_dash(found.bytes.map(size))),
        ("login", or_dash(found.login.as_ref())),
        ("logins", found.logins.join(", ")),
        ("created", or_dash(created.map(|(at, by)| format!("{} by {by}", moment(at))))),
    ]);
    println!();
    let rows: Vec<Vec<String>> = found.backups.iter().map(row).collect();
    output::table(&["BACKUP", "WHEN", "SIZE"], &rows, "No backups.");
    Ok(0)
}

fn row(backup: &Backup) -> Vec<String> {
    vec![backup.backup.clone(), moment(backup.at), size(backup.bytes)]
}

/// What was asked for goes on when the connection is cut, and may be asked for again.
fn with_advice(app: &str, failure: Failure) -> Failure {
    match failure.cut {
        true => {
            let more =
                format!("; it may have been done: `futuswarm db:list {app}` shows it, and the same command carries on");
            Failure { message: failure.message + &more, ..failure }
        }
        false => failure,
    }
}

fn changing(context: &Context, app: &str, request: &Request) -> Result<u8> {
    let answer = context.wait(request).map_err(|failure| with_advice(app, failure))?;
    config::show_changed(context, &content!(answer, Changed))
}

/// `db:create`.
pub fn create(context: &Context, app: &App, waiting: &Waiting) -> Result<u8> {
    let app = app_name::app(app)?;
    changing(context, &app, &Request::CreateDatabase { app: app.clone(), wait: Wait::from(waiting) })
}

/// `db:rotate`.
pub fn rotate(context: &Context, app: &App, waiting: &Waiting) -> Result<u8> {
    let app = app_name::app(app)?;
    changing(context, &app, &Request::RotateDatabase { app: app.clone(), wait: Wait::from(waiting) })
}

/// `db:backup`: prints its name.
pub fn backup(context: &Context, app: &App) -> Result<u8> {
    let app = app_name::app(app)?;
    let answer = context.wait(&Request::BackUpDatabase { app: app.clone() });
    let taken = content!(answer.map_err(|failure| with_advice(&app, failure))?, Backup);
    match context.json {
        true => output::json(&taken)?,
        false => println!("{}", output::plain(&taken.backup)),
    }
    Ok(0)
}

/// `db:restore`: says which backup it is as soon as the cluster has chosen one, so that who loses the connection can name the same again.
pub fn restore(context: &Context, app: &App, backup: Option<String>, losing: &Losing) -> Result<u8> {
    let app = app_name::app(app)?;
    refuse_password(losing)?;
    let what = format!("the database of {app} will be what it was at the backup");
    confirm(&what, &app, losing.confirm.as_deref())?;
    let mut chosen = backup.clone();
    let request = Request::RestoreDatabase { app: app.clone(), backup, without_backup: losing.without_backup };
    let mut progress = Progress::new(context.quiet);
    let answer = context.connect()?.ask(&request, None, |incoming, _| {
        let Incoming::Event(event) = incoming else { return Ok(()) };
        show(&event, &mut progress);
        if let Event::Progress { text, .. } = &*event
            && let Some(name) = restored(text).filter(|name| chosen.as_deref() != Some(*name))
        {
            progress.note(&format!("{app}: the backup {name} is being restored"));
            chosen = Some(name.to_owned());
        }
        Ok(())
    });
    progress.clear();
    let answer = answer.map_err(|failure| match (failure.cut, &chosen) {
        (true, Some(name)) => {
            let more = format!(
                "; it may have been done: `futuswarm db:list {app}` shows it, and `futuswarm db:restore {app} --backup {name}` carries on"
            );
            Failure { message: failure.message + &more, ..failure }
        }
        _ => with_advice(&app, context.with_suggestion(&request, failure)),
    });
    done(context, answer?)
}

/// The backup that the cluster says it restores.
fn restored(said: &str) -> Option<&str> {
    let name = said.strip_prefix("restores ")?;
    let (at, rest) = name.split_once('-')?;
    let is_time = !at.is_empty() && at.bytes().all(|byte| byte.is_ascii_digit());
    (is_time && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')).then_some(name)
}

/// The old command line asked for it; one that is passed over would look as if it had been checked.
fn refuse_password(losing: &Losing) -> Result<()> {
    match losing.password {
        Some(_) => Err(Failure::usage("--password is not needed any more: your role in the app counts")),
        None => Ok(()),
    }
}

/// `db:drop`.
pub fn end(context: &Context, app: &App, losing: &Losing) -> Result<u8> {
    let app = app_name::app(app)?;
    refuse_password(losing)?;
    confirm(&format!("the database of {app} will be dropped"), &app, losing.confirm.as_deref())?;
    let answer = context.wait(&Request::DropDatabase { app: app.clone(), without_backup: losing.without_backup });
    done(context, answer.map_err(|failure| with_advice(&app, failure))?)
}
