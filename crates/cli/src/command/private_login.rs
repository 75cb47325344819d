//! The login of the private domain as a whole: how it is, who is locked out, and another passphrase. For admins.

use std::collections::BTreeSet;

use futuswarm_model::{PassphraseStep, Rotation, unix_millis};
use futuswarm_output::println;
use futuswarm_rpc::message::{Answer, LockedOut, LoginOrder, LoginState, PassphraseState, Request};

use super::visitors::{EVERYBODY, entries};
use super::{Context, confirm, content};
use crate::failure::{Code, Failure, Result};
use crate::output::{self, moment, or_dash};
use crate::suggest;

/// `admin:login`.
pub fn show(context: &Context) -> Result<u8> {
    print(context, LoginOrder::Show)
}

/// `admin:login:rotate`.
pub fn rotate(context: &Context, now: bool, given: Option<&str>) -> Result<u8> {
    if !now {
        return print(context, LoginOrder::Rotate(Rotation::InSteps));
    }
    confirm("Everybody will have to sign in again", EVERYBODY, given)?;
    print(context, LoginOrder::Rotate(Rotation::AtOnce))
}

fn print(context: &Context, order: LoginOrder) -> Result<u8> {
    let state = content!(context.ask(&Request::Login { order })?, Login);
    match context.json {
        true => output::json(&state)?,
        false => output::list(&rows(&state, unix_millis())),
    }
    Ok(0)
}

/// `admin:login:locked`.
pub fn locked(context: &Context) -> Result<u8> {
    ask(context, LoginOrder::Locked, "")
}

/// `admin:login:lock`.
pub fn lock(context: &Context, words: &[String]) -> Result<u8> {
    if words.iter().any(|word| word == EVERYBODY) {
        return Err(Failure::usage(
            "everybody cannot be locked out: `futuswarm admin:login:rotate --now` has everybody sign in again",
        ));
    }
    let note = "It counts at every edge within 2 s, for sessions from before, too.";
    ask(context, LoginOrder::Lock(entries(words)?), note)
}

/// `admin:login:unlock`.
pub fn unlock(context: &Context, words: &[String]) -> Result<u8> {
    let note =
        "Sessions from before count again: wait with this until 8 hours after the provider has locked an account.";
    ask(context, LoginOrder::Unlock(entries(words)?), note)
}

fn ask(context: &Context, order: LoginOrder, note: &str) -> Result<u8> {
    let request = Request::Login { order };
    let answer = context.ask(&request).map_err(|failure| with_nearest(context, &request, failure))?;
    let locked_out = content!(answer, LockedOut);
    match context.json {
        true => output::json(&locked_out)?,
        false => println!("{}", output::plain(&text(&locked_out, note))),
    }
    Ok(0)
}

/// Adds who may have been meant, when somebody is to be let in again who is not locked out.
fn with_nearest(context: &Context, request: &Request, mut failure: Failure) -> Failure {
    let Request::Login { order: LoginOrder::Unlock(gone) } = request else { return failure };
    if failure.code != Code::NotFound {
        return failure;
    }
    let asked = context.ask(&Request::Login { order: LoginOrder::Locked });
    let Ok(Answer::LockedOut(LockedOut { visitors, .. })) = asked else { return failure };
    let is_there = |word: &String| visitors.iter().any(|there| there.eq_ignore_ascii_case(word));
    let unknown = gone.iter().find(|word| !is_there(word));
    if let Some(nearest) = unknown.and_then(|word| suggest::nearest(word, visitors.iter().map(String::as_str))) {
        failure.message.push_str(&format!("; did you mean {nearest}?"));
    }
    failure
}

fn text(locked_out: &LockedOut, note: &str) -> String {
    let LockedOut { visitors, login, .. } = locked_out;
    let mut lines = match visitors.is_empty() {
        true => vec!["nobody is locked out".to_owned()],
        false => vec!["locked out of every app that needs a login:".to_owned()],
    };
    lines.extend(names(visitors));
    if !note.is_empty() {
        lines.push(note.to_owned());
    }
    if !login {
        lines.push("This cluster has no login: the world may use every app.".to_owned());
    }
    lines.join("\n")
}

fn names(visitors: &BTreeSet<String>) -> impl Iterator<Item = String> {
    visitors.iter().map(|name| format!("  {name}"))
}

