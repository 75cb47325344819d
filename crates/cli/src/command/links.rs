//! Links between apps.

use futuswarm_output::{eprintln, println};
use futuswarm_rpc::message::{Link as Request, LinkChange, LinkRow, LinkState, Request as AnyRequest, Wait};

use super::{Context, app_name, content, deploy, table};
use crate::arguments::{App, Link};
use crate::failure::{Failure, Result};
use crate::output::{self, moment, or_dash};

/// `app:link`, and with `end` `app:unlink`.
pub fn change(context: &Context, words: &Link, end: bool) -> Result<u8> {
    let (app, other) = match words.words.as_slice() {
        [app, other] => (Some(app.as_str()), other),
        [other] => (None, other),
        _ => return Err(Failure::usage("which apps? `futuswarm app:link APP OTHER`")),
    };
    let app = app_name::chosen(app, &words.flag)?;
    futuswarm_model::app_name(other).map_err(|error| Failure::usage(format!("the other app: {error}")))?;
    let request = Request { app, other: other.clone(), end, wait: Wait::from(&words.waiting) };
    let change = content!(context.wait(&AnyRequest::Link(request))?, Link);
    if context.json {
        output::json(&change)?;
    } else {
        show(&change);
    }
    Ok(change.deployment.as_ref().map_or(0, |deployment| deploy::code(deployment.outcome)))
}

fn show(change: &LinkChange) {
    let LinkChange { app, other, state, attached, owners, deployment } = change;
    let line = match state {
        LinkState::Linked if *attached => {
            format!("{app} and {other} are linked: each reaches the other by its name, at any port")
        }
        LinkState::Linked => format!(
            "{app} and {other} are linked, and {app} is not on the network that both share yet: its next release brings it there"
        ),
        LinkState::Waiting => {
            let owners = if owners.is_empty() { String::new() } else { format!(" ({})", owners.join(", ")) };
            format!(
                "nothing changes yet: an owner of {other}{owners} has to agree with `futuswarm app:link {other} {app}`"
            )
        }
        LinkState::Ended if *attached => format!(
            "{app} and {other} are not linked any more, and {app} is still on the network that they shared: its next release takes it off"
        ),
        LinkState::Ended => format!("{app} and {other} are not linked any more"),
        LinkState::Asked | LinkState::Gone => format!("{app} and {other} are not linked: {}", next(app, other, *state)),
    };
    println!("{}", output::plain(&line));
    let Some(deployment) = deployment else { return };
    match deployment.outcome {
        None => eprintln!("a release is on its way; `futuswarm watch {app}` waits for its end"),
        Some(outcome) => {
            eprintln!("{app}: {outcome} ({} s)", deployment.seconds);
            if !outcome.is_good() {
                deploy::explain(deployment, outcome);
                eprintln!("It is tried again by itself.");
            }
        }
    }
}

/// What to do about a link that is not one yet.
fn next(app: &str, other: &str, state: LinkState) -> String {
    match state {
        LinkState::Linked | LinkState::Ended => String::new(),
        LinkState::Waiting => format!("an owner of {other}: futuswarm app:link {other} {app}"),
        LinkState::Asked => format!("to agree: futuswarm app:link {app} {other}"),
        LinkState::Gone => format!("{other} was removed: futuswarm app:unlink {app} {other}"),
    }
}

fn word(row: &LinkRow) -> &'static str {
    match (row.state, row.attached) {
        (LinkState::Linked, true) => "linked",
        (LinkState::Linked, false) => "linked, not attached yet",
        (LinkState::Waiting, _) => "waiting",
        (LinkState::Asked, _) => "asked",
        (LinkState::Gone, _) => "gone",
        (LinkState::Ended, _) => "ended",
    }
}

/// `app:links`.
pub fn list(context: &Context, app: &App) -> Result<u8> {
    let app = app_name::app(app)?;
    let rows = content!(context.ask(&AnyRequest::Links { app: app.clone() })?, Links);
    table(context, &rows, &["OTHER", "STATE", "SINCE", "BY", "NEXT"], "No links.", |row| {
        vec![
            row.other.clone(),
            word(row).to_owned(),
            or_dash(row.at.map(moment)),
            or_dash(row.by.as_ref()),
            next(&app, &row.other, row.state),
        ]
    })
}
