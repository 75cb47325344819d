//! `app deploy`, `app:deploy` and `deploy` are one command: words are joined before clap sees them, so that its help and its suggestions
//! are the same for all.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::CommandFactory as _;

use super::Arguments;

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub enum Canonical {
    /// Arguments for clap.
    Argv(Vec<OsString>),
    /// A topic without a verb.
    Topic {
        /// As in `acl:user`.
        name: String,
        /// Whether help was asked for.
        help: bool,
    },
}

/// Options before the command that have a value of their own.
const WITH_VALUE: [&str; 3] = ["--cluster", "--env", "-e"];
/// The most words of a command: `swarm node label add`.
const MOST_WORDS: usize = 4;

/// Names and aliases of all commands.
pub fn names() -> BTreeSet<String> {
    let command = Arguments::command();
    let names = command.get_subcommands().flat_map(|command| {
        std::iter::once(command.get_name()).chain(command.get_all_aliases()).map(str::to_owned).collect::<Vec<_>>()
    });
    names.chain(["help".to_owned()]).collect()
}

/// Joins the words of the command, the program's name being the first of `argv`.
pub fn canonical(argv: Vec<OsString>) -> Canonical {
    let names = names();
    let mut at = 1;
    while let Some(word) = argv.get(at).and_then(|word| word.to_str()).filter(|word| word.starts_with('-')) {
        at += if WITH_VALUE.contains(&word) { 2 } else { 1 };
    }
    if argv.get(at).is_some_and(|word| word == "help") {
        at += 1;
    }
    let words: Vec<&str> =
        argv.iter().skip(at).map_while(|word| word.to_str()).take_while(|word| !word.starts_with('-')).collect();
    let Some(first) = words.first() else { return Canonical::Argv(argv) };
    // The longest name that the words make.
    let most = words.len().min(MOST_WORDS);
    let found = (1..=most).rev().map(|count| (count, words[..count].join(":"))).find(|(_, name)| names.contains(name));
    let (count, name) = match found {
        Some(found) => found,
        None => {
            let is_topic = |name: &str| names.iter().any(|known| known.starts_with(&format!("{name}:")));
            // As many words as are a topic, and the one behind them, which is no verb of it: clap says what is like it.
            match (1..=most).rev().map(|count| (count, words[..count].join(":"))).find(|(_, name)| is_topic(name)) {
                Some((count, topic)) if count == words.len() => {
                    let flags = argv.iter().skip(at + count).filter_map(|word| word.to_str());
                    let asked = argv.get(at - 1).is_some_and(|word| word == "help");
                    let help = asked || flags.into_iter().any(|flag| flag == "-h" || flag == "--help");
                    return Canonical::Topic { name: topic, help };
                }
                Some((count, _)) => (count + 1, words[..=count].join(":")),
                None => (1, (*first).to_owned()),
            }
        }
    };
    let mut joined = argv.clone();
    joined.splice(at..at + count, [OsString::from(name)]);
    Canonical::Argv(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Canonical {
        canonical(std::iter::once("futuswarm").chain(line.split_whitespace()).map(OsString::from).collect())
    }

    fn joined(line: &str) -> String {
        match of(line) {
            Canonical::Argv(argv) => argv[1..].iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" "),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn words_of_a_command_are_joined_and_no_others() {
        for (typed, canonical) in [
            ("app deploy hello", "app:deploy hello"),
            ("app:deploy hello", "app:deploy hello"),
            ("deploy hello", "deploy hello"),
            ("--json app deploy hello", "--json app:deploy hello"),
            ("--cluster app app deploy", "--cluster app app:deploy"),
            ("--cluster=app app deploy", "--cluster=app app:deploy"),
            ("-e default app deploy", "-e default app:deploy"),
            ("--env app app deploy", "--env app app:deploy"),
            ("acl user add jane", "acl:user:add jane"),
            ("acl user:add jane", "acl:user:add jane"),
            ("swarm node label add x", "swarm:node:label:add x"),
            ("config set hello A=b", "config:set hello A=b"),
            ("config hello", "config hello"),
            ("config -a set", "config -a set"),
            ("help app deploy", "help app:deploy"),
            ("run hello -- app deploy", "run hello -- app deploy"),
            // No verb of the topic: clap says so, with what is like it.
            ("app delpoy hello", "app:delpoy hello"),
            ("nothing at all", "nothing at all"),
            ("", ""),
        ] {
            assert_eq!(joined(typed), canonical, "{typed:?}");
        }
    }

    #[test]
    fn a_topic_alone_is_told_apart() {
        assert_eq!(of("app"), Canonical::Topic { name: "app".to_owned(), help: false });
        assert_eq!(of("acl user --help"), Canonical::Topic { name: "acl:user".to_owned(), help: true });
        assert_eq!(of("help swarm"), Canonical::Topic { name: "swarm".to_owned(), help: true });
    }
}
