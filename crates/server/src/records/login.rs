//! The login of the private domain: what others have written of it, who is locked out, and that another passphrase is wanted.

use futuswarm_model::{Locked, LoginPassphrases, LoginProvider, LoginRecord, keys};
use futuswarm_store::Bucket;
use futuswarm_vault::DataKeys;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::documents::{Next, again};
use super::{Error, Records};

impl<B: Bucket, K: DataKeys> Records<B, K> {
    /// Whether the cluster has a document about its login, whatever it says.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn has_login(&self) -> Result<bool, Error> {
        Ok(self.glance::<IgnoredAny>(keys::LOGIN).await?.is_some())
    }

    /// The cluster's login; `None` where it has none.
    ///
    /// # Errors
    /// When the bucket does not answer, or the document cannot be read.
    pub async fn login(&self) -> Result<Option<LoginRecord>, Error> {
        self.glance(keys::LOGIN).await
    }

    /// What the login's provider says of itself, whoever the login's issuer is by now.
    ///
    /// # Errors
    /// When the bucket does not answer, or the document cannot be read.
    pub async fn login_provider(&self) -> Result<Option<LoginProvider>, Error> {
        self.glance(keys::LOGIN_PROVIDER).await
    }

    /// Whether the client's secret is there. It is not opened.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn has_client_secret(&self) -> Result<bool, Error> {
        Ok(self.glance::<IgnoredAny>(keys::LOGIN_CLIENT_SECRET).await?.is_some())
    }

    /// What sessions are encrypted with, sealed; `None` before the leader has made it.
    ///
    /// # Errors
    /// When the bucket does not answer, or the document cannot be read.
    pub async fn passphrases(&self) -> Result<Option<LoginPassphrases>, Error> {
        self.glance(keys::LOGIN_PASSPHRASES).await
    }

    /// Who is locked out; nobody where there is no document.
    ///
    /// # Errors
    /// When the bucket does not answer, or the document cannot be read.
    pub async fn locked(&self) -> Result<Locked, Error> {
        let document = self.documents.look::<Locked>(keys::LOGIN_LOCKED).await?;
        Ok(document.map(|document| document.value).unwrap_or_default())
    }

    /// Asked once, of what is written by others and seldom.
    async fn glance<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let document = again(key, || self.documents.store.peek::<T>(key)).await?;
        Ok(document.map(|document| document.value))
    }

    /// Changes who is locked out. A document that is not there is made, also when `decide` changes nothing.
    ///
    /// # Errors
    /// When the bucket does not answer, the document cannot be read, and what `decide` returns.
    pub async fn change_locked<R: Send, E: From<Error>>(
        &self,
        mut decide: impl FnMut(&mut Locked) -> Result<R, E> + Send,
    ) -> Result<R, E> {
        let change = |there: Option<&Locked>| {
            let mut locked = there.cloned().unwrap_or_default();
            let result = decide(&mut locked)?;
            Ok::<_, E>(match there == Some(&locked) {
                true => Next::Keep(result),
                false => Next::Write(locked, result),
            })
        };
        self.documents.change(keys::LOGIN_LOCKED, change).await
    }

    /// Has edges of a cluster with a login know that nobody is locked out, where there is no document about that: they let nobody in
    /// without it.
    ///
    /// # Errors
    /// When the bucket does not answer, or the document cannot be read.
    pub async fn ensure_locked(&self) -> Result<(), Error> {
        match self.has_login().await? {
            true => self.change_locked(|_| Ok::<_, Error>(())).await,
            false => Ok(()),
        }
    }

    /// Changes what is wanted of the passphrase; returns what is there then, and `None` where there is none.
    ///
    /// # Errors
    /// When the bucket does not answer, the document cannot be read, and what `decide` returns.
    pub async fn change_passphrases<E: From<Error>>(
        &self,
        mut decide: impl FnMut(&mut LoginPassphrases) -> Result<(), E> + Send,
    ) -> Result<Option<LoginPassphrases>, E> {
        let change = |there: Option<&LoginPassphrases>| {
            let Some(there) = there else { return Ok(Next::Keep(None)) };
            let mut passphrases = there.clone();
            decide(&mut passphrases)?;
            let after = Some(passphrases.clone());
            Ok::<_, E>(match *there == passphrases {
                true => Next::Keep(after),
                false => Next::Write(passphrases, after),
            })
        };
        self.documents.change(keys::LOGIN_PASSPHRASES, change).await
    }
}
