//! Records of people.

use futuswarm_model::{User, keys, person_name};
use futuswarm_store::Bucket;
use futuswarm_vault::DataKeys;

use super::documents::Next;
use super::{Error, Records};

impl<B: Bucket, K: DataKeys> Records<B, K> {
    /// A user.
    ///
    /// # Errors
    /// When the bucket does not answer, or the record cannot be read.
    pub async fn user(&self, name: &str) -> Result<Option<User>, Error> {
        Ok(self.documents.look(&keys::user(person_name(name)?)).await?.map(|user| user.value))
    }

    /// All users by their names: a request for the list, and one for each.
    ///
    /// # Errors
    /// When the bucket does not answer, or a record cannot be read.
    pub async fn users(&self) -> Result<Vec<User>, Error> {
        self.documents.look_at_all(&self.documents.list(keys::USERS).await?).await
    }

    /// Makes or changes a user: `change` gets the record as it is, or `None`, and returns what it should be. It is asked again when
    /// somebody else was faster; what it leaves as it is is not written.
    ///
    /// # Errors
    /// What `change` returns; when the bucket does not answer.
    pub async fn change_user<E: From<Error> + Send>(
        &self,
        name: &str,
        mut change: impl FnMut(Option<&User>) -> Result<User, E> + Send,
    ) -> Result<User, E> {
        let key = keys::user(person_name(name).map_err(Error::from)?);
        let decide = |there: Option<&User>| {
            let user = User { name: name.to_owned(), ..change(there)? };
            Ok::<_, E>(match there {
                Some(there) if *there == user => Next::Keep(user),
                _ => Next::Write(user.clone(), user),
            })
        };
        self.documents.change(&key, decide).await
    }

    /// Removes a user; `false` where there is none. Rows of access lists stay, and would be those of the next user of
    /// the name, so they are taken out before.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn remove_user(&self, name: &str) -> Result<bool, Error> {
        let was_there = self.user(name).await?.is_some();
        self.documents.delete(&keys::user(name)).await?;
        Ok(was_there)
    }
}
