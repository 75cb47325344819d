//! `KEY=VALUE` as words of a command.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use futuswarm_rpc::message::Value;

use crate::failure::{Failure, Result};

/// The most bytes of one value, or of one dotenv text: a message of the protocol holds no more of what JSON has to escape.
const LONGEST: u64 = 4 << 20;

/// What the words of `config:set` say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The first word, when it is no value.
    pub app: Option<String>,
    /// Keys and values.
    pub set: BTreeMap<String, Value>,
    /// Whether a dotenv text comes on standard input.
    pub dotenv: bool,
    /// Keys whose values stood among the arguments.
    pub typed: Vec<String>,
}

impl Words {
    /// Refuses a dash as a secret that stood among the arguments: versions before this one have read standard input for it, and whoever
    /// still pipes a secret would get a dash for it.
    pub fn refuse_dashes(&self) -> Result<()> {
        match self.typed.iter().find(|key| self.set.get(*key).is_some_and(|value| value.bytes() == b"-")) {
            Some(key) => Err(Failure::usage(format!(
                "`{key}=-` does not read standard input, and `{key}=@-` does; to set the value `-` itself, give it by standard input"
            ))),
            None => Ok(()),
        }
    }
}

/// Reads the words. Only an `@` directly behind the first `=` means a file, or with `@-` standard input: a value that looks like a path
/// stays a value, and so does one dash.
pub fn words(words: &[OsString], input: &mut dyn Read) -> Result<Words> {
    let mut said = Words::default();
    let mut input = Some(input);
    for (at, word) in words.iter().enumerate() {
        let bytes = word.as_bytes();
        if bytes == b"-" {
            let once = input.take().ok_or_else(input_twice)?;
            // Read later, by whoever wants the text.
            let _later = once;
            said.dotenv = true;
            continue;
        }
        let Some(equals) = bytes.iter().position(|byte| *byte == b'=') else {
            match (at, word.to_str()) {
                (0, Some(app)) => said.app = Some(app.to_owned()),
                _ => return Err(Failure::usage(format!("{word:?} is neither KEY=VALUE nor KEY=@FILE"))),
            }
            continue;
        };
        let key = String::from_utf8(bytes[..equals].to_vec())
            .ok()
            .filter(|key| !key.is_empty())
            .ok_or_else(|| Failure::usage("a key before `=` has to be text and not empty"))?;
        let value = match &bytes[equals + 1..] {
            [b'@', b'@', rest @ ..] => {
                said.typed.push(key.clone());
                [b"@", rest].concat()
            }
            b"@-" => {
                let input = input.take().ok_or_else(input_twice)?;
                all(input, &key)?
                    .map_err(|error| Failure::usage(format!("{key}: cannot read standard input: {error}")))?
            }
            [b'@', path @ ..] => {
                let path = PathBuf::from(OsString::from_vec(path.to_vec()));
                let failure = |error: &std::io::Error| {
                    Failure::usage(format!(
                        "{key}: cannot read the file {}: {error}; `{key}=@@…` is a value that begins with @",
                        path.display()
                    ))
                };
                let file = std::fs::File::open(&path).map_err(|error| failure(&error))?;
                all(file, &key)?.map_err(|error| failure(&error))?
            }
            value => {
                said.typed.push(key.clone());
                value.to_vec()
            }
        };
        if said.set.insert(key.clone(), Value::from(value)).is_some() {
            return Err(Failure::usage(format!("{key} is given twice")));
        }
    }
    if said.set.is_empty() && !said.dotenv {
        return Err(Failure::usage("nothing to set: KEY=VALUE, KEY=@FILE, or - for a dotenv file on standard input"));
    }
    Ok(said)
}

fn input_twice() -> Failure {
    Failure::usage("standard input can be one value only")
}

