//! Config and secrets: reading them, and changing many at once.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal as _, Write as _};
use std::process::Command;

use futuswarm_output::{eprintln, println, to_stdout};
use futuswarm_paas::config::dotenv;
use futuswarm_rpc::message::{Changed, Kind, Request, Value, Values, Wait};

use super::{Context, app_name, content, deploy, table, values};
use crate::arguments::{AppFlag, Diff, Edit, Get, Import, Latest, List, Set, Unset, Waiting};
use crate::failure::{Failure, Result};
use crate::output::{self, moment};

mod old_bucket;
#[cfg(test)]
mod tests;

/// Variables of the environment.
pub const CONFIG: Kind = Kind::Config;
/// Files under `/run/secrets`.
pub const SECRETS: Kind = Kind::Secrets;

/// `config` and `secret`.
pub fn list(context: &Context, options: &List, kind: Kind) -> Result<u8> {
    let app = app_name::app(&options.app)?;
    let request = Request::Values { app, kind, show: options.show, key: None, version: options.version.clone() };
    let found = content!(context.ask(&request)?, Values);
    if context.json {
        output::json(&found)?;
        return Ok(0);
    }
    match options.show {
        true => to_stdout(format_args!("{}", render(&found))),
        false => {
            let rows: Vec<Vec<String>> = found.values.keys().map(|key| vec![key.clone()]).collect();
            output::table(&["KEY"], &rows, "Nothing is set.");
        }
    }
    Ok(0)
}

/// Values as a dotenv file, which `config:import` reads back. What is no text is a comment.
fn render(found: &Values) -> String {
    let texts = found.values.iter().filter_map(|(key, value)| {
        let text = value.as_ref()?.text()?;
        Some((key.clone(), text.to_owned()))
    });
    let mut text = dotenv::render(&texts.collect());
    for (key, value) in &found.values {
        if let Some(value) = value.as_ref().filter(|value| value.text().is_none()) {
            text.push_str(&format!("# {key}: {} bytes that are no text\n", value.bytes().len()));
        }
    }
    text
}

/// `config:get` and `secret:get`.
pub fn get(context: &Context, options: &Get, kind: Kind) -> Result<u8> {
    let (word, key) = app_and_last(&options.words)?;
    let app = app_name::chosen(word, &options.flag)?;
    let version = options.version.clone();
    let request = Request::Values { app, kind, show: true, key: Some(key.to_owned()), version };
    let found = content!(context.ask(&request)?, Values);
    if context.json {
        output::json(&found)?;
        return Ok(0);
    }
    let Some(Some(value)) = found.values.get(key) else {
        return Err(Failure::new(crate::failure::Code::NotFound, format!("{} has no {key}", found.app)));
    };
    output::bytes(value.bytes())?;
    // A secret is written byte for byte into whatever reads it.
    if kind == Kind::Config || std::io::stdout().is_terminal() {
        println!();
    }
    Ok(0)
}

fn app_and_last(words: &[String]) -> Result<(Option<&str>, &str)> {
    match words {
        [last] => Ok((None, last)),
        [app, last] => Ok((Some(app), last)),
        _ => Err(Failure::usage("expected one word, or an app and one word")),
    }
}

/// What a change is made of.
#[derive(Debug, Default)]
struct Change {
    set: BTreeMap<String, Value>,
    unset: BTreeSet<String>,
    dotenv: Option<Value>,
    replace: bool,
}

fn change(
    context: &Context,
    (app, kind): (String, Kind),
    change: Change,
    (stage, waiting): (bool, &Waiting),
) -> Result<u8> {
    let Change { set, unset, dotenv, replace } = change;
    let wait = Wait::from(waiting);
    let asked = app.clone();
    let request = Request::Change { app, kind, set, unset, dotenv, replace, stage, wait };
    let answer = context.wait(&request).map_err(|failure| match failure.cut {
        true => {
            let what = if kind == Kind::Config { "config" } else { "secret" };
            let more = format!("; the change may have been made: `futuswarm {what}:history {asked}` shows it");
            Failure { message: failure.message + &more, ..failure }
        }
        false => failure,
    });
    show_changed(context, &content!(answer?, Changed))
}

/// What a change has done, and the exit code of its release.
pub fn show_changed(context: &Context, changed: &Changed) -> Result<u8> {
    if context.json {
        output::json(changed)?;
    } else if changed.keys.is_empty() {
        eprintln!("nothing has changed");
    } else {
        let rows: Vec<Vec<String>> = changed.keys.iter().map(|(key, how)| vec![key.clone(), how.clone()]).collect();
        output::table(&["KEY", "CHANGE"], &rows, "");
    }
    deploy::of_change(context, changed.deployment.as_ref())
}

/// `config:set` and `secret:set`.
pub fn set(context: &Context, options: &Set, kind: Kind) -> Result<u8> {
    let said = values::words(&options.words, &mut std::io::stdin().lock())?;
    if kind == Kind::Secrets {
        said.refuse_dashes()?;
    }
    let app = app_name::chosen(said.app.as_deref(), &options.flag)?;
    let dotenv = match said.dotenv {
        true => Some(values::dotenv(std::io::stdin().lock(), "standard input")?),
        false => None,
    };
    if kind == Kind::Secrets && !said.typed.is_empty() && !context.quiet {
        eprintln!(
            "note: the value of {} was among the arguments, which a shell's history and other processes show; KEY=@- reads it from standard input",
            said.typed.join(", ")
        );
    }
    let wanted = Change { set: said.set, dotenv, ..Change::default() };
    change(context, (app, kind), wanted, (options.stage, &options.waiting))
}

