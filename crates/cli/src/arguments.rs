//! What can be typed. Every command has one name with colons; the other ways to write it are joined to that before (`canonical`).

use std::ffi::OsString;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use futuswarm_output::{eprintln, println};

pub mod canonical;
mod options;
mod verbs;

pub use options::*;
pub use verbs::{AppVerb, DatabaseVerb, ImageVerb, NodeVerb, PeopleVerb, ValueVerb, Verb};

/// Futuswarm: apps on a Swarm of your own.
#[derive(Debug, Parser)]
#[command(name = "futuswarm", version, about, disable_help_subcommand = false, after_help = AFTER_HELP)]
pub struct Arguments {
    /// Print the answer as a JSON document
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress on standard error
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// The cluster, when several are known; FUTUSWARM_CLUSTER names it for commands without the option
    // Not by clap's own `env`: what is logged in to is kept under the name that was typed, and never under the variable's.
    #[arg(long, global = true, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Only `default`: there is no other one, and who does not name it means it.
    #[arg(short = 'e', long = "env", global = true, hide = true, value_name = "ENV", value_parser = environment)]
    pub environment: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options of the old command line are not ignored when they would have meant something.
fn environment(text: &str) -> Result<String, String> {
    match text {
        "default" => Ok(text.to_owned()),
        _ => Err("an app has one environment, `default`: make an app of its own for each other one, for example `hello-staging`"
            .to_owned()),
    }
}

const AFTER_HELP: &str = "\
Every command can be typed with spaces, too: `futuswarm app deploy` is `futuswarm app:deploy`, or `futuswarm deploy`.
The app is named by the first word or by -a (also --app, -n, --name), else by FUTUSWARM_APP, else by `app` in ./app.toml.

Exit codes: 0 done or unchanged, 1 failed or rolled back, 2 usage, 3 not allowed, 4 not found, 5 locked, 6 timed out,
7 cannot reach the cluster, 8 versions do not fit. `run`, `shell` and `db:psql` pass on the program's own.";

/// Reads the arguments; the exit code when they cannot be used, or when help is all that was wanted.
pub fn parse(argv: Vec<OsString>) -> Result<Arguments, u8> {
    let parsed = Arguments::command().try_get_matches_from(argv).and_then(|found| Arguments::from_arg_matches(&found));
    parsed.map_err(|error| {
        let printed = futuswarm_output::end_if_reader_gone(error.print());
        match (error.use_stderr(), printed) {
            (true, _) => 2,
            (false, Err(_)) => 1,
            (false, Ok(())) => 0,
        }
    })
}

/// Lists the commands of a topic, and returns the exit code.
pub fn print_topic(topic: &str, help: bool) -> u8 {
    let command = Arguments::command();
    let prefix = format!("{topic}:");
    let mut text = format!("Commands of {topic}:\n");
    for verb in command.get_subcommands().filter(|verb| verb.get_name().starts_with(&prefix)) {
        let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!("  {:24} {about}\n", verb.get_name()));
    }
    match help {
        true => println!("{}", text.trim_end()),
        false => eprintln!("error: {topic} is a topic: say what to do with it\n\n{}", text.trim_end()),
    }
    if help { 0 } else { 2 }
}
