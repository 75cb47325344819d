//! The first users of a cluster. Later ones are added by admins through the control service, by the same records.

use std::fmt;

use futuswarm_model::{User, keys, person_name, unix_millis};
use futuswarm_ssh_keys::PublicKey;
use futuswarm_store::{Bucket, Store, Swap};
use serde::Serialize;

use crate::{Aws, Error};

/// So often another writer may be faster before that is an error.
const ATTEMPTS: u32 = 5;

/// Whom to let in; checked.
#[derive(Debug, Clone)]
pub struct Wish {
    name: String,
    key: PublicKey,
    admin: bool,
}

/// What became of it; its JSON form is an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Added {
    /// The person.
    pub user: String,
    /// As `ssh-keygen -l` shows the key.
    pub fingerprint: String,
    /// Whether they may do everything.
    pub admin: bool,
    /// Whether there was no such person before.
    pub created: bool,
    /// Whether anything was written.
    pub changed: bool,
}

impl fmt::Display for Added {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, fingerprint, admin, created, changed } = self;
        let admin = if *admin { ", an admin" } else { "" };
        match (created, changed) {
            (true, _) => write!(formatter, "made the user {user}{admin}, with the key {fingerprint}"),
            (false, true) => write!(formatter, "changed the user {user}{admin}, who has the key {fingerprint}"),
            (false, false) => write!(formatter, "nothing to do: the user {user}{admin} has the key {fingerprint}"),
        }
    }
}

impl Wish {
    /// A person with the text of a public key's file.
    ///
    /// # Errors
    /// When the name cannot be one, or the key must not log in.
    pub fn new(name: &str, key: &str, admin: bool) -> anyhow::Result<Self> {
        let name = person_name(name).map_err(|error| anyhow::anyhow!("{error}"))?.to_owned();
        let key = PublicKey::parse(key).map_err(|error| anyhow::anyhow!("the key cannot be used: {error}"))?;
        Ok(Self { name, key, admin })
    }
}

impl Aws {
    /// Makes or changes a person's record.
    ///
    /// # Errors
    /// When the key is another person's, or the bucket does not answer.
    pub async fn add_user(&self, wish: &Wish) -> Result<Added, Error> {
        add(&self.store, wish, unix_millis()).await
    }
}

async fn add<B: Bucket>(store: &Store<B>, wish: &Wish, now: u64) -> Result<Added, Error> {
    let Wish { name, key, admin } = wish;
    let all = store.all::<User>(keys::USERS).await.map_err(|error| match &error {
        futuswarm_store::Error::Service { source, .. } if source.is_not_found() => {
            Error::Missing("the cluster has no bucket yet: run `cargo xtask deploy-cluster` first".to_owned())
        }
        _ => error.into(),
    })?;
    if let Some(other) = all.iter().find(|user| user.name != *name && user.keys.contains(key.line())) {
        // Nobody could log in with a key of two.
        let (fingerprint, other) = (key.fingerprint(), &other.name);
        return Err(Error::Missing(format!(
            "the key {fingerprint} is {other}'s already, and a key stands for one person; give another one"
        )));
    }
    for _ in 0..ATTEMPTS {
        let stored = store.get::<User>(&keys::user(name)).await?;
        let mut user = match &stored {
            Some(stored) => stored.value.clone(),
            None => User {
                name: name.clone(),
                admin: false,
                groups: std::collections::BTreeSet::new(),
                keys: std::collections::BTreeSet::new(),
                created_at: now,
            },
        };
        user.admin |= *admin;
        user.keys.insert(key.line().to_owned());
        let mut added = Added {
            user: name.clone(),
            fingerprint: key.fingerprint(),
            admin: user.admin,
            created: stored.is_none(),
            changed: true,
        };
        if stored.as_ref().is_some_and(|stored| stored.value == user) {
            added.changed = false;
            return Ok(added);
        }
        let etag = stored.as_ref().map(|stored| stored.etag.as_str());
        if let Swap::Applied(_) = store.swap(&keys::user(name), &user, etag).await? {
            return Ok(added);
        }
    }
    Err(Error::Missing(format!("the record of {name} is changed by others all the time; run the command again")))
}

#[cfg(test)]
mod tests {
    use futuswarm_store::MemoryBucket;

    use super::*;

    const ONE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIFaGyyoLbAHgsqiR1shjva05Y1DwEfmDxtX8/zc5Tad";
    const TWO: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBMSjgnhackHHtp3xZeykv0kiWUnDI4RfTXZYusiPo404L2rY+LLr2JEmhS7CQYHTdnUJkkZRDeDIxa/+H7np/AY=";

    fn wish(name: &str, key: &str, admin: bool) -> Wish {
        Wish::new(name, key, admin).unwrap()
    }

    #[tokio::test]
    async fn a_person_is_made_once_and_keeps_what_they_have() {
        let bucket = MemoryBucket::default();
        let store = Store::new(bucket.clone());
        let jane = add(&store, &wish("jane", &format!("{ONE} jane@laptop"), true), 7).await.unwrap();
        assert_eq!((jane.created, jane.changed, jane.admin), (true, true, true));
        let again = add(&store, &wish("jane", ONE, false), 8).await.unwrap();
        assert_eq!((again.created, again.changed, again.admin), (false, false, true), "nobody loses a right by this");
        assert_eq!(bucket.writes(), 1);
        let more = add(&store, &wish("jane", TWO, false), 9).await.unwrap();
        assert_eq!((more.created, more.changed), (false, true));
        let user = store.get::<User>("users/jane").await.unwrap().unwrap().value;
        assert_eq!((user.created_at, user.admin), (7, true));
        assert_eq!(user.keys.iter().map(String::as_str).collect::<Vec<_>>(), [TWO, ONE], "without comments");
        let stolen = add(&store, &wish("joe", ONE, false), 10).await.unwrap_err().to_string();
        assert!(stolen.contains("is jane's already"), "{stolen}");
        assert!(store.get::<User>("users/joe").await.unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_used_is_refused_before_anything_is_asked() {
        for (name, key, reason) in [
            ("Jane", ONE, "is no such name"),
            ("../x", ONE, "is no such name"),
            ("jane", "-----BEGIN OPENSSH PRIVATE KEY-----", "it is a private key"),
            ("jane", "", "it is empty"),
        ] {
            let error = Wish::new(name, key, false).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
