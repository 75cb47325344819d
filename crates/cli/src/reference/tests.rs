//! The reference is generated here, and compared with what is in the tree.

use clap::{Arg, Command};

use super::*;
use crate::arguments::canonical::{Canonical, canonical};

const BEFORE: &str = "\
# The command line

The program `futuswarm`, for developers of apps. This page is generated from its definitions: a test compares them, and
`FUTUSWARM_BLESS=1 cargo test -p futuswarm-cli reference` writes it again.

Every command has a name with colons, and can be typed with spaces, too: `futuswarm app deploy` is `futuswarm app:deploy`. The ones that
are typed all day have a short name: `futuswarm deploy`. One short name is not what it looks like: `futuswarm open hello` opens an app in your
browser (`app:browse`), and `futuswarm app:open hello`, also typed `futuswarm app open hello`, shows it to the world.

**The app** is named by the first word or by `-a` (also `--app`, `-n`, `--name`), else by `FUTUSWARM_APP`, else by `app` in `app.toml` in
the folder. **The cluster** is the one named by `--cluster` or `FUTUSWARM_CLUSTER`, else the current one (`clusters:use`), else the only one.
`login` keeps a cluster under the name that it gives itself, or under that of `--cluster`, whatever `FUTUSWARM_CLUSTER` is.

**The environment** of the old command line (`-e`, `--env`) may be named when it is `default`, and any other is refused: an app has one
environment. For each other one make an app of its own, for example `hello-staging`, with config, secrets, owners and a host name of its own.

**Data** is on standard output, and everything else on standard error. `--json` prints the answer as one JSON document, whose fields keep
their names and their meaning; `logs` and `node:json` print one for each line. Without a terminal there is no changing line of progress,
and nothing is asked for. `-q` (`--quiet`) leaves progress and hints away; warnings and errors are said all the same. Colours are on a
terminal only, and `NO_COLOR` turns them off, also those that an app has put into its log.

**What is kept** is in `$FUTUSWARM_HOME`, else in `$XDG_CONFIG_HOME/futuswarm`, else in `~/.config/futuswarm`: a folder for each cluster
with `config.toml`, `known_hosts` with the cluster's SSH authority, and the socket of the control connection, which stays open for ten
minutes. `~/.ssh` is read by `ssh` and never written.

## Exit codes

| code | meaning |
|---|---|
| 0 | done, or nothing had to change |
| 1 | it failed, or the release was rolled back, cancelled or superseded |
| 2 | usage: what was asked for makes no sense |
| 3 | not allowed |
| 4 | there is no such app, release, key, user, token, node, image or cluster |
| 5 | locked: somebody else is changing the same |
| 6 | timed out |
| 7 | the cluster cannot be reached, or the connection was cut; what was asked for may have been done |
| 8 | the versions of the command line and the cluster do not fit |
| 141 | who read the output has gone (`futuswarm logs hello \\| head`) |

`run`, `shell` and `db:psql` pass on the program's own exit code.

";

fn arguments(command: &Command) -> String {
    let mut text = String::new();
    let shown = |arg: &&Arg| {
        !arg.is_hide_set() && !arg.is_global_set() && arg.get_id() != "help" && arg.get_id() != "version_flag"
    };
    for arg in command.get_arguments().filter(shown) {
        let value =
            arg.get_value_names().map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        let takes_value = arg.get_action().takes_values();
        let value = value.filter(|_| takes_value).unwrap_or_default();
        let mut names: Vec<String> = Vec::new();
        if let Some(short) = arg.get_short() {
            names.push(format!("-{short}"));
        }
        names.extend(arg.get_visible_short_aliases().into_iter().flatten().map(|short| format!("-{short}")));
        if let Some(long) = arg.get_long() {
            names.push(format!("--{long}"));
        }
        names.extend(arg.get_visible_aliases().into_iter().flatten().map(|long| format!("--{long}")));
        let mut name = names.join(", ");
        if !value.is_empty() {
            name = format!("{name} {value}").trim().to_owned();
        }
        let default: Vec<String> =
            arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
        let default = match takes_value && !default.is_empty() {
            true => format!(" (by default `{}`)", default.join(" ")),
            false => String::new(),
        };
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!("- `{name}`: {help}{default}\n"));
    }
    text
}

fn render() -> String {
    let mut text = format!("{BEFORE}{}\n## Commands\n", documents::section());
    let mut all = Arguments::command();
    all.build();
    for command in all.get_subcommands().filter(|command| command.get_name() != "help") {
        text.push_str(&format!("\n### `{}`\n\n", command.get_name()));
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!("{about}.\n"));
        let aliases: Vec<String> = command.get_visible_aliases().map(|alias| format!("`{alias}`")).collect();
        if !aliases.is_empty() {
            text.push_str(&format!("\nAlso {}.\n", aliases.join(", ")));
        }
        let arguments = arguments(command);
        if !arguments.is_empty() {
            text.push_str(&format!("\n{arguments}"));
        }
        let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples = examples.strip_prefix("Examples:\n").unwrap_or_default();
        let lines: Vec<&str> = examples.lines().map(str::trim_start).collect();
        text.push_str(&format!("\n```sh\n{}\n```\n", lines.join("\n")));
    }
    text
}

#[test]
fn the_reference_says_what_the_program_does() {
    let file = std::path::Path::new("../../docs/cli.md");
    let wanted = render();
    if std::env::var_os("FUTUSWARM_BLESS").is_some() {
        std::fs::write(file, &wanted).unwrap();
    }
    let there = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        there == wanted,
        "docs/cli.md is not what the definitions say: FUTUSWARM_BLESS=1 cargo test -p futuswarm-cli reference writes it"
    );
}

#[test]
fn every_command_has_an_example_that_can_be_typed() {
    let mut all = Arguments::command();
    all.build();
    for command in all.get_subcommands().filter(|command| command.get_name() != "help") {
        let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let lines = examples.lines().filter(|line| line.contains("futuswarm "));
        let mut checked = 0;
        for line in lines {
            let line = line.split_once(" #").map_or(line, |(line, _)| line);
            let typed = line.split_once("futuswarm ").unwrap().1;
            let typed = typed.split(['|', '<', '>', '&', ')', '"']).next().unwrap();
            let words = typed.split_whitespace().map(|word| word.trim_matches('\'').into());
            let argv: Vec<std::ffi::OsString> = std::iter::once("futuswarm".into()).chain(words).collect();
            let Canonical::Argv(argv) = canonical(argv) else { panic!("{line}: a topic alone") };
            // A quoted text of several words is one argument more than it should be, and harmless in these.
            if let Err(error) = Arguments::command().try_get_matches_from(argv) {
                panic!("{line}: {error}");
            }
            checked += 1;
        }
        assert!(checked > 0, "{} has no example", command.get_name());
    }
}

#[test]
fn definitions_are_consistent_and_shells_get_their_scripts() {
    Arguments::command().debug_assert();
    for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Arguments::command(), "futuswarm", &mut script);
        let script = String::from_utf8(script).unwrap();
        assert!(script.contains("app:deploy") || script.contains("app\\:deploy"), "{shell}");
    }
}
