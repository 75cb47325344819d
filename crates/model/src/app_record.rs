//! An app in the bucket: its record, its tokens, its row in the index; and the lines of the audit.
//!
//! A record that has a field which this version of the program does not know is refused: writing it back would lose the field.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{AccessList, Admission, Release};

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
    /// Other apps that it wants to share a network with, by their names. One counts once the record of that app names this one, too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, Link>,
    /// Its tasks may be on other networks than the links say, and somebody has to look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reattach: Option<Reattach>,
    /// Whom it admits at the login. Not written where that is everybody who can log in, so that older programs read the record.
    #[serde(default, skip_serializing_if = "is_default")]
    pub admission: Admission,
    /// What edges read of [`AppRecord::admission`] may be older, and somebody has to bring it up to date. Random, so that who has done that
    /// takes back what they were asked, and not what somebody has asked since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpublished: Option<u64>,
    /// Its database, from before it is made until after it is dropped. Not written where there is none: programs that know none read
    /// the record then, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<AppDatabase>,
    /// Since when it is being removed, in milliseconds since 1970: then there is no such app any more, but not another one yet either.
    #[serde(default)]
    pub removing: Option<u64>,
    /// Random at each writing, so that two writers who want the same are told apart when an answer is lost.
    #[serde(default)]
    pub stamp: String,
}

impl AppRecord {
    /// The record of an app that `by` makes and owns at `now`, in milliseconds since 1970. It has no release, and no stamp yet.
    #[must_use]
    pub fn new(name: &str, by: &str, now: u64) -> Self {
        Self {
            name: name.to_owned(),
            created_by: by.to_owned(),
            created_at: now,
            access: AccessList::owned_by(by),
            latest: 0,
            release: None,
            deploying: None,
            tokens: BTreeMap::new(),
            links: BTreeMap::new(),
            reattach: None,
            admission: Admission::default(),
            unpublished: None,
            database: None,
            removing: None,
            stamp: String::new(),
        }
    }

    /// Whether somebody has something to do for it: then it has a marker under `cluster/pending/`.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.deploying.is_some() || self.reattach.is_some() || self.unpublished.is_some()
    }

    /// Asks for a look at the networks of its tasks, as soon as somebody can. `by` is said of a release that follows; `tell` are other
    /// apps for which the same may follow.
    pub fn ask_to_reattach(&mut self, by: &str, tell: &[&str]) {
        let (asked, mut told) =
            self.reattach.take().map_or_else(Default::default, |before| (before.asked, before.tell));
        told.extend(tell.iter().map(|name| (*name).to_owned()));
        let by = by.to_owned();
        self.reattach = Some(Reattach { by, tell: told, asked: asked + 1, attempts: 0, not_before: 0 });
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// An app's own half of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// `created_at` of the record that the other app had then. A later app of the same name has another one, and is not meant.
    pub life: u64,
    /// The user who wanted it.
    pub by: String,
    /// In milliseconds since 1970.
    pub at: u64,
}

/// A look at the networks of an app's tasks that is still to be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reattach {
    /// Whose doing it is, in words that the release which follows has as its `by`.
    pub by: String,
    /// Other apps that may have to look, too, and have not been told yet.
    pub tell: BTreeSet<String>,
    /// Counts how often it was asked for, so that asking again is a change of the record.
    pub asked: u64,
    /// So many releases were made for it.
    pub attempts: u32,
    /// No further release is made for it before then, in milliseconds since 1970.
    pub not_before: u64,
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

/// That an app has a database, or is getting one. What it has on the server is the server's to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppDatabase {
    /// The user who wanted it.
    pub by: String,
    /// In milliseconds since 1970.
    pub created_at: u64,
    /// Who is changing it.
    #[serde(default)]
    pub lease: Option<DatabaseLease>,
}

/// Somebody who changes a database: nobody else does meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseLease {
    /// A user, for people.
    pub by: String,
    /// Random, by which the holder knows it as theirs.
    pub stamp: String,
    /// Until when it is theirs, in milliseconds since 1970, unless they renew it.
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
    /// Apps that it wants to share a network with: names, and `created_at` of their records.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, u64>,
    /// Whether it is shown to the world, without a login.
    #[serde(default, skip_serializing_if = "is_default")]
    pub open: bool,
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
        assert!(!serde_json::to_string(&record).unwrap().contains("database"), "an older version reads it");
        let newer = written.replacen('{', r#"{"quota":1,"#, 1);
        let error = serde_json::from_str::<AppRecord>(&newer).unwrap_err().to_string();
        assert!(error.contains("unknown field `quota`"), "{error}");
        let row =
            r#"{"created_at":1,"access":{"jane":"owner"},"release":2,"image":"hello:1","deploying":null,"new":1}"#;
        assert_eq!(serde_json::from_str::<AppEntry>(row).unwrap().release, Some(2));
    }

    #[test]
    fn an_app_without_links_is_written_as_it_was_before_there_were_any() {
        let written = r#"{"name":"hello","created_by":"jane","created_at":1,"access":{"jane":"owner"}}"#;
        let mut record: AppRecord = serde_json::from_str(written).unwrap();
        let text = serde_json::to_string(&record).unwrap();
        assert!(!text.contains("links") && !text.contains("reattach"), "{text}");
        assert!(!record.is_pending());
        record.links.insert("shop".to_owned(), Link { life: 7, by: "jane".to_owned(), at: 8 });
        record.ask_to_reattach("jane (app:link hello shop)", &["shop"]);
        assert!(record.is_pending());
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<AppRecord>(&text).unwrap(), record);
    }

    #[test]
    fn an_app_that_admits_everybody_is_written_as_it_was_before_there_were_lists() {
        let written = r#"{"name":"hello","created_by":"jane","created_at":1,"access":{"jane":"owner"}}"#;
        let mut record: AppRecord = serde_json::from_str(written).unwrap();
        assert_eq!(record.admission, Admission { open: false, only: None });
        let text = serde_json::to_string(&record).unwrap();
        assert!(!text.contains("admission") && !text.contains("unpublished"), "{text}");
        record.admission.only = Some(BTreeSet::from(["user:ada@example.com".parse().unwrap()]));
        record.unpublished = Some(u64::MAX);
        assert!(record.is_pending());
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<AppRecord>(&text).unwrap(), record);
    }

    #[test]
    fn asking_again_is_a_change_and_forgets_nobody_who_is_to_be_told() {
        let written = r#"{"name":"hello","created_by":"jane","created_at":1,"access":{"jane":"owner"}}"#;
        let mut record: AppRecord = serde_json::from_str(written).unwrap();
        record.ask_to_reattach("jane", &["shop"]);
        let first = record.clone();
        record.reattach.as_mut().unwrap().attempts = 3;
        record.ask_to_reattach("jane", &[]);
        assert_ne!(record, first);
        let asked = record.reattach.unwrap();
        assert_eq!((asked.asked, asked.attempts, asked.tell.len()), (2, 0, 1));
    }
}