fn all(from: impl Read, what: &str) -> Result<std::io::Result<Vec<u8>>> {
    let mut bytes = Vec::new();
    match from.take(LONGEST + 1).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() as u64 > LONGEST => Err(Failure::usage(format!(
            "{what}: more than {} MiB are no value; put it into the image or a bucket",
            LONGEST >> 20
        ))),
        Ok(_) => Ok(Ok(bytes)),
        Err(error) => Ok(Err(error)),
    }
}

/// The text of a dotenv file.
pub fn dotenv(from: impl Read, what: &str) -> Result<Value> {
    let read = all(from, what)?.map_err(|error| Failure::usage(format!("cannot read {what}: {error}")))?;
    Ok(Value::from(read))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &[&str], input: &[u8]) -> Result<Words> {
        let given: Vec<OsString> = given.iter().map(OsString::from).collect();
        words(&given, &mut &*input)
    }

    #[test]
    fn only_an_at_sign_right_behind_the_equals_sign_is_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a b");
        std::fs::write(&file, [0xff, 0, b'\n']).unwrap();
        let at = format!("BLOB=@{}", file.display());
        let said = read(
            &[
                "hello",
                &at,
                "PATH_LIKE=/etc/passwd",
                "HANDLE=@@jane",
                "MAIL=a@b",
                "Q=\"'\n=🦀",
                "EMPTY=",
                "X==@y",
                "ACCESS_LOG=-",
                "DASH=@@-",
            ],
            b"of standard input",
        )
        .unwrap();
        assert_eq!(said.app.as_deref(), Some("hello"));
        let expected: [(&str, &[u8]); 9] = [
            ("BLOB", &[0xff, 0, b'\n']),
            ("PATH_LIKE", b"/etc/passwd"),
            ("HANDLE", b"@jane"),
            ("MAIL", b"a@b"),
            ("Q", "\"'\n=🦀".as_bytes()),
            ("EMPTY", b""),
            ("X", b"=@y"),
            ("ACCESS_LOG", b"-"),
            ("DASH", b"@-"),
        ];
        for (key, value) in expected {
            assert_eq!(said.set[key].bytes(), value, "{key}");
        }
        assert_eq!(said.set.len(), expected.len());
        assert!(!said.typed.contains(&"BLOB".to_owned()));
    }

    #[test]
    fn standard_input_is_one_value_or_a_dotenv_text() {
        let said = read(&["KEY=@-"], &[1, 2, 0xff]).unwrap();
        assert_eq!((said.app, said.set["KEY"].bytes()), (None, &[1, 2, 0xff][..]));
        assert!(read(&["hello", "-"], b"A=1").unwrap().dotenv);
        assert!(read(&["A=@-", "B=@-"], b"").unwrap_err().message.contains("one value only"));
        assert!(read(&["A=@-", "-"], b"").unwrap_err().message.contains("one value only"));
        // A value that is a dash is none of these.
        assert!(read(&["A=-", "B=-", "-"], b"C=1").unwrap().dotenv);
    }

    #[test]
    fn a_dash_is_no_secret_unless_it_comes_from_elsewhere_than_the_arguments() {
        let refused = read(&["hello", "A=1", "API_KEY=-"], b"").unwrap().refuse_dashes().unwrap_err();
        assert!(refused.message.contains("`API_KEY=@-` does"), "{}", refused.message);
        for word in ["API_KEY=@-", "API_KEY=@@-", "API_KEY=--", "API_KEY="] {
            read(&["hello", word], b"-").unwrap().refuse_dashes().unwrap();
        }
    }

    #[test]
    fn what_is_no_value_is_refused_without_being_shown() {
        for bad in [&[][..], &["hello"], &["A=1", "hello"], &["=x"], &["A=@/nowhere/at/all"], &["A=1", "A=2"]] {
            assert!(read(bad, b"").is_err(), "{bad:?}");
        }
        let long = vec![b'x'; (LONGEST + 1) as usize];
        assert!(read(&["A=@-"], &long).unwrap_err().message.contains("no value"));
        assert_eq!(read(&["A=@-"], &long[1..]).unwrap().set["A"].bytes().len() as u64, LONGEST);
    }
}
