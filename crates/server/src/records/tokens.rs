//! Tokens of apps. An app's record says which are good; what is under `tokens/` only finds the app by the key.

use std::collections::BTreeMap;

use futuswarm_model::{AppRecord, AppToken, NameError, TokenRecord, keys, person_name};
use futuswarm_store::Bucket;
use futuswarm_vault::DataKeys;

use super::documents::{Next, again};
use super::{Error, Records};

/// A key is known before its token is good. After so long, in milliseconds, nobody is still at making it so.
const MADE: u64 = 86_400_000;

fn check_hash(hash: &str) -> Result<&str, Error> {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if hash.len() == 64 && hash.bytes().all(digit) {
        return Ok(hash);
    }
    Err(NameError { name: hash.to_owned(), rule: "64 hexadecimal digits, the SHA-256 of a public key" }.into())
}

impl<B: Bucket, K: DataKeys> Records<B, K> {
    /// The token with this key, if the app's record has it. Whether it has expired is for the asker to say.
    ///
    /// # Errors
    /// When the bucket does not answer, or a record cannot be read.
    pub async fn token(&self, hash: &str) -> Result<Option<(TokenRecord, AppToken)>, Error> {
        let found = self.documents.look::<TokenRecord>(&keys::app_token(check_hash(hash)?)).await?;
        let Some(found) = found.map(|found| found.value) else { return Ok(None) };
        let app = self.app(&found.app).await?;
        let token = app.and_then(|app| app.tokens.get(&found.name).cloned()).filter(|token| token.hash == hash);
        Ok(token.map(|token| (found, token)))
    }

    /// An app's tokens by their names.
    ///
    /// # Errors
    /// When there is no such app, or the bucket does not answer.
    pub async fn tokens(&self, app: &str) -> Result<BTreeMap<String, AppToken>, Error> {
        Ok(self.need_app(app).await?.tokens)
    }

    /// Makes a token good. The same one again is no error.
    ///
    /// # Errors
    /// When the app has another token of that name, the key is another token, there is no such app, or the bucket does not answer.
    pub async fn put_token(&self, app: &str, name: &str, token: &AppToken) -> Result<(), Error> {
        self.put_token_if(app, name, token, |_| Ok(())).await
    }

    /// As [`Records::put_token`], as long as `check` has nothing against it: it is asked with the app's record as it is before anything is
    /// written, and as it is when the token becomes good.
    ///
    /// # Errors
    /// As [`Records::put_token`], and what `check` returns.
    pub async fn put_token_if<E: From<Error> + Send>(
        &self,
        app: &str,
        name: &str,
        token: &AppToken,
        mut check: impl FnMut(&AppRecord) -> Result<(), E> + Send,
    ) -> Result<(), E> {
        person_name(name).map_err(Error::from)?;
        let exists = || Error::TokenExists { app: app.to_owned(), name: name.to_owned() };
        let record = self.need_app(app).await?;
        check(&record)?;
        if record.tokens.get(name).is_some_and(|there| there != token) {
            return Err(exists().into());
        }
        if let Some((other, _)) = self.token(&token.hash).await?
            && (other.app.as_str(), other.name.as_str()) != (app, name)
        {
            return Err(Error::KeyTaken { app: other.app, name: other.name }.into());
        }
        // Found before it is good: the other way round a token would be good that nobody can use.
        let record = TokenRecord { app: app.to_owned(), name: name.to_owned(), expires_at: token.expires_at };
        let decide = |_: Option<&TokenRecord>| Ok::<_, Error>(Next::Write(record.clone(), ()));
        self.documents.change(&keys::app_token(&token.hash), decide).await?;
        self.change_app(app, |app: &mut AppRecord| {
            check(app)?;
            match app.tokens.insert(name.to_owned(), token.clone()) {
                Some(there) if there != *token => Err(exists().into()),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Revokes a token; `false` where there is none.
    ///
    /// # Errors
    /// When there is no such app, or the bucket does not answer.
    pub async fn remove_token(&self, app: &str, name: &str) -> Result<bool, Error> {
        let removed = self.change_app(app, |app| Ok::<_, Error>(app.tokens.remove(name))).await?;
        if let Some(token) = &removed {
            // It opens nothing from here on, whatever comes of this.
            if let Err(error) = self.documents.delete(&keys::app_token(&token.hash)).await {
                tracing::warn!(app, token = name, %error, "the key of a revoked token is still known");
            }
        }
        Ok(removed.is_some())
    }

    /// Forgets keys of no token: whoever made or revoked it died, or its app was removed, before both records said the same. They open
    /// nothing: sshd lets them in, and whatever they ask for is refused. Returns how many these were.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn forget_keys(&self) -> Result<usize, Error> {
        let entries = again(keys::TOKENS, || self.documents.store.list_entries(keys::TOKENS)).await?;
        if entries.is_empty() {
            return Ok(0);
        }
        let now = self.bucket_time().await?;
        let old = entries.into_iter().filter(|entry| entry.modified.saturating_add(MADE) <= now);
        let old: Vec<String> = old.map(|entry| entry.key).collect();
        let mut forgotten = 0;
        for key in &old {
            match self.token(key.strip_prefix(keys::TOKENS).unwrap_or_default()).await {
                Ok(None) => {
                    self.documents.delete(key).await?;
                    forgotten += 1;
                }
                // What cannot be read may be a newer version's.
                Ok(Some(_)) | Err(Error::Name(_) | Error::Unreadable { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(forgotten)
    }
}
