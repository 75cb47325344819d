//! What is kept of a request: who, what, of which app, and what came of it. Never a value.

use futuswarm_model::AuditEntry;
use futuswarm_paas::access::{Actor, Command};
use futuswarm_rpc::Caller;
use tokio::time::Instant;

use crate::client::milliseconds;
use crate::refusal::Refused;
use crate::verbs::Subject;

/// A request that is being audited.
#[derive(Debug)]
pub(crate) struct Audited {
    who: String,
    verb: &'static str,
    app: Option<String>,
    from: String,
    outcome: &'static str,
    reason: Option<String>,
    milliseconds: u64,
    /// When it ended: its line may be written much later.
    ended: Instant,
}

impl Audited {
    /// Says in the journal that a request begins. That is all there is of it when this manager does not live to see its end.
    pub(crate) fn begin(command: Option<Command>, subject: Subject<'_>, caller: &Caller) -> Self {
        let app = match subject {
            Subject::App(app) | Subject::ForApp(app) => Some(printable(app)),
            Subject::Cluster => None,
        };
        let verb = command.map_or("whoami", |command| command.name);
        let from = caller.from.map(|address| address.to_string()).unwrap_or_default();
        let who = printable(&caller.identity.to_string());
        tracing::info!(who, verb, app, from, "a request begins");
        Self { who, verb, app, from, outcome: "done", reason: None, milliseconds: 0, ended: Instant::now() }
    }

    /// What a request about one app has done to another one, whose people find it there, by the name of the command.
    pub(crate) fn of_other(actor: &Actor, verb: &'static str, app: &str) -> Self {
        let (who, app) = (actor.to_string(), Some(printable(app)));
        tracing::info!(who, verb, app, "a request concerns another app, too");
        let (from, ended) = (String::new(), Instant::now());
        Self { who, verb, app, from, outcome: "done", reason: None, milliseconds: 0, ended }
    }

    /// A request that was refused before it was looked at what it is.
    pub(crate) fn unheard(caller: &Caller, refused: &Refused) -> Self {
        let who = printable(&caller.identity.to_string());
        let from = caller.from.map(|address| address.to_string()).unwrap_or_default();
        tracing::info!(who, from, %refused, "refused a request");
        let (outcome, reason) = (refused.word(), Some(refused.to_string()));
        Self { who, verb: "unknown", app: None, from, outcome, reason, milliseconds: 0, ended: Instant::now() }
    }

    /// Once it is known who asks.
    pub(crate) fn who(&mut self, actor: &Actor) {
        self.who = actor.to_string();
    }

    pub(crate) fn end(&mut self, refused: Option<&Refused>, milliseconds: u64) {
        (self.milliseconds, self.ended) = (milliseconds, Instant::now());
        if let Some(refused) = refused {
            self.outcome = refused.word();
            self.reason = Some(refused.to_string());
        }
        let Self { who, verb, app, from, outcome, .. } = self;
        tracing::info!(who, verb, app, from, outcome, milliseconds, "request");
    }

    /// The line, with the time at which the request ended: as long before `now` (milliseconds since 1970) as that is ago.
    pub(crate) fn row(self, now: u64) -> AuditEntry {
        AuditEntry {
            at: now.saturating_sub(milliseconds(self.ended.elapsed())),
            who: self.who,
            verb: self.verb.to_owned(),
            app: self.app,
            outcome: self.outcome.to_owned(),
            milliseconds: self.milliseconds,
            from: self.from,
        }
    }
}

/// What others wrote, without what could end a line or move a terminal, and not longer than a name has to be.
fn printable(text: &str) -> String {
    const LONGEST: usize = 100;
    text.chars().take(LONGEST).map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futuswarm_paas::access::Verb;
    use futuswarm_rpc::Identity;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_name_cannot_write_a_line_of_its_own() {
        let identity = Identity::User("jane\nroot: done\u{1b}[2J".to_owned());
        let caller = Caller { identity, key: None, from: None };
        let mut audited = Audited::begin(Some(Verb::Deploy.into()), Subject::App("a\nb"), &caller);
        audited.end(Some(&Refused::usage("no")), 7);
        let row = audited.row(5);
        assert_eq!(row.who, "jane?root: done?[2J");
        assert_eq!(row.app.as_deref(), Some("a?b"));
        assert_eq!((row.outcome.as_str(), row.milliseconds, row.at), ("usage", 7, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_has_the_time_at_which_its_request_ended_whenever_it_is_written() {
        let caller = Caller { identity: Identity::User("jane".to_owned()), key: None, from: None };
        let mut audited = Audited::begin(None, Subject::Cluster, &caller);
        tokio::time::advance(Duration::from_secs(40)).await;
        audited.end(None, 40_000);
        tokio::time::advance(Duration::from_secs(300)).await;
        let row = audited.row(1_000_000);
        assert_eq!((row.verb.as_str(), row.at, row.milliseconds), ("whoami", 700_000, 40_000));
    }
}
