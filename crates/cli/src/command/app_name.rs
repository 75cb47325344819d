//! Which app a command is for.

use std::path::Path;

use futuswarm_rpc::message::Request;

use crate::arguments::{App, AppFlag};
use crate::failure::{Failure, Result};

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
    let name = match (word, flag.app.as_deref()) {
        (Some(word), Some(flag)) if word != flag => {
            return Err(Failure::usage(format!("which app is meant: {word} or {flag}?")));
        }
        (Some(name), _) | (None, Some(name)) => name.to_owned(),
        (None, None) => around(std::env::var("FUTUSWARM_APP").ok().as_deref(), Path::new(APP_FILE))?,
    };
    checked(&name)
}

/// A name that an app may have.
pub fn checked(name: &str) -> Result<String> {
    let name = futuswarm_model::app_name(name).map_err(|error| Failure::usage(format!("the app: {error}")))?;
    Ok(name.to_owned())
}

fn around(set: Option<&str>, file: &Path) -> Result<String> {
    if let Some(name) = set.filter(|name| !name.is_empty()) {
        return Ok(name.to_owned());
    }
    let text = if file.exists() { Some(read(file)?) } else { None };
    let named = text.as_deref().and_then(named);
    named.ok_or_else(|| {
        Failure::usage("which app? Name it, or use -a, FUTUSWARM_APP, or `app = \"NAME\"` in ./app.toml")
    })
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

/// The app that a file names; what else is in it the cluster checks.
pub fn named(text: &str) -> Option<String> {
    let table: toml::Table = text.parse().ok()?;
    table.get("app")?.as_str().map(str::to_owned)
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
        assert!(around(None, &file).is_err());
        assert!(around(Some(""), &file).is_err());
        std::fs::write(&file, "app = \"shop\"\nnonsense = [1]\n").unwrap();
        assert_eq!(around(None, &file).unwrap(), "shop");
        assert_eq!(around(Some("hello"), &file).unwrap(), "hello");
        std::fs::write(&file, "app = 1").unwrap();
        assert!(around(None, &file).is_err());
        std::fs::write(&file, "no toml").unwrap();
        assert!(around(None, &file).is_err());
    }
}
