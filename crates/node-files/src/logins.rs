//! Who may log in over SSH, as sshd's helper reads it: a copy of what the bucket says, written by the control service.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, replace};

/// All keys that may log in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logins {
    /// When the bucket was read for it, in milliseconds since 1970.
    pub written_at: u64,
    /// People by their name.
    #[serde(default)]
    pub users: BTreeMap<String, LoginKeys>,
    /// Tokens of apps by the SHA-256 of their public key's blob, in hexadecimal digits.
    #[serde(default)]
    pub tokens: BTreeMap<String, LoginToken>,
}

/// The keys of one person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginKeys {
    /// Algorithm and base64, one space between them, as in the user's record.
    #[serde(default)]
    pub keys: BTreeSet<String>,
}

/// A key of CI that may act on one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginToken {
    /// The one app that it opens.
    pub app: String,
    /// What its maker called it.
    pub name: String,
    /// The end of its time, in milliseconds since 1970.
    pub expires_at: u64,
}

impl Logins {
    /// Reads what was written last.
    ///
    /// # Errors
    /// When the file cannot be read, or is something else.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read(path).map_err(Error::of(path))?;
        serde_json::from_slice(&text).map_err(|error| Error::new(path, error))
    }

    /// Puts this in the place of what is there, all of it or nothing. The file is on the disk when this returns, so that a power
    /// cut leaves either the old one or this.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_vec(self).map_err(|error| Error::new(path, error))?;
        let temporary = path.with_extension("new");
        replace(&temporary, &text)?;
        let file = std::fs::File::open(&temporary).map_err(Error::of(&temporary))?;
        // sshd's helper has an account of its own, and public keys are no secret; the writer's umask may say otherwise.
        file.set_permissions(std::fs::Permissions::from_mode(0o644)).map_err(Error::of(&temporary))?;
        file.sync_all().map_err(Error::of(&temporary))?;
        std::fs::rename(&temporary, path).map_err(Error::of(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_half_a_file_is_an_error() {
        let dir = std::env::temp_dir().join(format!("futuswarm-logins-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("logins.json");
        let mut logins = Logins { written_at: 7, ..Logins::default() };
        let keys = BTreeSet::from(["ssh-ed25519 AAAA".to_owned()]);
        logins.users.insert("jane".to_owned(), LoginKeys { keys });
        let token = LoginToken { app: "hello".to_owned(), name: "ci".to_owned(), expires_at: 9 };
        logins.tokens.insert("00ff".to_owned(), token);
        assert!(Logins::read(&path).is_err(), "there is none yet");
        logins.write(&path).unwrap();
        assert_eq!(Logins::read(&path).unwrap(), logins);
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() / 2]).unwrap();
        let error = Logins::read(&path).unwrap_err().to_string();
        assert!(error.contains("logins.json"), "{error}");
        // Fields of a later version are no error: the helper of an older image still lets people in.
        std::fs::write(&path, br#"{"written_at":1,"users":{"a":{"keys":[],"more":1}},"new":{}}"#).unwrap();
        assert!(Logins::read(&path).unwrap().users.contains_key("a"));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
