//! Who may open an app: those whom the login lets through, or the world.

use std::collections::BTreeSet;

use futuswarm_model::Visitor;
use futuswarm_output::println;
use futuswarm_rpc::message::{Admit, AdmitChange, Admitted, Answer, Request};

use super::{Context, app_name, confirm, content};
use crate::arguments::{App, AppFlag, Visitors};
use crate::failure::{Code, Failure, Result};
use crate::output;
use crate::suggest;

/// In the place of a list: whoever can log in.
pub const EVERYBODY: &str = "everybody";

/// `app:access:list`.
pub fn list(context: &Context, app: &App) -> Result<u8> {
    ask(context, app_name::app(app)?, None)
}

/// `app:access:add`.
pub fn add(context: &Context, given: &Visitors) -> Result<u8> {
    let (app, words) = split(&given.words, &given.flag)?;
    let change = match words {
        [word] if word == EVERYBODY => AdmitChange::Everybody,
        words => AdmitChange::Add(entries(words)?),
    };
    ask(context, app, Some(change))
}

/// `app:access:rm`.
pub fn remove(context: &Context, given: &Visitors) -> Result<u8> {
    let (app, words) = split(&given.words, &given.flag)?;
    if words.iter().any(|word| word == EVERYBODY) {
        return Err(Failure::usage(format!(
            "{EVERYBODY} is on no list: `futuswarm app:access:add {app} user:NAME` says who may instead"
        )));
    }
    ask(context, app, Some(AdmitChange::Remove(entries(words)?)))
}

/// `app:open`.
pub fn open(context: &Context, app: &App, given: Option<&str>) -> Result<u8> {
    let app = app_name::app(app)?;
    confirm(&format!("{app} will be shown to the world, without a login"), &app, given)?;
    ask(context, app, Some(AdmitChange::Open))
}

/// `app:private`.
pub fn private(context: &Context, app: &App) -> Result<u8> {
    ask(context, app_name::app(app)?, Some(AdmitChange::Private))
}

fn ask(context: &Context, app: String, change: Option<AdmitChange>) -> Result<u8> {
    let request = Request::Admit(Admit { app, change });
    let answer = context.ask(&request).map_err(|failure| with_nearest(context, &request, failure))?;
    let admitted = content!(answer, Admitted);
    match context.json {
        true => output::json(&admitted)?,
        false => println!("{}", output::plain(&text(&admitted))),
    }
    Ok(0)
}

/// The app, where the first word names it, and the rest. An app's name has no colon, and `everybody` alone is none.
fn split<'a>(words: &'a [String], flag: &AppFlag) -> Result<(String, &'a [String])> {
    let is_app = |word: &String| {
        let is_entry = word.contains(':') || (word == EVERYBODY && words.len() == 1);
        !is_entry && flag.app.as_ref().is_none_or(|flag| flag == word)
    };
    match words.split_first() {
        Some((first, rest)) if is_app(first) => Ok((app_name::chosen(Some(first.as_str()), flag)?, rest)),
        _ => Ok((app_name::chosen(None, flag)?, words)),
    }
}

/// Users and groups as they are asked for, out of what was typed.
pub fn entries(words: &[String]) -> Result<BTreeSet<String>> {
    if words.is_empty() {
        return Err(Failure::usage("whom? Each is user:NAME or group:NAME, as the login's provider names them"));
    }
    words.iter().map(|word| entry(word)).collect()
}

fn entry(word: &str) -> Result<String> {
    let error = match word.parse::<Visitor>() {
        Ok(visitor) => return Ok(visitor.to_string()),
        Err(error) => error,
    };
    if word == EVERYBODY {
        return Err(Failure::usage(format!("{EVERYBODY} stands alone: it ends the list")));
    }
    let meant = match (word.split_once(':'), word.strip_prefix('@')) {
        (Some((kind, name)), _) => suggest::nearest(kind, ["user", "group"]).map(|kind| format!("{kind}:{name}")),
        (None, Some(group)) => Some(format!("group:{group}")),
        (None, None) => suggest::nearest(word, [EVERYBODY]).map(str::to_owned).or_else(|| Some(format!("user:{word}"))),
    };
    // What would be refused as well helps nobody.
    let meant = meant.filter(|meant| meant == EVERYBODY || meant.parse::<Visitor>().is_ok());
    let hint = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
    Err(Failure::usage(format!("{error}{hint}")))
}

/// Adds who may have been meant, when somebody is to be taken off a list who is not on it.
fn with_nearest(context: &Context, request: &Request, mut failure: Failure) -> Failure {
    let Request::Admit(Admit { app, change: Some(AdmitChange::Remove(gone)) }) = request else { return failure };
    if failure.code != Code::NotFound {
        return failure;
    }
    let asked = context.ask(&Request::Admit(Admit { app: app.clone(), change: None }));
    let Ok(Answer::Admitted(Admitted { visitors: Some(list), .. })) = asked else { return failure };
    let unknown = gone.iter().find(|visitor| !list.contains(*visitor));
    if let Some(nearest) = unknown.and_then(|word| suggest::nearest(word, list.iter().map(String::as_str))) {
        failure.message.push_str(&format!("; did you mean {nearest}?"));
    }
    failure
}

