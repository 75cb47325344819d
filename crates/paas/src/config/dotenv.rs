//! Files of `KEY=value` lines, as many tools write them. Nothing is looked up and nothing is run: `$HOME` stays `$HOME`.
//!
//! Own code, since what the libraries for it have in common is to replace variables with those of the process that reads.

use std::fmt;

use super::{ConfigError, Values, check_key};

/// So many lines that cannot be read are told at once. A file may have millions of them, and nobody reads more.
pub const MOST_ERRORS: usize = 100;
/// The most keys that a file may set: each takes some dozens of bytes beside its own and its value's.
pub const MOST_KEYS: usize = 10_000;
/// So much of a name is shown, in characters.
const LONGEST_SHOWN: usize = 64;

/// A line that cannot be read. It says nothing of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DotenvError {
    /// The line where the entry begins, from 1.
    pub line: usize,
    /// What is wrong with it, and what would be right.
    pub reason: String,
}

impl fmt::Display for DotenvError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for DotenvError {}

/// Reads a file: `KEY=value` lines, with `export ` before them if one likes, empty lines, and comments from `#`.
///
/// A value ends at the line's end, without the space around it and a comment that begins with ` #`. Between single quotes it is as
/// it stands, over several lines, too; between double quotes `\n`, `\r`, `\t`, `\"`, `\\` and `\$` have their usual meaning. A key
/// that is there twice is an error, since only one of both can be meant.
///
/// # Errors
/// All lines that cannot be read, [`MOST_ERRORS`] at most, and the line with a key after [`MOST_KEYS`] others.
pub fn parse(text: &str) -> Result<Values, Vec<DotenvError>> {
    let (mut values, mut errors) = (Values::new(), Vec::new());
    let mut rest = Rest { text: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 };
    while !rest.text.is_empty() && errors.len() < MOST_ERRORS {
        let line = rest.line;
        match rest.entry() {
            Ok(None) => {}
            Ok(Some((key, value))) => match check_key(&key) {
                Err(error) => errors.push(DotenvError { line, reason: reason(&error) }),
                Ok(()) if values.contains_key(&key) => {
                    let reason = format!("{} is there already, in a line above", shown(&key));
                    errors.push(DotenvError { line, reason });
                }
                Ok(()) if values.len() == MOST_KEYS => {
                    let reason = format!("{MOST_KEYS} keys stand above, and one file sets no more");
                    errors.push(DotenvError { line, reason });
                    break;
                }
                Ok(()) => {
                    values.insert(key, value);
                }
            },
            Err(reason) => errors.push(DotenvError { line, reason }),
        }
    }
    match errors.is_empty() {
        true => Ok(values),
        false => Err(errors),
    }
}

/// What is wrong with a name. One that cannot be any is not shown: it may be a line of a value that somebody forgot to quote, such as the
/// last one of a private key, which ends with `=`.
fn reason(error: &ConfigError) -> String {
    match error {
        ConfigError::Key(_) => {
            "what stands before the '=' is no name of an environment variable: letters, digits and '_', not beginning with a digit; a value of several lines stands between quotes".to_owned()
        }
        ConfigError::Reserved(key) => ConfigError::Reserved(shown(key)).to_string(),
        other => other.to_string(),
    }
}

/// A name, or the beginning of one that nobody would read to its end.
fn shown(key: &str) -> String {
    match key.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{}…", &key[..end]),
        None => key.to_owned(),
    }
}

/// Writes a file that [`parse`] reads back to the same values.
#[must_use]
pub fn render(values: &Values) -> String {
    values.iter().map(|(key, value)| format!("{key}={}\n", quoted(value))).collect()
}

fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./:@%+,=".contains(c);
    if value.chars().all(plain) {
        return value.to_owned();
    }
    let mut text = String::with_capacity(value.len() + 2);
    text.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' | '$' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

struct Rest<'a> {
    text: &'a str,
    /// The line that the text begins with, from 1.
    line: usize,
}

impl<'a> Rest<'a> {
    /// Takes a line, without its end.
    fn line(&mut self) -> &'a str {
        let (line, rest) = self.text.split_once('\n').unwrap_or((self.text, ""));
        (self.text, self.line) = (rest, self.line + 1);
        line.strip_suffix('\r').unwrap_or(line)
    }

    /// The next entry; `None` for a line without one. Whatever comes of it, the rest begins behind it.
    fn entry(&mut self) -> Result<Option<(String, String)>, String> {
        let begin = self.text.trim_start_matches([' ', '\t']);
        if begin.is_empty() || begin.starts_with(['\n', '\r', '#']) {
            self.line();
            return Ok(None);
        }
        let first = begin.split('\n').next().unwrap_or_default();
        let Some((key, _)) = first.split_once('=') else {
            self.line();
            return Err("there is no '=': a line is KEY=value".to_owned());
        };
        let name = key.trim();
        let name = name.strip_prefix("export ").map_or(name, str::trim_start).to_owned();
        let value = begin[key.len() + 1..].trim_start_matches([' ', '\t']);
        match value.chars().next() {
            Some(quote @ ('\'' | '"')) => {
                self.text = &value[1..];
                self.quoted(quote).map(|value| Some((name, value)))
            }
            _ => {
                self.text = value;
                Ok(Some((name, bare(self.line()).to_owned())))
            }
        }
    }

    /// What stands up to the closing quote, and nothing but a comment behind it.
    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let (mut value, mut chars) = (String::new(), self.text.char_indices());
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.line += self.text[..at].matches('\n').count();
                    self.text = &self.text[at + 1..];
                    let after = self.line().trim();
                    return match after.is_empty() || after.starts_with('#') {
                        true => Ok(value),
                        false => Err("something stands behind the closing quote".to_owned()),
                    };
                }
                '\\' if quote == '"' => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, 'r')) => value.push('\r'),
                    Some((_, 't')) => value.push('\t'),
                    Some((_, c @ ('"' | '\\' | '$'))) => value.push(c),
                    // Others are as they stand: what writes these files does not escape more.
                    Some((_, c)) => value.extend(['\\', c]),
                    None => {}
                },
                c => value.push(c),
            }
        }
        // The quote may be missing in this line only.
        self.line();
        Err(format!("the value begins with {quote} and has no other one at its end"))
    }
}

/// A value without quotes.
fn bare(line: &str) -> &str {
    let end = line.find(" #").or_else(|| line.find("\t#")).unwrap_or(line.len());
    match line.starts_with('#') {
        true => "",
        false => line[..end].trim_end(),
    }
}
