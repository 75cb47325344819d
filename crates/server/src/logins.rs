//! The list of keys that sshd's helper reads: written from the bucket again and again, and kept on disk, so that people get in while S3 is
//! away. Who is removed is locked out once it has been written: within 30 seconds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futuswarm_model::{TokenRecord, User, keys};
use futuswarm_node_files::{LoginKeys, LoginToken, Logins};
use futuswarm_store::{Bucket, Store};
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use crate::clock::Clock as _;
use crate::{Control, Error, Platform, records};

/// From the end of one writing to the next. With the time that it takes it is less than the 30 seconds that are promised.
const EVERY: Duration = Duration::from_secs(12);

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

/// Documents by their keys, each with the ETag that it was read at: only what has changed is read again.
type Known<T> = BTreeMap<String, (String, T)>;

/// What was read before.
#[derive(Debug, Default)]
struct Memory {
    users: Known<User>,
    tokens: Known<TokenRecord>,
}

async fn write<P: Platform>(control: &Control<P>, path: &Path, memory: &mut Memory) -> Result<(), Error> {
    let store = control.records.store();
    let read_at = control.clock.unix_millis();
    refresh(store, keys::USERS, &mut memory.users).await?;
    refresh(store, keys::TOKENS, &mut memory.tokens).await?;
    let users = memory.users.values().map(|(_, user)| (user.name.clone(), LoginKeys { keys: user.keys.clone() }));
    let token = |(key, (_, token)): (&String, &(String, TokenRecord))| {
        let hash = key.strip_prefix(keys::TOKENS)?.to_owned();
        let (app, name) = (token.app.clone(), token.name.clone());
        Some((hash, LoginToken { app, name, expires_at: token.expires_at }))
    };
    let logins = Logins {
        written_at: read_at,
        users: users.collect(),
        tokens: memory.tokens.iter().filter_map(token).collect(),
    };
    logins.write(path).map_err(|error| Error::Start { what: "the list of keys", reason: error.to_string() })
}

/// Reads what has changed under a prefix, and forgets what is gone.
async fn refresh<B: Bucket, T: DeserializeOwned>(
    store: &Store<B>,
    prefix: &str,
    known: &mut Known<T>,
) -> Result<(), Error> {
    let entries = store.list_entries(prefix).await.map_err(records::Error::from)?;
    known.retain(|key, _| entries.iter().any(|entry| entry.key == *key));
    for entry in entries {
        if known.get(&entry.key).is_some_and(|(etag, _)| *etag == entry.etag) {
            continue;
        }
        // Whoever is changed just now is not let in with what they were.
        known.remove(&entry.key);
        match store.peek::<T>(&entry.key).await {
            Ok(Some(document)) => {
                known.insert(entry.key, (document.etag, document.value));
            }
            Ok(None) => {}
            // One record that cannot be read must not lock everybody out.
            Err(error) if !error.is_transient() => tracing::warn!(%error, "a record of keys is left out"),
            Err(error) => return Err(records::Error::from(error).into()),
        }
    }
    Ok(())
}