/// `config:unset` and `secret:unset`.
pub fn unset(context: &Context, options: &Unset, kind: Kind) -> Result<u8> {
    let app = app_name::chosen(None, &options.flag)?;
    if let Some(key) = options.keys.iter().find(|key| key.contains('=')) {
        return Err(Failure::usage(format!("{key:?} is no key to remove: did you mean `set`?")));
    }
    let wanted = Change { unset: options.keys.iter().cloned().collect(), ..Change::default() };
    change(context, (app, kind), wanted, (options.stage, &options.waiting))
}

/// `config:import`.
pub fn import(context: &Context, options: &Import) -> Result<u8> {
    if let Some(bucket) = &options.bucket {
        return old_bucket::import(context, options, bucket);
    }
    if let Some(environment) = options.environment.as_deref().filter(|environment| *environment != "default") {
        return Err(Failure::usage(format!("an app has one environment, `default`, and not {environment:?}")));
    }
    let (word, file) = app_and_last(&options.words)?;
    let app = app_name::chosen(word, &options.flag)?;
    let text = match file {
        "-" => values::dotenv(std::io::stdin().lock(), "standard input")?,
        file => {
            let opened = std::fs::File::open(file);
            values::dotenv(opened.map_err(|error| Failure::usage(format!("cannot read {file}: {error}")))?, file)?
        }
    };
    let wanted = Change { dotenv: Some(text), replace: options.replace, ..Change::default() };
    change(context, (app, CONFIG), wanted, (options.stage, &options.waiting))
}

/// `config:edit`.
pub fn edit(context: &Context, options: &Edit) -> Result<u8> {
    let app = app_name::app(&options.app)?;
    let request = Request::Values { app: app.clone(), kind: CONFIG, show: true, key: None, version: None };
    let found = content!(context.ask(&request)?, Values);
    let before = render(&found);
    let folder = tempfile::Builder::new().prefix("futuswarm-").tempdir();
    let folder = folder.map_err(|error| Failure::failed(format!("cannot make a temporary folder: {error}")))?;
    // The folder is nobody else's, and goes whatever happens.
    let file = folder.path().join(format!("{app}.env"));
    write(&file, &before)?;
    let editor =
        ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()));
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    loop {
        run_editor(&editor, &file)?;
        let after = std::fs::read_to_string(&file).map_err(|error| Failure::file("read", &file, &error))?;
        if after == before {
            let version = found.version;
            let changed = Changed { app, kind: CONFIG, version, keys: BTreeMap::new(), deployment: None };
            return show_changed(context, &changed);
        }
        match difference(&found, &after) {
            Ok(wanted) => return change(context, (app, CONFIG), wanted, (options.stage, &options.waiting)),
            Err(reasons) if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() => {
                eprintln!("{reasons}\nPress Enter to edit again, or Ctrl-C to leave everything as it is.");
                let mut line = String::new();
                let read = std::io::stdin().read_line(&mut line);
                if !matches!(read, Ok(length) if length > 0) {
                    return Err(Failure::usage("nothing was changed"));
                }
            }
            Err(reasons) => return Err(Failure::usage(format!("{reasons}; nothing was changed"))),
        }
    }
}

fn write(file: &std::path::Path, text: &str) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let written = opened.and_then(|mut opened| opened.write_all(text.as_bytes()));
    written.map_err(|error| Failure::file("write", file, &error))
}

/// The editor with its arguments, as words: no shell sees them.
fn run_editor(editor: &str, file: &std::path::Path) -> Result<()> {
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let status =
        Command::new(program).args(words).arg(file).status().map_err(|error| {
            Failure::usage(format!("cannot run the editor {program:?}: {error}; set VISUAL or EDITOR"))
        })?;
    match status.success() {
        true => Ok(()),
        false => Err(Failure::failed(format!("{program} ended with {status}; nothing was changed"))),
    }
}

/// What was changed in the editor. What others change at the same time is not touched.
fn difference(found: &Values, after: &str) -> std::result::Result<Change, String> {
    let after =
        dotenv::parse(after).map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let text = |key: &str| found.values.get(key).and_then(|value| value.as_ref()).and_then(Value::text);
    let set = after.iter().filter(|(key, value)| text(key) != Some(value.as_str()));
    let set = set.map(|(key, value)| (key.clone(), Value::from(value.clone()))).collect();
    // What is no text was not in the file, and stays.
    let unset = found.values.keys().filter(|key| text(key).is_some() && !after.contains_key(*key)).cloned().collect();
    Ok(Change { set, unset, dotenv: None, replace: false })
}

/// `config:history` and `secret:history`.
pub fn history(context: &Context, latest: &Latest, kind: Kind) -> Result<u8> {
    let request = Request::History { app: app_name::app(&latest.app)?, kind, limit: latest.limit };
    let versions = content!(context.ask(&request)?, History);
    table(context, &versions, &["NUMBER", "WHEN", "BY", "VERSION"], "No versions.", |version| {
        vec![version.number.to_string(), moment(version.at), version.by.clone(), version.version.clone()]
    })
}

/// `config:diff`.
pub fn diff(context: &Context, options: &Diff) -> Result<u8> {
    let Diff { flag, from, to, secrets } = options;
    let app = app_name::chosen(None, flag as &AppFlag)?;
    let kind = if *secrets { SECRETS } else { CONFIG };
    let request = Request::CompareVersions { app, kind, from: from.clone(), to: to.clone() };
    let keys = content!(context.ask(&request)?, KeyDifferences);
    if context.json {
        output::json(&keys)?;
        return Ok(0);
    }
    let rows: Vec<Vec<String>> = keys.iter().map(|(key, how)| vec![key.clone(), how.clone()]).collect();
    output::table(&["KEY", "CHANGE"], &rows, "No difference.");
    Ok(0)
}
