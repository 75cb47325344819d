//! Which app a command is for.

use std::path::Path;

use futuswarm_rpc::message::Request;

use crate::arguments::{App, AppFlag};
use crate::failure::{Failure, Result};
use crate::output;

/// The file that may name the app.
pub const APP_FILE: &str = "app.toml";
/// Longer files describe no app.
const LONGEST_FILE: u64 = 1 << 20;

/// The app of a command whose first word names it.
pub fn app(app: &App) -> Result<String> {
    chosen(app.word.as_deref(), &app.flag)
}

/// The app: a word, the flag, the environment, or the file in this folder.
pub fn chosen(word: Option<&str>, flag: &AppFlag) -> Result<String> {
    if_named(word, flag)?.ok_or_else(|| {
        Failure::usage("which app? Name it, or use -a, FUTUSWARM_APP, or `app = \"NAME\"` in ./app.toml")
    })
}

/// The same for what may be about no app: `None` where nothing names one.
pub fn if_named(word: Option<&str>, flag: &AppFlag) -> Result<Option<String>> {
    let name = match (word, flag.app.as_deref()) {
        (Some(word), Some(flag)) if word != flag => {
            return Err(Failure::usage(format!("which app is meant: {word} or {flag}?")));
        }
        (Some(name), _) | (None, Some(name)) => Some(name.to_owned()),
        (None, None) => around(std::env::var("FUTUSWARM_APP").ok().as_deref(), Path::new(APP_FILE))?,
    };
    name.as_deref().map(checked).transpose()
}

/// A name that an app may have.
pub fn checked(name: &str) -> Result<String> {
    let name = futuswarm_model::app_name(name).map_err(|error| Failure::usage(format!("the app: {error}")))?;
    Ok(name.to_owned())
}

fn around(set: Option<&str>, file: &Path) -> Result<Option<String>> {
    match set.filter(|name| !name.is_empty()) {
        Some(name) => Ok(Some(name.to_owned())),
        None if file.exists() => named(file, &read(file)?),
        None => Ok(None),
    }
}

/// The text of an app's file.
pub fn read(file: &Path) -> Result<String> {
    let failure = |error: &std::io::Error| Failure::usage(format!("cannot read {}: {error}", file.display()));
    let length = std::fs::metadata(file).map_err(|error| failure(&error))?.len();
    if length > LONGEST_FILE {
        return Err(Failure::usage(format!("{} is {length} bytes long, which no app.toml is", file.display())));
    }
    std::fs::read_to_string(file).map_err(|error| failure(&error))
}

/// The app that a file with this text names, if it names one; what else is in it the cluster checks.
///
/// # Errors
/// With the line, when it is no TOML: nobody can say then which app it is about.
pub fn named(file: &Path, text: &str) -> Result<Option<String>> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(before).filter(|byte| *byte == b'\n').count() + 1;
        Failure::usage(format!("{}, line {line}: {}", file.display(), output::plain(error.message())))
    })?;
    match table.get("app") {
        None => Ok(None),
        Some(toml::Value::String(name)) => Ok(Some(name.clone())),
        Some(other) => Err(Failure::usage(format!(
            "{}: `app` is no text ({}): expected `app = \"NAME\"`",
            file.display(),
            other.type_str()
        ))),
    }
}

/// The app that a request is about.
pub fn of(request: &Request) -> Option<&str> {
    match request {
        Request::App { app }
        | Request::Rollback { app, .. }
        | Request::Scale { app, .. }
        | Request::Restart { app, .. }
        | Request::Cancel { app }
        | Request::Watch { app, .. }
        | Request::Releases { app, .. }
        | Request::Why { app, .. }
        | Request::Remove { app }
        | Request::Values { app, .. }
        | Request::Change { app, .. }
        | Request::History { app, .. }
        | Request::CompareVersions { app, .. }
        | Request::Run { app, .. }
        | Request::Access { app }
        | Request::Grant { app, .. }
        | Request::Revoke { app, .. }
        | Request::Tokens { app }
        | Request::CreateToken { app, .. }
        | Request::RevokeToken { app, .. }
        | Request::Images { app }
        | Request::Database { app }
        | Request::CreateDatabase { app, .. }
        | Request::RotateDatabase { app, .. }
        | Request::BackUpDatabase { app }
        | Request::RestoreDatabase { app, .. }
        | Request::OpenDatabase { app, .. }
        | Request::DropDatabase { app, .. }
        | Request::CollectImages { app: Some(app), .. } => Some(app),
        Request::Links { app } => Some(app),
        Request::Link(link) => Some(&link.app),
        Request::Admit(admit) => Some(&admit.app),
        Request::Deploy(deploy) => Some(&deploy.app),
        Request::Logs(logs) => Some(&logs.app),
        _ => None,
    }
}

/// The second app that a request is about.
pub fn other(request: &Request) -> Option<&str> {
    match request {
        Request::Link(link) => Some(&link.other),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(name: Option<&str>) -> AppFlag {
        AppFlag { app: name.map(str::to_owned) }
    }

    #[test]
    fn a_word_and_a_flag_may_not_differ_and_names_are_checked() {
        assert_eq!(chosen(Some("hello"), &flag(None)).unwrap(), "hello");
        assert_eq!(chosen(None, &flag(Some("hello"))).unwrap(), "hello");
        assert_eq!(chosen(Some("hello"), &flag(Some("hello"))).unwrap(), "hello");
        assert!(chosen(Some("hello"), &flag(Some("shop"))).unwrap_err().message.contains("hello or shop"));
        for bad in ["", "Hello", "a/b", "../x", "a b", "🦀"] {
            assert!(chosen(Some(bad), &flag(None)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_environment_comes_before_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app.toml");
        assert_eq!(around(None, &file).unwrap(), None);
        assert_eq!(around(Some(""), &file).unwrap(), None);
        std::fs::write(&file, "app = \"shop\"\nnonsense = [1]\n").unwrap();
        assert_eq!(around(None, &file).unwrap().as_deref(), Some("shop"));
        assert_eq!(around(Some("hello"), &file).unwrap().as_deref(), Some("hello"));
        std::fs::write(&file, "port = 80\n").unwrap();
        assert_eq!(around(None, &file).unwrap(), None);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_with_its_line_and_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app.toml");
        for (text, part) in [
            ("app = \"shop\"\nport = \n", "app.toml, line 2: "),
            ("app = \"shop\"\nport = 80\n[health\npath = \"/\"\n", "app.toml, line 3: "),
            ("no toml", "app.toml, line 1: "),
            ("app = 1", "expected `app = \"NAME\"`"),
        ] {
            std::fs::write(&file, text).unwrap();
            let refused = around(None, &file).unwrap_err();
            assert_eq!(refused.code, crate::failure::Code::Usage, "{refused}");
            assert!(refused.message.contains(part) && !refused.message.contains('\n'), "{refused}");
            assert_eq!(around(Some("hello"), &file).unwrap().as_deref(), Some("hello"), "the file does not count");
        }
    }
}
