//! `config:import --bucket`: config and secrets of the old tool. The cluster reads its bucket; nothing of AWS is known here.

use futuswarm_output::eprintln;
use futuswarm_rpc::message::{self, ImportOutcome, Imported, Kind, Request, Wait};

use crate::arguments::Import;
use crate::command::{Context, app_name, content, deploy};
use crate::failure::{Failure, Result};
use crate::output;

/// Asks for the import, and shows what became of each object. Something that was not taken is a failure.
pub fn import(context: &Context, options: &Import, bucket: &str) -> Result<u8> {
    let word = match &options.words[..] {
        [] => None,
        [app] => Some(app.as_str()),
        _ => return Err(Failure::usage("with --bucket there is no file: name the app only")),
    };
    let app = app_name::chosen(word, &options.flag)?;
    let request = Request::Import(message::Import {
        app: app.clone(),
        bucket: bucket.to_owned(),
        prefix: options.prefix.clone(),
        environment: options.environment.clone(),
        key_arn: options.key_arn.clone(),
        plan: options.plan,
        stage: options.stage,
        wait: Wait::from(&options.waiting),
    });
    let answer = context.wait(&request).map_err(|failure| match failure.cut {
        true => {
            let more = format!(
                "; what was asked for may have been done: `futuswarm config:history {app}` shows it, and the same command again takes what is missing"
            );
            Failure { message: failure.message + &more, ..failure }
        }
        false => failure,
    });
    let imported = content!(answer?, Imported);
    match context.json {
        true => output::json(&imported)?,
        false => show(&imported),
    }
    let code = deploy::of_change(context, imported.deployment.as_ref())?;
    let all = imported.objects.iter().all(|object| object.outcome != ImportOutcome::NotTaken);
    Ok(if code == 0 && !all { 1 } else { code })
}

fn show(imported: &Imported) {
    let rows: Vec<Vec<String>> = imported
        .objects
        .iter()
        .map(|object| {
            let kind = if object.kind == Kind::Config { "config" } else { "secret" };
            let reason = object.reason.clone().unwrap_or_default();
            vec![object.object.clone(), kind.to_owned(), object.key.clone(), object.outcome.to_string(), reason]
        })
        .collect();
    output::table(&["OBJECT", "KIND", "KEY", "OUTCOME", "REASON"], &rows, "Nothing was found.");
    eprintln!("{}", summary(imported));
}

/// How many of each, in one line.
fn summary(imported: &Imported) -> String {
    use ImportOutcome::{Added, Changed, NotTaken, Unchanged};
    let count = |outcome: ImportOutcome| imported.objects.iter().filter(|object| object.outcome == outcome).count();
    let counts = [Added, Changed, Unchanged, NotTaken].map(|outcome| (count(outcome), outcome));
    let counts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, outcome)| format!("{count} {outcome}")).collect();
    match imported.plan {
        true => format!("{}: nothing was changed, since this is a plan", counts.join(", ")),
        false => counts.join(", "),
    }
}
