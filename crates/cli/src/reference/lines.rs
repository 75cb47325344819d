//! Command lines as documents and scripts have them, read by the program's own parser.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::CommandFactory as _;
use clap::parser::ValueSource;

use crate::arguments::Arguments;
use crate::arguments::canonical::{Canonical, canonical, names};

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Typed {
    /// Its full name, however it was typed: `deploy` is `app:deploy`.
    pub(super) command: String,
    /// As in `--plan`: those of the command's own that were given, but not the one that names the app.
    pub(super) options: BTreeSet<String>,
}

/// The words of a line up to where a shell ends the command, without their quotes. Variables stay as they are written.
pub(super) fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut begun, mut quote) = (Vec::new(), String::new(), false, None);
    let mut letters = line.chars();
    while let Some(c) = letters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"') | None, '\\') => word.extend(letters.next()),
            (Some(_), c) => word.push(c),
            (None, '"' | '\'') => (quote, begun) = (Some(c), true),
            (None, '|' | '<' | '>' | ';' | '&' | ')') => break,
            (None, '#') if !begun => break,
            (None, c) if c.is_whitespace() => {
                words.extend(begun.then(|| std::mem::take(&mut word)));
                begun = false;
            }
            (None, c) => {
                word.push(c);
                begun = true;
            }
        }
    }
    words.extend(begun.then_some(word));
    words
}

/// What words ask for, the program's name being the first of them.
pub(super) fn parsed<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Typed, String> {
    let words: Vec<&str> = words.into_iter().collect();
    let line = words.join(" ");
    let Canonical::Argv(argv) = canonical(words.into_iter().map(OsString::from).collect()) else {
        return Err(format!("{line}: a topic alone"));
    };
    let name = argv.get(1).and_then(|word| word.to_str()).unwrap_or_default().to_owned();
    if !names().contains(&name) {
        return Err(format!("{line}: there is no command {name}"));
    }
    let all = Arguments::command();
    let found = match all.clone().try_get_matches_from(argv) {
        Ok(found) => found,
        Err(error) if error.use_stderr() => return Err(format!("{line}: {error}")),
        // Help, which is no failure.
        Err(_) => return Ok(Typed { command: name, options: BTreeSet::new() }),
    };
    let (command, given) = found.subcommand().ok_or_else(|| format!("{line}: no command"))?;
    let definition = all.find_subcommand(command).ok_or_else(|| format!("{line}: no command {command}"))?;
    let own = definition.get_arguments().filter(|arg| arg.get_id() != "app");
    let typed = own.filter(|arg| given.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine));
    let options = typed.filter_map(|arg| arg.get_long()).map(|long| format!("--{long}")).collect();
    Ok(Typed { command: command.to_owned(), options })
}

#[test]
fn words_end_where_a_shell_ends_the_command() {
    for (line, expected) in [
        ("a b  c", &["a", "b", "c"][..]),
        ("set 'X=good morning' \"Y=a \\\"b\\\" 'c'\"", &["set", "X=good morning", "Y=a \"b\" 'c'"]),
        ("set - <.env", &["set", "-"]),
        ("link a b       # an owner", &["link", "a", "b"]),
        ("list # x | y", &["list"]),
        ("say '' a#b | less; more", &["say", "", "a#b"]),
        ("", &[]),
    ] {
        assert_eq!(words(line), expected, "{line}");
    }
}

#[test]
fn a_line_is_known_by_its_full_name_and_its_own_options() {
    for (line, command, options) in [
        ("futuswarm deploy hello -i hello:1 --plan", "app:deploy", &["--image", "--plan"][..]),
        ("futuswarm app logs -f -n hello --json", "app:logs", &["--follow"]),
        ("futuswarm watch hello 3", "app:watch", &[]),
        ("futuswarm help deploy", "help", &[]),
    ] {
        let typed = parsed(line.split(' ')).unwrap();
        assert_eq!(typed.command, command, "{line}");
        assert!(typed.options.iter().eq(options), "{line}: {typed:?}");
    }
    assert!(parsed(["futuswarm", "app:watch", "hello", "--bogus"]).is_err());
    assert!(parsed(["futuswarm", "app"]).is_err());
}
