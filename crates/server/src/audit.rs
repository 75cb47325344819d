//! What is kept of a request: who, what, of which app, and what came of it. Never a value.

use futuswarm_model::AuditEntry;
use futuswarm_paas::access::{Actor, Verb};
use futuswarm_rpc::Caller;

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
}

impl Audited {
    pub(crate) fn begin(verb: Option<Verb>, subject: Subject<'_>, caller: &Caller) -> Self {
        let app = match subject {
            Subject::App(app) | Subject::ForApp(app) => Some(printable(app)),
            Subject::Cluster => None,
        };
        let verb = verb.map_or("whoami", Verb::command);
        let from = caller.from.map(|address| address.to_string()).unwrap_or_default();
        Self {
            who: printable(&caller.identity.to_string()),
            verb,
            app,
            from,
            outcome: "done",
            reason: None,
            milliseconds: 0,
        }
    }

    /// What a request about one app has done to another one, whose people find it there.
    pub(crate) fn of_other(actor: &Actor, verb: Verb, app: &str) -> Self {
        Self {
            who: actor.to_string(),
            verb: verb.command(),
            app: Some(printable(app)),
            from: String::new(),
            outcome: "done",
            reason: None,
            milliseconds: 0,
        }
    }

    /// Once it is known who asks.
    pub(crate) fn who(&mut self, actor: &Actor) {
        self.who = actor.to_string();
    }

    pub(crate) fn end(&mut self, refused: Option<&Refused>, milliseconds: u64) {
        self.milliseconds = milliseconds;
        if let Some(refused) = refused {
            self.outcome = refused.word();
            self.reason = Some(refused.to_string());
        }
        let Self { who, verb, app, from, outcome, .. } = self;
        tracing::info!(who, verb, app, from, outcome, milliseconds, "request");
    }

    /// The line, made at `at` (milliseconds since 1970).
    pub(crate) fn row(self, at: u64) -> AuditEntry {
        AuditEntry {
            at,
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
    use futuswarm_rpc::Identity;

    use super::*;

    #[test]
    fn a_name_cannot_write_a_line_of_its_own() {
        let identity = Identity::User("jane\nroot: done\u{1b}[2J".to_owned());
        let caller = Caller { identity, key: None, from: None };
        let mut audited = Audited::begin(Some(Verb::Deploy), Subject::App("a\nb"), &caller);
        audited.end(Some(&Refused::usage("no")), 7);
        let row = audited.row(5);
        assert_eq!(row.who, "jane?root: done?[2J");
        assert_eq!(row.app.as_deref(), Some("a?b"));
        assert_eq!((row.outcome.as_str(), row.milliseconds, row.at), ("usage", 7, 5));
    }
}
