//! The maps that Apache reads at requests: whom an app admits, and who is locked out everywhere.
//!
//! A line is a key and one word. The word is percent-encoded, since a text map knows no spaces; what it decodes to is read by Apache once
//! more, as the words behind `Require claim`. Apache cuts a line after 1,024 bytes, in the middle of a name, and `bob@example.community`
//! then admits `bob@example.com` (seen): lists are divided over several lines here, and refused when they do not fit.

use std::collections::{BTreeMap, BTreeSet};

use crate::Error;
use crate::access::{Access, App, Entry};
use crate::check;
use crate::login::Login;

/// Lines of one list.
pub(crate) const LINES: usize = 4;
/// Stands behind the host in the key of an app that lets other apps' pages in. No host has a `+`.
pub(crate) const SIBLINGS: &str = "+siblings";
/// The key of the list of who is locked out.
pub(crate) const EVERYWHERE: &str = "everywhere";
/// The default of a list that is not there, which the configuration asks for by this name.
pub(crate) const NONE: &str = "none";
/// Well below what Apache reads of a line, its end included.
const LINE_BYTES: usize = 1000;
/// What separates words, encoded.
const SPACE: &str = "%20";
/// A claim that nobody has: `Require claim` wants some word, and a word with a colon is a list to the configuration.
const NOBODY: &str = "nobody:";
const WHOSE_LOCKED: &str = "who is locked out";

/// Expands to the whole list of a key in Apache's configuration.
pub(crate) fn lookups(map: &str, key: &str) -> String {
    let more: String = (1..LINES).map(|line| format!("${{{map}:{key}+{line}|}}")).collect();
    format!("${{unescape:${{{map}:{key}|{NONE}}}{more}}}")
}

/// Hosts, and whom each admits.
pub(crate) fn allow(login: &Login, apps: &BTreeMap<String, App>) -> Result<String, Error> {
    let mut text = String::new();
    for (host, app) in apps {
        check::app(login, host, app)?;
        let words = match &app.access {
            Access::Open => vec!["public".to_owned()],
            Access::Everybody => vec!["anybody".to_owned()],
            Access::Only(entries) if entries.is_empty() => vec![NOBODY.to_owned()],
            Access::Only(entries) => entries.iter().map(|entry| word(&claim(login, entry))).collect(),
        };
        list(host, host, &words, &mut text)?;
        if app.siblings {
            text.push_str(&format!("{host}{SIBLINGS} yes\n"));
        }
    }
    Ok(text)
}

/// One list for all hosts, of nobody if nobody is on it: without it nobody gets in.
pub(crate) fn locked(login: &Login, locked: &BTreeSet<Entry>) -> Result<String, Error> {
    let mut words = Vec::new();
    for entry in locked {
        check::listed(login, WHOSE_LOCKED, entry)?;
        words.push(word(&locked_claim(login, entry)));
    }
    if words.is_empty() {
        words.push(NOBODY.to_owned());
    }
    let mut text = String::new();
    list(EVERYWHERE, WHOSE_LOCKED, &words, &mut text)?;
    Ok(text)
}

/// The lines of a list: `key`, `key+1`, and so on.
fn list(key: &str, whose: &str, words: &[String], text: &mut String) -> Result<(), Error> {
    // The key with a number, the space behind it, the space behind a word, and the line's end.
    let room = LINE_BYTES.saturating_sub(key.len() + "+0".len() + " ".len() + "\n".len());
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        let needed = word.len() + SPACE.len();
        if let Some(line) = lines.last_mut().filter(|line| line.len() + needed <= room) {
            line.push_str(&format!("{word}{SPACE}"));
        } else if needed <= room && lines.len() < LINES {
            lines.push(format!("{word}{SPACE}"));
        } else {
            return Err(Error::TooMany { whose: whose.to_owned() });
        }
    }
    if let [only] = words {
        // What the configuration compares with `public` and `anybody`.
        lines = vec![only.clone()];
    }
    for (number, line) in lines.iter().enumerate() {
        match number {
            0 => text.push_str(&format!("{key} {line}\n")),
            _ => text.push_str(&format!("{key}+{number} {line}\n")),
        }
    }
    Ok(())
}

/// As `Require claim` names it: to the letter as the provider says it.
fn claim(login: &Login, entry: &Entry) -> String {
    match entry {
        Entry::User(name) => format!("{}:{name}", login.claims.user),
        Entry::Group(name) => format!("{}:{name}", group_claim(login)),
    }
}

/// Whoever is locked out is so in capitals and small letters: providers do not always say a name in the same.
fn locked_claim(login: &Login, entry: &Entry) -> String {
    let Entry::User(name) = entry else { return claim(login, entry) };
    let mut expression = format!("{}~(?i)^", login.claims.user);
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() {
            expression.push('\\');
        }
        expression.push(c);
    }
    expression.push('$');
    expression
}

/// Checked: no group is listed where there is none.
fn group_claim(login: &Login) -> &str {
    login.claims.groups.as_deref().unwrap_or_default()
}

/// A word as Apache's configuration would have it, in quotes if need be, percent-encoded.
fn word(claim: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:@=,".contains(c);
    if claim.chars().all(plain) {
        return claim.to_owned();
    }
    let quoted = format!("\"{}\"", claim.replace('\\', "\\\\").replace('"', "\\\""));
    let mut word = String::new();
    for byte in quoted.bytes() {
        let c = char::from(byte);
        if plain(c) { word.push(c) } else { word.push_str(&format!("%{byte:02X}")) }
    }
    word
}