/// What is told of the login, at `now` (milliseconds since 1970).
fn rows(state: &LoginState, now: u64) -> Vec<(&'static str, String)> {
    let LoginState { domain, issuer, discovered_at, client_secret, passphrase, locked } = state;
    let Some(issuer) = issuer else {
        return vec![("login", "none: the world may use every app; who deploys the cluster gives it one".to_owned())];
    };
    let provider = match discovered_at {
        Some(at) => format!("known, unchanged since {}", moment(*at)),
        None => "not known: it was never reached, and nobody can sign in; `cargo xtask status` says why".to_owned(),
    };
    let secret = match client_secret {
        true => "is there",
        false => "is missing, and nobody can sign in: who deploys the cluster puts it in",
    };
    let passphrase = match passphrase {
        Some(passphrase) => progress(passphrase, now),
        None => "none yet: the Swarm's leader makes it within a minute".to_owned(),
    };
    vec![
        ("domain", or_dash(domain.as_deref())),
        ("issuer", issuer.clone()),
        ("provider", provider),
        ("client secret", secret.to_owned()),
        ("passphrase", passphrase),
        ("locked out", format!("{locked}")),
    ]
}

fn progress(passphrase: &PassphraseState, now: u64) -> String {
    let PassphraseState { step, since, asked, free_at } = passphrase;
    let since = format!("{} ({} ago)", moment(*since), age(now.saturating_sub(*since)));
    let step = match step {
        PassphraseStep::Switched => format!("a change is on its way: switched since {since}"),
        PassphraseStep::Twice => format!("a change is on its way: twice since {since}"),
        PassphraseStep::Done => format!("done since {since}"),
    };
    let next = match asked {
        Some(Rotation::InSteps) => "; another one was asked for, and follows within a minute".to_owned(),
        Some(Rotation::AtOnce) => "; one in its place was asked for, and counts within a minute".to_owned(),
        None if *free_at > now => format!("; another one may follow from {} on", moment(*free_at)),
        None => String::new(),
    };
    format!("{step}{next}")
}

fn age(millis: u64) -> String {
    let minutes = millis / 60_000;
    match (minutes / 60 / 24, minutes / 60) {
        (0, 0) => format!("{minutes} min"),
        (0, hours) => format!("{hours} h"),
        (days, _) => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> LoginState {
        LoginState {
            domain: Some("apps.example.com".to_owned()),
            issuer: Some("https://idp.example.com".to_owned()),
            discovered_at: Some(0),
            client_secret: true,
            passphrase: Some(PassphraseState {
                step: PassphraseStep::Done,
                since: 0,
                asked: None,
                free_at: 30_720_000,
            }),
            locked: 2,
        }
    }

    fn told(state: &LoginState, now: u64) -> String {
        rows(state, now).into_iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
    }

    #[test]
    fn what_keeps_people_out_is_said_with_who_can_change_it() {
        let text = told(&state(), 90 * 86_400_000);
        for part in
            ["issuer: https://idp.example.com", "known, unchanged", "is there", "(90 days ago)\n", "locked out: 2"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        for (state, part) in [
            (LoginState { discovered_at: None, ..state() }, "provider: not known"),
            (LoginState { client_secret: false, ..state() }, "client secret: is missing"),
            (LoginState { passphrase: None, ..state() }, "passphrase: none yet"),
            (LoginState { issuer: None, ..state() }, "login: none: the world may use every app"),
        ] {
            let text = told(&state, 0);
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_change_is_told_with_its_step_and_when_another_one_may_follow() {
        let of = |step, asked, now| {
            let passphrase = Some(PassphraseState { step, since: 0, asked, free_at: 30_720_000 });
            told(&LoginState { passphrase, ..state() }, now)
        };
        for (step, asked, now, part) in [
            (
                PassphraseStep::Done,
                None,
                7_200_000,
                "done since 1970-01-01T00:00:00Z (2 h ago); another one may follow",
            ),
            (PassphraseStep::Done, None, 7_200_000, "from 1970-01-01T08:32:00Z on"),
            (PassphraseStep::Done, None, 30_720_000, "(8 h ago)\n"),
            (PassphraseStep::Switched, None, 60_000, "on its way: switched since 1970-01-01T00:00:00Z (1 min ago)"),
            (PassphraseStep::Twice, None, 0, "on its way: twice since"),
            (PassphraseStep::Done, Some(Rotation::InSteps), 0, "another one was asked for"),
            (PassphraseStep::Switched, Some(Rotation::AtOnce), 0, "one in its place was asked for"),
        ] {
            let text = of(step, asked, now);
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn who_is_locked_out_is_told_with_what_to_know() {
        let locked_out = |visitors: &[&str], login| LockedOut {
            visitors: visitors.iter().map(|name| (*name).to_owned()).collect(),
            login,
            changed: true,
        };
        assert_eq!(text(&locked_out(&[], true), ""), "nobody is locked out");
        assert_eq!(
            text(&locked_out(&["user:ada", "group:staff"], true), "It counts."),
            "locked out of every app that needs a login:\n  group:staff\n  user:ada\nIt counts."
        );
        assert!(text(&locked_out(&[], false), "").ends_with("no login: the world may use every app."));
    }
}
