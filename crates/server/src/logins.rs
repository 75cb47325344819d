//! The list of keys that sshd's helper reads: written from the bucket again and again, and kept on disk, so that logins work while S3 is
//! away (what is asked for then needs S3, and says so). Who is removed is locked out once it has been written: within 30 seconds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futuswarm_model::{TokenRecord, User, keys};
use futuswarm_node_files::{LoginKeys, LoginToken, Logins};
use futuswarm_store::{Bucket, Store};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};

use crate::clock::Clock as _;
use crate::{Control, Error, Platform, records};

/// From the end of one writing to the next. With the time that it takes it is less than the 30 seconds that are promised.
const EVERY: Duration = Duration::from_secs(12);
/// A record that takes longer than this is tried again with the next writing: nobody waits longer for their end because of it.
const READ: Duration = Duration::from_secs(4);
/// So long after the bucket last said that a record is as it is known, that counts although what came after cannot be read. With the time
/// until the next writing it is less than the 30 seconds: a key may have been taken out of it.
const COUNTS: Duration = Duration::from_secs(15);

/// Keeps the list, for as long as the process lives.
pub(crate) async fn keep<P: Platform>(control: Arc<Control<P>>, path: PathBuf) {
    let mut memory = Memory::default();
    loop {
        if let Err(error) = write(&control, &path, &mut memory).await {
            tracing::warn!(%error, "the list of keys is not renewed: who was let in before still is");
        }
        sleep(EVERY).await;
    }
}

/// Documents by their keys: only what has changed is read again.
type Known<T> = BTreeMap<String, Record<T>>;

/// A document as it was read.
#[derive(Debug)]
struct Record<T> {
    etag: String,
    value: T,
    /// When a listing last had this ETag.
    listed_at: Instant,
}

/// What was read before.
#[derive(Debug, Default)]
struct Memory {
    users: Known<User>,
    tokens: Known<TokenRecord>,
    /// Whether everything has been read once: before that, what is on the disk knows more.
    filled: bool,
}

async fn write<P: Platform>(control: &Control<P>, path: &Path, memory: &mut Memory) -> Result<(), Error> {
    let store = control.records.store();
    let read_at = control.clock.unix_millis();
    let users = refresh(store, keys::USERS, &mut memory.users).await?;
    let unread = users + refresh(store, keys::TOKENS, &mut memory.tokens).await?;
    if unread > 0 && !memory.filled {
        return Err(Error::Start { what: "the list of keys", reason: format!("{unread} records cannot be read yet") });
    }
    memory.filled = true;
    let user = |record: &Record<User>| (record.value.name.clone(), LoginKeys { keys: record.value.keys.clone() });
    let token = |(key, record): (&String, &Record<TokenRecord>)| {
        let hash = key.strip_prefix(keys::TOKENS)?.to_owned();
        let TokenRecord { app, name, expires_at } = record.value.clone();
        Some((hash, LoginToken { app, name, expires_at }))
    };
    let logins = Logins {
        written_at: read_at,
        users: memory.users.values().map(user).collect(),
        tokens: memory.tokens.iter().filter_map(token).collect(),
    };
    logins.write(path).map_err(|error| Error::Start { what: "the list of keys", reason: error.to_string() })
}

/// Reads what has changed under a prefix, and forgets what is gone. Returns how many records could not be read and may be later.
async fn refresh<B: Bucket, T: DeserializeOwned>(
    store: &Store<B>,
    prefix: &str,
    known: &mut Known<T>,
) -> Result<usize, Error> {
    let listed_at = Instant::now();
    let entries = store.list_entries(prefix).await.map_err(records::Error::from)?;
    known.retain(|key, _| entries.iter().any(|entry| entry.key == *key));
    let mut unread = 0;
    for entry in entries {
        if let Some(record) = known.get_mut(&entry.key)
            && record.etag == entry.etag
        {
            record.listed_at = listed_at;
            continue;
        }
        let read = match timeout(READ, store.peek::<T>(&entry.key)).await {
            Ok(read) => read.map_err(|error| (error.is_transient(), error.to_string())),
            Err(_) => Err((true, format!("{}: no answer within {} s", entry.key, READ.as_secs()))),
        };
        match read {
            Ok(Some(document)) => {
                known.insert(entry.key, Record { etag: document.etag, value: document.value, listed_at });
            }
            // Deleted since it was listed.
            Ok(None) => {
                known.remove(&entry.key);
            }
            // One record that cannot be read must not lock everybody out, nor keep those in who are removed.
            Err((transient, reason)) => {
                let counts = known.get(&entry.key).is_some_and(|record| record.listed_at.elapsed() < COUNTS);
                if !(transient && counts) {
                    known.remove(&entry.key);
                }
                unread += usize::from(transient);
                tracing::warn!(%reason, still_let_in = transient && counts, "a record of keys cannot be read");
            }
        }
    }
    Ok(unread)
}
