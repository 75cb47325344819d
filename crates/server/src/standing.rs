//! Whether whoever asks still may, while their request goes on: their key is theirs, and their role allows it.
//!
//! It is asked again every few seconds, out of records that were read a moment ago at most; many requests of one person or about one app
//! cost no more than one.

use std::sync::Arc;
use std::time::Duration;

use futuswarm_model::{AppRecord, User};
use futuswarm_paas::access::{self, Actor, Command, Target, Verb};
use futuswarm_rpc::message::RefusalClass;
use futuswarm_rpc::{Caller, Identity};
use futuswarm_ssh_keys::PublicKey;
use tokio::time::sleep;

use crate::client::Ending;
use crate::clock::Clock as _;
use crate::refusal::Refused;
use crate::verbs::Subject;
use crate::{Control, Error, Platform};

/// Between two questions. With the age of what is known and the grace of a program it is less than the 30 seconds that are promised.
const EVERY: Duration = Duration::from_secs(5);

fn unknown(what: &str) -> Refused {
    Refused::new(RefusalClass::Denied, format!("{what}; an admin can add you with `futuswarm admin:user:add`"))
}

/// Who a person is by their record. The key that let them in has to be theirs still: a connection may be older than its end.
pub(crate) fn person(caller: &Caller, name: &str, user: Option<&User>) -> Result<Actor, Refused> {
    let user = user.ok_or_else(|| unknown(&format!("there is no user {name} any more")))?;
    let is_key = |key: &str| user.keys.iter().any(|line| PublicKey::parse(line).is_ok_and(|known| known.hash() == key));
    if !caller.key.as_deref().is_none_or(is_key) {
        return Err(Refused::new(
            RefusalClass::Denied,
            format!("the key that you came with is none of {name}'s any more; come with another, or ask an admin"),
        ));
    }
    Ok(Actor::User { name: user.name.clone(), admin: user.admin, groups: user.groups.clone() })
}

/// Who a program is by the record of its app. A token of the same name may have another key by now.
pub(crate) fn program(caller: &Caller, app: &str, name: &str, record: Option<&AppRecord>) -> Result<Actor, Refused> {
    let token = record.and_then(|record| record.tokens.get(name));
    let token = token.filter(|token| caller.key.as_ref().is_none_or(|key| *key == token.hash));
    let token = token.ok_or_else(|| {
        let reason = format!(
            "there is no token {name} of {app} any more; an owner of {app} makes one with `futuswarm tokens:create`"
        );
        Refused::new(RefusalClass::Denied, reason)
    })?;
    Ok(Actor::Token { name: name.to_owned(), app: app.to_owned(), expires_at: token.expires_at })
}

/// Ends a request whose asker may not ask for it any more. It never ends itself.
pub(crate) async fn watch<P: Platform>(
    control: &Control<P>,
    caller: &Caller,
    (command, subject): (Option<Command>, Subject<'_>),
    ending: &Ending,
) -> std::convert::Infallible {
    loop {
        sleep(EVERY).await;
        match control.still_may(caller, command, subject).await {
            Ok(Ok(())) => {}
            Ok(Err(refused)) => {
                tracing::info!(who = %caller.identity, %refused, "a request is ended");
                ending.end(refused);
                break;
            }
            // As for logins: who was let in before goes on while the bucket is away.
            Err(error) => tracing::warn!(%error, "it is not known whether requests may go on"),
        }
    }
    std::future::pending().await
}

impl<P: Platform> Control<P> {
    async fn recent_app(&self, app: &str) -> Result<Option<Arc<AppRecord>>, Error> {
        let read = async { Ok::<_, Error>(self.records.app(app).await?) };
        self.connections.standing.apps.get(app, read).await
    }

    async fn still_may(
        &self,
        caller: &Caller,
        command: Option<Command>,
        subject: Subject<'_>,
    ) -> Result<Result<(), Refused>, Error> {
        let actor = match &caller.identity {
            Identity::User(name) => {
                let read = async { Ok::<_, Error>(self.records.user(name).await?) };
                person(caller, name, self.connections.standing.users.get(name, read).await?.as_deref())
            }
            Identity::Token { app, name } => program(caller, app, name, self.recent_app(app).await?.as_deref()),
        };
        let (actor, command) = match (actor, command) {
            (Err(refused), _) => return Ok(Err(refused)),
            (Ok(_), None) => return Ok(Ok(())),
            (Ok(actor), Some(command)) => (actor, command),
        };
        let now = self.clock.unix_millis();
        let Subject::App(name) = subject else {
            return Ok(access::decide(&actor, command, Target::Cluster, now).map_err(Refused::from));
        };
        let record = self.recent_app(name).await?;
        let target = match &record {
            Some(record) => Target::App { name, access: &record.access },
            // It ends with its app.
            None if command.verb == Verb::Remove => return Ok(Ok(())),
            None if command.begins_an_app() || access::CORE_APPS.contains(&name) => Target::NewApp { name },
            None => return Ok(Err(Refused::not_found(format!("there is no app {name} any more")))),
        };
        Ok(access::decide(&actor, command, target, now).map_err(Refused::from))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIFaGyyoLbAHgsqiR1shjva05Y1DwEfmDxtX8/zc5Tad";

    fn caller(key: Option<&str>) -> Caller {
        Caller { identity: Identity::User("jane".to_owned()), key: key.map(str::to_owned), from: None }
    }

    #[test]
    fn a_person_is_who_their_key_says_as_long_as_it_is_theirs() {
        let hash = PublicKey::parse(KEY).unwrap().hash();
        let (name, groups) = ("jane".to_owned(), BTreeSet::new());
        let keys = BTreeSet::from(["no key at all".to_owned(), KEY.to_owned()]);
        let mut jane = User { name, admin: true, groups, keys, created_at: 1 };
        assert!(person(&caller(Some(&hash)), "jane", Some(&jane)).is_ok());
        // Somebody on the node itself, whom no key has let in.
        assert!(person(&caller(None), "jane", Some(&jane)).is_ok());
        assert!(person(&caller(Some(&hash)), "jane", None).is_err());
        jane.keys.remove(KEY);
        let refused = person(&caller(Some(&hash)), "jane", Some(&jane)).unwrap_err().to_string();
        assert!(refused.contains("none of jane's any more"), "{refused}");
    }
}
