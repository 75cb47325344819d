//! `cargo xtask publish` and `cargo xtask image`: from a baked image to an AMI, and looking after the AMIs.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::cargo::Workspace;
use crate::verbs::{bake, deploy};
use crate::{host, preconditions, process};

/// The arguments are the publishing program's own; its `--help` has them.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub struct Publish {
    /// Passed on; see `cargo xtask publish --help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// The arguments are the publishing program's own; its `--help` has them.
#[derive(Debug, Args)]
#[command(disable_help_flag = true, disable_help_subcommand = true)]
pub struct Image {
    /// Passed on; see `cargo xtask image --help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Publish {
    /// Hands over to `futuswarm-publish`, with the local cloud's surroundings where `--local` says so.
    pub fn run(self) -> anyhow::Result<()> {
        let passed = Passed::read(self.arguments)?;
        passed.begin()?;
        let workspace = Workspace::find()?;
        if !passed.asks_for_help && !passed.rest.iter().any(|word| is(word, "--image")) {
            preconditions::folders()?;
            workspace.announce()?;
            host::prepare(true)?;
            // What goes to AWS is what the lock says; a rehearsal takes what Debian has today.
            let newer = passed.local.is_some() || passed.rest.iter().any(|word| word == "--rehearsal");
            bake::bake(&workspace, &newer.then(|| "--allow-newer".into()).into_iter().collect::<Vec<_>>())?;
        }
        passed.run(&workspace, "publish")
    }
}

impl Image {
    /// Hands over to `futuswarm-publish`, with the local cloud's surroundings where `--local` says so.
    pub fn run(self) -> anyhow::Result<()> {
        let passed = Passed::read(self.arguments)?;
        passed.begin()?;
        passed.run(&Workspace::find()?, "image")
    }
}

/// Arguments, less those that choose the local cloud.
#[derive(Debug, PartialEq, Eq)]
struct Passed {
    /// The local cloud's spec, if that is where to; an empty path means the usual one.
    local: Option<PathBuf>,
    asks_for_help: bool,
    rest: Vec<OsString>,
}

impl Passed {
    fn read(arguments: Vec<OsString>) -> anyhow::Result<Self> {
        let asks_for_help = arguments.iter().any(|word| word == "--help" || word == "-h");
        let (mut rest, mut local, mut spec) = (Vec::new(), false, None);
        let mut words = arguments.into_iter();
        while let Some(word) = words.next() {
            if word == "--local" {
                local = true;
            } else if word == "--spec" {
                spec = Some(PathBuf::from(words.next().context("--spec wants the path of a cluster spec")?));
            } else if let Some(path) = word.to_str().and_then(|word| word.strip_prefix("--spec=")) {
                spec = Some(path.into());
            } else {
                rest.push(word);
            }
        }
        anyhow::ensure!(local || spec.is_none(), "--spec names the spec of a local cloud; pass --local, too");
        Ok(Self { local: local.then(|| spec.unwrap_or_default()), asks_for_help, rest })
    }

    /// Only root has a local cloud.
    fn begin(&self) -> anyhow::Result<()> {
        match self.local.is_some() && !self.asks_for_help {
            true => preconditions::root(),
            false => Ok(()),
        }
    }

    fn run(self, workspace: &Workspace, verb: &str) -> anyhow::Result<()> {
        workspace.build(&["futuswarm-publish"])?;
        let mut command = match &self.local {
            Some(spec) if !self.asks_for_help => {
                workspace.build(&["futuswarm-local"])?;
                let usual = workspace.root.join("clusters/local.toml");
                let spec = if spec.as_os_str().is_empty() { usual } else { std::path::absolute(spec)? };
                let mut command = deploy::in_local_cloud(workspace, &spec, "futuswarm-publish")?;
                command.arg(verb);
                // Images of the local cloud are rehearsals, all of them.
                let given = self.rest.iter().any(|word| word == "--rehearsal");
                command.args((verb == "publish" && !given).then_some("--rehearsal"));
                command
            }
            _ => {
                let mut command = workspace.command("futuswarm-publish");
                command.arg(verb);
                command
            }
        };
        process::run(command.args(self.rest))
    }
}

/// Whether a word is this option, with or without its value.
fn is(word: &OsStr, option: &str) -> bool {
    word.to_str()
        .is_some_and(|word| word == option || word.strip_prefix(option).is_some_and(|rest| rest.starts_with('=')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> anyhow::Result<Passed> {
        Passed::read(words.iter().map(OsString::from).collect())
    }

    #[test]
    fn only_what_chooses_the_local_cloud_is_taken() {
        let passed = read(&["--json", "--local", "--spec", "a.toml", "--image=x", "--region", "r"]).unwrap();
        assert_eq!(passed.local, Some(PathBuf::from("a.toml")));
        assert_eq!(passed.rest, ["--json", "--image=x", "--region", "r"]);
        assert_eq!(read(&["--spec=b.toml", "--local"]).unwrap().local, Some(PathBuf::from("b.toml")));
        assert_eq!(read(&["list"]).unwrap().local, None);
        assert!(read(&["--spec", "a.toml"]).unwrap_err().to_string().contains("pass --local, too"));
        assert!(read(&["--local", "--spec"]).is_err());
    }

    #[test]
    fn an_option_is_found_with_its_value() {
        assert!(is(OsStr::new("--image"), "--image") && is(OsStr::new("--image=x"), "--image"));
        assert!(!is(OsStr::new("--images"), "--image") && !is(OsStr::new("x"), "--image"));
    }
}
