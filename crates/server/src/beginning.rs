//! Apps that begin with a request about them.

mod names;

use futuswarm_paas::access::{self, Actor, Target, Verb};
use futuswarm_rpc::message::Event;

use crate::client::Client;
use crate::clock::Clock as _;
use crate::refusal::Refused;
use crate::{Control, Error, Platform, records, removal};

impl<P: Platform> Control<P> {
    /// [`Control::create_unless_there`], which says so when the name may be a slip for that of another app.
    pub(crate) async fn begin(&self, app: &str, actor: &Actor, verb: Verb, client: &Client) -> Result<bool, Refused> {
        let is_new = self.create_unless_there(app, actor, verb).await?;
        if is_new {
            self.note_slip(app, actor, verb, client).await;
        }
        Ok(is_new)
    }

    /// Names the app that was meant perhaps, if the actor may do the same to that one. Nothing fails by it.
    pub(crate) async fn note_slip(&self, app: &str, actor: &Actor, verb: Verb, client: &Client) {
        let apps = match self.records.apps().await {
            Ok(apps) => apps,
            Err(error) => {
                tracing::debug!(%error, app, "whether its name is like that of another app is not known");
                return;
            }
        };
        let now = self.clock.unix_millis();
        let meant = apps.into_iter().find(|(name, entry)| {
            let target = Target::App { name: name.as_str(), access: &entry.access };
            names::is_a_slip(app, name) && access::decide(actor, verb, target, now).is_ok()
        });
        if let Some((meant, _)) = meant {
            let text = format!(
                "{app} is a new app, and there is {meant}, too: if you meant that one, `futuswarm app:remove {app}` takes {app} away again"
            );
            let _gone = client.send(&Event::Note { text }).await;
        }
    }

    /// Makes an app that nobody has: who begins it owns it. Returns whether there was none until now.
    pub(crate) async fn create_unless_there(&self, app: &str, actor: &Actor, verb: Verb) -> Result<bool, Refused> {
        if let Some(record) = self.records.app(app).await.map_err(Error::from)? {
            // It may have been made since the request was allowed, by somebody else.
            return self.allowed(actor, verb, &record).map(|()| false);
        }
        let Actor::User { name, .. } = actor else { return Err(Refused::not_found(format!("there is no app {app}"))) };
        let mut made = self.records.create_app(app, name, self.clock.unix_millis()).await;
        // Somebody has left the removal of the app before it: it is carried on with here, so that nothing of that app is this one's.
        if matches!(made, Err(records::Error::BeingRemoved(_))) && removal::carry_on(self, app).await? {
            made = self.records.create_app(app, name, self.clock.unix_millis()).await;
        }
        match made {
            // At the same moment, perhaps by the same person: who owns it may go on.
            Err(records::Error::AppExists(_)) => self.allowed(actor, verb, &self.existing(app).await?).map(|()| false),
            made => made.map(|_| true).map_err(|error| Error::from(error).into()),
        }
    }
}
