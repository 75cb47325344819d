//! An app in the bucket: its record, its tokens, its row in the index; and the lines of the audit.
//!
//! A record that has a field which this version of the program does not know is refused: writing it back would lose the field.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{AccessList, Release};

/// An app under `apps/<app>/app`. It is changed by compare-and-swap only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppRecord {
    /// As in the key of the record.
    pub name: String,
    /// The user who made it.
    pub created_by: String,
    /// In milliseconds since 1970.
    pub created_at: u64,
    /// Who may do what with it.
    pub access: AccessList,
    /// Number of the newest release, ended or on its way; 0 for none.
    #[serde(default)]
    pub latest: u64,
    /// The release that it runs with.
    #[serde(default)]
    pub release: Option<u64>,
    /// The release that is on its way.
    #[serde(default)]
    pub deploying: Option<Deploying>,
    /// Its tokens by their names. What is under `tokens/` and not here opens nothing.
    #[serde(default)]
    pub tokens: BTreeMap<String, AppToken>,
    /// Since when it is being removed, in milliseconds since 1970: then there is no such app any more, but not another one yet either.
    #[serde(default)]
    pub removing: Option<u64>,
    /// Random at each writing, so that two writers who want the same are told apart when an answer is lost.
    #[serde(default)]
    pub stamp: String,
}

/// A release on its way, and who is at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deploying {
    /// As far as it is; it gets a record of its own when it has ended.
    pub release: Release,
    /// The node whose control service drives it.
    pub holder: String,
    /// Counts the holders of this release, from 1.
    pub epoch: u64,
    /// Until when nobody else may take it over, in milliseconds since 1970.
    pub until: u64,
}

/// A token of an app: the key pair of a program. Only the public key was ever here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppToken {
    /// SHA-256 of the public key's blob (RFC 4253, 6.6), in hexadecimal digits.
    pub hash: String,
    /// As `ssh-keygen -l` prints it.
    pub fingerprint: String,
    /// The user who made it.
    pub by: String,
    /// In milliseconds since 1970.
    pub created_at: u64,
    /// Until when it is good, in milliseconds since 1970.
    pub expires_at: u64,
}

/// Whose a key is, under `tokens/<hash>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// The app whose record must name it, too.
    pub app: String,
    /// As in the app's record.
    pub name: String,
    /// Until when it is good, in milliseconds since 1970.
    pub expires_at: u64,
}

/// An app in the index. Fields that are not known here are left out: the index can be made again from the records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppEntry {
    /// In milliseconds since 1970.
    pub created_at: u64,
    /// Who may do what with it.
    pub access: AccessList,
    /// The release that it runs with.
    pub release: Option<u64>,
    /// The image of that release, as it was asked for.
    pub image: Option<String>,
    /// The release that is on its way.
    pub deploying: Option<u64>,
}

/// All apps by their names, under `cluster/apps`.
pub type AppIndex = BTreeMap<String, AppEntry>;

/// A line of the audit: who asked for what, and never a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// In milliseconds since 1970.
    pub at: u64,
    /// A user or a token.
    pub who: String,
    /// The command, in the words of the command line.
    pub verb: String,
    /// The app, when it was about one.
    pub app: Option<String>,
    /// `done`, or the class of the refusal.
    pub outcome: String,
    /// How long it took.
    pub milliseconds: u64,
    /// The address that they came from.
    pub from: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_a_newer_version_is_not_taken_for_one_of_ours() {
        let written = r#"{"name":"hello","created_by":"jane","created_at":1,"access":{"jane":"owner"}}"#;
        let record: AppRecord = serde_json::from_str(written).unwrap();
        assert_eq!((record.latest, record.release, record.removing), (0, None, None));
        let newer = written.replacen('{', r#"{"quota":1,"#, 1);
        let error = serde_json::from_str::<AppRecord>(&newer).unwrap_err().to_string();
        assert!(error.contains("unknown field `quota`"), "{error}");
        let row =
            r#"{"created_at":1,"access":{"jane":"owner"},"release":2,"image":"hello:1","deploying":null,"new":1}"#;
        assert_eq!(serde_json::from_str::<AppEntry>(row).unwrap().release, Some(2));
    }
}