/// What an answer says, for people.
fn text(admitted: &Admitted) -> String {
    let Admitted { app, open, visitors, login, .. } = admitted;
    let mut lines = Vec::new();
    let names = |list: &BTreeSet<String>| list.iter().map(|name| format!("  {name}")).collect::<Vec<_>>();
    match (open, visitors) {
        (true, None) => lines.push(format!("{app} is open: the world may use it, without a login")),
        (true, Some(list)) => {
            lines.push(format!("{app} is open: the world may use it, without a login"));
            lines.push(format!("With `futuswarm app:private {app}` its list counts again:"));
            lines.extend(names(list));
        }
        (false, None) => lines.push(format!("everybody who can log in may use {app}")),
        (false, Some(list)) if list.is_empty() => lines.push(format!(
            "nobody may use {app}: its list is empty; `futuswarm app:access:add {app} {EVERYBODY}` ends the list"
        )),
        (false, Some(list)) => {
            lines.push(format!("of those who can log in only these may use {app}:"));
            lines.extend(names(list));
        }
    }
    if !login {
        lines.push(format!(
            "This cluster has no login yet: until it has one, the world may use {app}, and what stands above is kept."
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_app_is_the_first_word_or_the_flag() {
        for (line, flag, app, rest) in [
            ("hello user:ada group:staff", None, "hello", "user:ada group:staff"),
            ("user:ada group:staff", Some("hello"), "hello", "user:ada group:staff"),
            ("hello user:ada", Some("hello"), "hello", "user:ada"),
            ("hello everybody", None, "hello", "everybody"),
            ("everybody", Some("hello"), "hello", "everybody"),
            ("everybody everybody", None, "everybody", "everybody"),
            ("hello", None, "hello", ""),
            // No app, since another one is named: it is told to be no entry.
            ("ada", Some("hello"), "hello", "ada"),
        ] {
            let (line, flag) = (words(line), AppFlag { app: flag.map(str::to_owned) });
            let (found, left) = split(&line, &flag).unwrap();
            assert_eq!((found.as_str(), left), (app, &words(rest)[..]), "{line:?}");
        }
        assert!(split(&words("Hello user:ada"), &AppFlag::default()).is_err());
    }

    #[test]
    fn what_is_no_entry_is_told_with_the_one_that_was_meant() {
        for (word, meant) in [
            ("ada@example.com", "; did you mean user:ada@example.com?"),
            ("usr:ada", "; did you mean user:ada?"),
            ("Group:staff", "; did you mean group:staff?"),
            ("groups:staff", "; did you mean group:staff?"),
            ("@staff", "; did you mean group:staff?"),
            ("everbody", "; did you mean everybody?"),
        ] {
            let refused = entry(word).unwrap_err();
            assert!(refused.message.ends_with(meant) && refused.code == Code::Usage, "{word}: {refused}");
        }
        for word in ["user:a b", "zzz:ada", "", "group:"] {
            let refused = entry(word).unwrap_err();
            assert!(!refused.message.contains("did you mean"), "{word}: {refused}");
        }
        assert_eq!(entry("group:Staff of A").unwrap(), "group:Staff of A");
        assert!(entries(&[]).unwrap_err().message.starts_with("whom?"));
        assert!(entries(&words("user:ada everybody")).unwrap_err().message.contains("stands alone"));
    }

    #[test]
    fn what_is_so_is_told_and_what_is_not_yet_too() {
        let admitted = |open, list: Option<&[&str]>, login| Admitted {
            app: "hello".to_owned(),
            open,
            visitors: list.map(|list| list.iter().map(|name| (*name).to_owned()).collect()),
            login,
            changed: true,
        };
        for (open, list, part) in [
            (false, None, "everybody who can log in may use hello"),
            (false, Some(&["user:ada", "group:staff"][..]), "only these may use hello:\n  group:staff\n  user:ada"),
            (
                false,
                Some(&[][..]),
                "nobody may use hello: its list is empty; `futuswarm app:access:add hello everybody`",
            ),
            (true, None, "hello is open: the world may use it"),
            (true, Some(&["user:ada"][..]), "`futuswarm app:private hello` its list counts again:\n  user:ada"),
        ] {
            let with = text(&admitted(open, list, true));
            assert!(with.contains(part) && !with.contains("no login"), "{with}");
            let without = text(&admitted(open, list, false));
            assert!(without.starts_with(&with), "{without}");
            assert!(without.ends_with("the world may use hello, and what stands above is kept."), "{without}");
        }
    }
}
