//! The end of an app's database. The app is kept out of it before its last backup is taken, which has everything so.

use std::sync::Arc;

use futuswarm_database::{DATABASE_KEYS, Databases as _, Names};
use futuswarm_model::AppRecord;
use futuswarm_paas::access::{Actor, Verb};
use futuswarm_rpc::message::Answer;

use super::backups::{self, AT_WILL};
use super::lease::{Claim, leased};
use super::{change_secrets, login_in, unmark};
use crate::client::Client;
use crate::refusal::Refused;
use crate::{Control, Error, Platform, values};

/// An app that is kept out of its database, and is let in again unless the database is dropped, also when the request was given up.
struct KeptOut<P: Platform> {
    control: Arc<Control<P>>,
    names: Names,
    out: bool,
}

impl<P: Platform> KeptOut<P> {
    async fn of(control: &Arc<Control<P>>, names: &Names) -> Result<Self, Refused> {
        // Before it is done: when the answer was lost there is something to undo, too.
        let kept = Self { control: Arc::clone(control), names: names.clone(), out: true };
        kept.control.databases.keep_out(names).await.map_err(Error::from)?;
        Ok(kept)
    }

    fn dropped(mut self) {
        self.out = false;
    }

    /// Lets the app in again, and returns what has failed.
    async fn undone(mut self, refused: Refused) -> Refused {
        let is_in = let_in(&self.control, &self.names).await;
        self.out = false;
        let app = self.names.database();
        match is_in {
            true => refused,
            false => refused
                .after(&format!("{app} is still kept out of its database, and `futuswarm db:create {app}` lets it in")),
        }
    }
}

impl<P: Platform> Drop for KeptOut<P> {
    fn drop(&mut self) {
        if self.out {
            let (control, names) = (Arc::clone(&self.control), self.names.clone());
            tokio::spawn(async move { let_in(&control, &names).await });
        }
    }
}

/// Whether the app was let in again.
async fn let_in<P: Platform>(control: &Control<P>, names: &Names) -> bool {
    match control.databases.let_in(names).await {
        // With the server everything is gone that anybody could be kept out of.
        Ok(()) | Err(futuswarm_database::Error::NoServer) => true,
        Err(error) => {
            let app = names.database();
            tracing::warn!(%error, app, "an app is kept out of its database until `db:create` lets it in");
            false
        }
    }
}

/// Ends a database: the way to it is closed, a last backup, the keys in the secrets, what the server has, and the record's word of it, in
/// this order.
pub(crate) async fn end<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    record: &AppRecord,
    safely: bool,
    client: &Client,
) -> Result<Answer, Refused> {
    use futuswarm_database::Error as E;
    let (app, names) = (&record.name, Names::of(&record.name));
    let claim = Claim { app, actor, verb: Verb::DropDatabase, begins: false };
    leased(control, claim, async {
        let state = match control.databases.state(&names).await {
            // Somebody has taken the server away, with everything on it.
            Err(E::NoServer) => None,
            state => Some(state.map_err(Error::from)?),
        };
        let kept = match &state {
            Some(Some(state)) if safely => {
                let without = "no last backup can be taken, and `--without-backup` drops the database without one";
                backups::check_version(state).map_err(|refused| refused.after(without))?;
                client.progress(format!("keeps {app} out of its database"), None);
                Some(KeptOut::of(control, &names).await?)
            }
            _ => None,
        };
        let with_backup = kept.is_some();
        let dropped = async {
            let backup = match with_backup {
                true => Some(backups::take(control, actor, record, &names, AT_WILL, client).await?.backup),
                false => None,
            };
            // It may have taken hours, in which somebody has lost the right to drop anything.
            client.ended().map_or(Ok(()), Err)?;
            client.progress(format!("drops the database of {app}"), None);
            forget(control, actor, app, &names).await?;
            if state.is_some() {
                control.databases.drop_everything(&names).await.map_err(Error::from)?;
            }
            unmark(control, app).await?;
            Ok::<_, Refused>(backup)
        };
        let dropped = dropped.await;
        let backup = match (dropped, kept) {
            (Ok(backup), Some(kept)) => {
                kept.dropped();
                backup
            }
            (Ok(backup), None) => backup,
            (Err(refused), Some(kept)) => return Err(kept.undone(refused).await),
            (Err(refused), None) => return Err(refused),
        };
        let backup = backup.map_or("no backup was taken".to_owned(), |name| format!("its last backup is {name}"));
        Ok(Answer::Done(format!(
            "the database of {app} is dropped, and {backup}; tasks have the way to it until the next deployment or change"
        )))
    })
    .await
}

/// Takes the way to the database out of the secrets. Tasks keep what they have: a release without it might not start, and would put back
/// one that has it.
async fn forget<P: Platform>(control: &Control<P>, actor: &Actor, app: &str, names: &Names) -> Result<(), Refused> {
    let changed = change_secrets(control, actor, app, |before| {
        let mut after = before.clone();
        if login_in(names, &values::bytes(before)).is_some() {
            after.retain(|key, _| !DATABASE_KEYS.contains(&key.as_str()));
        }
        Ok(after)
    });
    changed.await.map(drop)
}
