//! The login of the private domain as a whole, for admins: how it is, who is locked out, and that another passphrase is wanted.
//!
//! Edges read who is locked out once a second. A passphrase is made and changed by the Swarm's leader, which finds in its record what was
//! asked for; nothing here can open one.

use std::collections::BTreeSet;

use futuswarm_model::{Locked, LoginPassphrases, PassphraseStep, Rotation, Visitor};
use futuswarm_rpc::message::{Answer, LockedOut, LoginOrder, LoginState, PassphraseState, RefusalClass};

use crate::admission::visitors;
use crate::clock::Clock as _;
use crate::refusal::Refused;
use crate::{Control, Platform};

/// Does what was asked of the login.
pub(crate) async fn handle<P: Platform>(control: &Control<P>, order: LoginOrder) -> Result<Answer, Refused> {
    match order {
        LoginOrder::Show => show(control).await,
        LoginOrder::Locked => {
            let (locked, login) = tokio::try_join!(control.records.locked(), control.records.has_login())?;
            Ok(answer(&locked.visitors, login, false))
        }
        LoginOrder::Lock(entries) => lock(control, &entries).await,
        LoginOrder::Unlock(entries) => unlock(control, &entries).await,
        LoginOrder::Rotate(rotation) => rotate(control, rotation).await,
    }
}

async fn show<P: Platform>(control: &Control<P>) -> Result<Answer, Refused> {
    let records = &control.records;
    let (login, provider, client_secret, passphrases, locked) = tokio::try_join!(
        records.login(),
        records.login_provider(),
        records.has_client_secret(),
        records.passphrases(),
        records.locked()
    )?;
    // Another issuer's is void.
    let is_of = |issuer: &str| login.as_ref().is_some_and(|login| login.issuer == issuer);
    Ok(Answer::Login(LoginState {
        discovered_at: provider.filter(|provider| is_of(&provider.issuer)).map(|provider| provider.at),
        domain: login.as_ref().map(|login| login.domain.clone()),
        issuer: login.map(|login| login.issuer),
        client_secret,
        passphrase: passphrases.map(|passphrases| PassphraseState {
            step: passphrases.step,
            since: passphrases.since,
            asked: passphrases.asked,
            free_at: passphrases.free_at(),
        }),
        locked: u64::try_from(locked.visitors.len()).unwrap_or(u64::MAX),
    }))
}

fn answer(visitors: &BTreeSet<Visitor>, login: bool, changed: bool) -> Answer {
    Answer::LockedOut(LockedOut { visitors: visitors.iter().map(ToString::to_string).collect(), login, changed })
}

fn no_login(what: &str) -> Refused {
    Refused::not_found(format!("this cluster has no login, so that {what}"))
}

/// Users are locked out in capitals and small letters alike, since providers do not always say a name in the same.
fn is_same(one: &Visitor, other: &Visitor) -> bool {
    match (one, other) {
        (Visitor::User(one), Visitor::User(other)) => one.eq_ignore_ascii_case(other),
        (one, other) => one == other,
    }
}

async fn lock<P: Platform>(control: &Control<P>, entries: &BTreeSet<String>) -> Result<Answer, Refused> {
    let new = visitors(entries)?;
    let Some(login) = control.records.login().await? else {
        return Err(no_login("nobody can be locked out: the world may use every app"));
    };
    // One that edges cannot render would keep everybody out.
    if let (None, Some(group)) = (&login.groups_claim, new.iter().find(|one| matches!(one, Visitor::Group(_)))) {
        return Err(Refused::usage(format!(
            "the login's provider tells no groups, so that {group} is nobody: lock users out"
        )));
    }
    let change = |locked: &mut Locked| {
        let before = locked.visitors.len();
        for one in &new {
            if !locked.visitors.iter().any(|there| is_same(there, one)) {
                locked.visitors.insert(one.clone());
            }
        }
        match locked.fits() {
            true => Ok((locked.visitors.clone(), locked.visitors.len() != before)),
            false => Err(Refused::usage(
                "the list of who is locked out would be longer than the login has room for (about 40 names): lock a group out, or take those off whom the provider has kept out for 8 hours; nothing was changed",
            )),
        }
    };
    let (visitors, changed) = control.records.change_locked(change).await?;
    Ok(answer(&visitors, true, changed))
}

async fn unlock<P: Platform>(control: &Control<P>, entries: &BTreeSet<String>) -> Result<Answer, Refused> {
    let gone = visitors(entries)?;
    let login = control.records.has_login().await?;
    let change = |locked: &mut Locked| {
        if let Some(nobody) = gone.iter().find(|one| !locked.visitors.iter().any(|there| is_same(there, one))) {
            return Err(Refused::not_found(format!(
                "{nobody} is not locked out, and nothing was changed: `futuswarm admin:login:locked` shows who is"
            )));
        }
        locked.visitors.retain(|there| !gone.iter().any(|one| is_same(there, one)));
        Ok(locked.visitors.clone())
    };
    let visitors = control.records.change_locked(change).await?;
    Ok(answer(&visitors, login, true))
}

async fn rotate<P: Platform>(control: &Control<P>, rotation: Rotation) -> Result<Answer, Refused> {
    if !control.records.has_login().await? {
        return Err(no_login("it has no passphrase"));
    }
    let now = control.clock.unix_millis();
    let ask = |passphrases: &mut LoginPassphrases| ask(passphrases, rotation, now);
    match control.records.change_passphrases(ask).await? {
        Some(_) => show(control).await,
        None => Err(Refused::not_found(
            "there is no passphrase yet: the Swarm's leader makes the first one within a minute, and `cargo xtask status` says what keeps it from that",
        )),
    }
}

/// Puts down what is asked for at `now` (milliseconds since 1970), unless it comes too early.
fn ask(passphrases: &mut LoginPassphrases, rotation: Rotation, now: u64) -> Result<(), Refused> {
    match (rotation, passphrases.asked) {
        (Rotation::AtOnce, _) => passphrases.asked = Some(Rotation::AtOnce),
        // It begins already, or with something that makes it needless.
        (Rotation::InSteps, Some(_)) => {}
        (Rotation::InSteps, None) => {
            let free_at = passphrases.free_at();
            if now < free_at {
                let why = match passphrases.step {
                    PassphraseStep::Done => "people have sessions of before the last change",
                    PassphraseStep::Switched | PassphraseStep::Twice => "a change is on its way",
                };
                return Err(Refused::new(
                    RefusalClass::Locked,
                    format!(
                        "{why}: another one may begin in {}, and nothing was changed; `futuswarm admin:login:rotate --now` is for a passphrase that somebody else may know, and has everybody sign in again",
                        span(free_at.saturating_sub(now))
                    ),
                ));
            }
            passphrases.asked = Some(Rotation::InSteps);
        }
    }
    Ok(())
}

/// A time of so many milliseconds, for people.
fn span(millis: u64) -> String {
    let minutes = millis.div_ceil(60_000);
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}
