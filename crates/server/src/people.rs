//! Requests about who may: access lists, users, and tokens.

use std::collections::BTreeSet;

use futuswarm_model::{AppRecord, AppRole, AppToken, Principal, User, person_name};
use futuswarm_paas::access::Actor;
use futuswarm_rpc::message::{AccessRow, Answer, RefusalClass, TokenRow, UserRow};
use futuswarm_ssh_keys::PublicKey;

use crate::clock::Clock as _;
use crate::refusal::Refused;
use crate::{Control, Error, Platform, records};

/// So many days a token may be good for.
const LONGEST_TOKEN: u32 = 365;
const DAY_MILLIS: u64 = 86_400_000;
/// So many keys of one user: more would only be forgotten ones.
const MOST_KEYS: usize = 20;

/// Rows of an app's access list.
pub(crate) fn access(record: AppRecord) -> Result<Answer, Refused> {
    let rows = record.access.rows().map(|(principal, role)| AccessRow { principal: principal.clone(), role });
    Ok(Answer::Access(rows.collect()))
}

/// Puts a row in. A user has to exist: a typing error would wait for somebody of that name.
pub(crate) async fn grant<P: Platform>(
    control: &Control<P>,
    app: &str,
    principal: Principal,
    role: AppRole,
) -> Result<Answer, Refused> {
    if let Principal::User(name) = &principal {
        let user = control.records.user(name).await.map_err(Error::from)?;
        user.ok_or_else(|| Refused::not_found(format!("there is no user {name}; a group is written @{name}")))?;
    }
    let changed = control.records.change_app(app, |record: &mut AppRecord| {
        record.access.grant(principal.clone(), role).map_err(Refused::usage)?;
        Ok::<_, Refused>(record.clone())
    });
    access(changed.await?)
}

/// Takes a row out.
pub(crate) async fn revoke<P: Platform>(
    control: &Control<P>,
    app: &str,
    principal: &Principal,
) -> Result<Answer, Refused> {
    let changed = control.records.change_app(app, |record: &mut AppRecord| {
        match record.access.revoke(principal).map_err(Refused::usage)? {
            true => Ok(record.clone()),
            false => Err(Refused::not_found(format!("{principal} has no role in {app}"))),
        }
    });
    access(changed.await?)
}

/// All users, or the admins.
pub(crate) async fn users<P: Platform>(control: &Control<P>, admins: bool) -> Result<Answer, Refused> {
    let users = control.records.users().await.map_err(Error::from)?;
    Ok(Answer::Users(users.into_iter().filter(|user| user.admin || !admins).map(row).collect()))
}

fn row(user: User) -> UserRow {
    let print = |key: &String| PublicKey::parse(key).map_or_else(|_| "unreadable".to_owned(), |key| key.fingerprint());
    UserRow { keys: user.keys.iter().map(print).collect(), name: user.name, admin: user.admin, groups: user.groups }
}

/// What is to be changed of a user.
pub(crate) struct Change {
    pub(crate) name: String,
    pub(crate) create: bool,
    pub(crate) keys: Option<Vec<String>>,
    pub(crate) admin: Option<bool>,
    pub(crate) groups: Option<BTreeSet<String>>,
}

/// Makes or changes a user.
pub(crate) async fn put<P: Platform>(control: &Control<P>, change: Change) -> Result<Answer, Refused> {
    person_name(&change.name).map_err(Refused::usage)?;
    for group in change.groups.iter().flatten() {
        person_name(group).map_err(Refused::usage)?;
    }
    let keys = change.keys.as_deref().map(keys).transpose()?;
    if let Some(keys) = &keys {
        strangers(control, &change.name, keys).await?;
        no_tokens(control, keys).await?;
    }
    let now = control.clock.unix_millis();
    let name = &change.name;
    let lessens = change.admin == Some(false) || keys.as_ref().is_some_and(BTreeSet::is_empty);
    let is_last = lessens && !others_govern(control, name).await?;
    let mut lost = None;
    let changed = control.records.change_user(name, |user: Option<&User>| {
        let new = || User {
            name: name.clone(),
            admin: false,
            groups: BTreeSet::new(),
            keys: BTreeSet::new(),
            created_at: now,
        };
        let user = match (user, change.create) {
            (None, true) => new(),
            (Some(user), _) => user.clone(),
            (None, false) => {
                return Err(Refused::not_found(format!(
                    "there is no user {name}: make one with `futuswarm admin:user:add`"
                )));
            }
        };
        let after = User {
            admin: change.admin.unwrap_or(user.admin),
            groups: change.groups.clone().unwrap_or_else(|| user.groups.clone()),
            keys: keys.clone().unwrap_or_else(|| user.keys.clone()),
            ..user.clone()
        };
        lost = (governs(&user) && !governs(&after)).then_some(user);
        if lost.is_some() && is_last {
            return Err(last_admin(name));
        }
        Ok(after)
    });
    let changed = changed.await?;
    if let Some(before) = lost {
        somebody_governs(control, &before).await?;
    }
    Ok(Answer::User(row(changed)))
}

/// Whether somebody is an admin who can log in.
fn governs(user: &User) -> bool {
    user.admin && !user.keys.is_empty()
}

/// Whether an admin is left without this one.
async fn others_govern<P: Platform>(control: &Control<P>, name: &str) -> Result<bool, Refused> {
    let users = control.records.users().await.map_err(Error::from)?;
    Ok(users.iter().any(|user| user.name != name && governs(user)))
}

fn last_admin(name: &str) -> Refused {
    Refused::usage(format!(
        "{name} is the only admin who can log in, and a cluster without one cannot be changed any more: make another one first with `futuswarm admin:user:add`"
    ))
}

/// Puts an admin back who was the last one after all: each user is an object of its own, so two admins who take the rights of each other
/// at the same moment both find one left before. The later one of both finds none after, and takes it back.
async fn somebody_governs<P: Platform>(control: &Control<P>, before: &User) -> Result<(), Refused> {
    if others_govern(control, "").await? {
        return Ok(());
    }
    let name = &before.name;
    let back = control.records.change_user::<Error>(name, |there: Option<&User>| {
        let there = there.unwrap_or(before);
        let keys = if there.keys.is_empty() { &before.keys } else { &there.keys };
        Ok(User { admin: true, keys: keys.clone(), ..there.clone() })
    });
    back.await?;
    Err(Refused::new(
        RefusalClass::Locked,
        format!("no admin would be left, since another one was changed at the same moment: {name} stays an admin"),
    ))
}

fn keys(lines: &[String]) -> Result<BTreeSet<String>, Refused> {
    if lines.len() > MOST_KEYS {
        return Err(Refused::usage(format!("{} keys are too many for one user; {MOST_KEYS} fit", lines.len())));
    }
    let key = |line: &String| PublicKey::parse(line).map(|key| key.line().to_owned()).map_err(Refused::usage);
    lines.iter().map(key).collect()
}

/// A key tells who somebody is, so two users cannot have the same.
async fn strangers<P: Platform>(control: &Control<P>, name: &str, keys: &BTreeSet<String>) -> Result<(), Refused> {
    let users = control.records.users().await.map_err(Error::from)?;
    let other = users.iter().find(|user| user.name != name && !user.keys.is_disjoint(keys));
    match other {
        Some(other) => {
            Err(Refused::usage(format!("the key is that of {} already: each user has their own", other.name)))
        }
        None => Ok(()),
    }
}

/// A key that is a token's would let its owner in as neither.
async fn no_tokens<P: Platform>(control: &Control<P>, keys: &BTreeSet<String>) -> Result<(), Refused> {
    for key in keys {
        let hash = PublicKey::parse(key).map_err(Refused::usage)?.hash();
        if let Some((token, _)) = control.records.token(&hash).await.map_err(Error::from)? {
            return Err(Error::from(records::Error::KeyTaken { app: token.app, name: token.name }).into());
        }
    }
    Ok(())
}

/// Removes a user, and their rows in access lists: the next user of that name must not have them. A row that is an app's only owner
/// stays, which the answer says: the admins choose who has it then.
pub(crate) async fn remove<P: Platform>(control: &Control<P>, actor: &Actor, name: &str) -> Result<Answer, Refused> {
    person_name(name).map_err(Refused::usage)?;
    if matches!(actor, Actor::User { name: own, .. } if own == name) {
        return Err(Refused::usage("another admin removes you: a cluster without one cannot be changed any more"));
    }
    let user = control.records.user(name).await.map_err(Error::from)?;
    let user = user.ok_or_else(|| Refused::not_found(format!("there is no user {name}")))?;
    if governs(&user) && !others_govern(control, name).await? {
        return Err(last_admin(name));
    }
    // Their rows first: when this fails in between, the user is still there to be removed again.
    let orphans = without_rows(control, &Principal::User(name.to_owned())).await?;
    control.records.remove_user(name).await.map_err(Error::from)?;
    if governs(&user) {
        somebody_governs(control, &user).await?;
    }
    let mut said = format!("{name} is removed, and locked out within 30 s");
    if !orphans.is_empty() {
        said.push_str(&format!(
            "; they were the only owner of {}: make somebody else one with `futuswarm acl:user:add`, and take their row out",
            orphans.join(", ")
        ));
    }
    Ok(Answer::Done(said))
}

/// Takes the rows of a principal out of all access lists. Returns the apps that would be without an owner.
async fn without_rows<P: Platform>(control: &Control<P>, principal: &Principal) -> Result<Vec<String>, Refused> {
    let mut orphans = Vec::new();
    for (app, entry) in control.records.apps().await.map_err(Error::from)? {
        if !entry.access.rows().any(|(row, _)| row == principal) {
            continue;
        }
        let revoked = control
            .records
            .change_app(&app, |record: &mut AppRecord| Ok::<_, Error>(record.access.revoke(principal).is_err()));
        match revoked.await {
            Ok(true) => orphans.push(app),
            Ok(false) | Err(Error::Records(records::Error::NoApp(_))) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(orphans)
}

/// An app's tokens.
pub(crate) fn tokens(record: AppRecord) -> Result<Answer, Refused> {
    let row = |(name, token): (String, AppToken)| TokenRow {
        name,
        key: token.fingerprint,
        by: token.by,
        expires_at: token.expires_at,
    };
    Ok(Answer::Tokens(record.tokens.into_iter().map(row).collect()))
}

/// Makes a token out of the public half of a key pair that only the asker has.
pub(crate) async fn create_token<P: Platform>(
    control: &Control<P>,
    actor: &Actor,
    app: &str,
    name: &str,
    key: &str,
    days: u32,
) -> Result<Answer, Refused> {
    person_name(name).map_err(Refused::usage)?;
    if !(1..=LONGEST_TOKEN).contains(&days) {
        return Err(Refused::usage(format!("a token is good for 1 to {LONGEST_TOKEN} days")));
    }
    let key = PublicKey::parse(key).map_err(Refused::usage)?;
    strangers(control, "", &BTreeSet::from([key.line().to_owned()])).await?;
    let now = control.clock.unix_millis();
    let token = AppToken {
        hash: key.hash(),
        fingerprint: key.fingerprint(),
        by: actor.to_string(),
        created_at: now,
        expires_at: now + u64::from(days) * DAY_MILLIS,
    };
    match control.records.put_token(app, name, &token).await {
        Err(error @ records::Error::TokenExists { .. }) => Err(Refused::new(RefusalClass::Usage, error.to_string())),
        put => {
            put.map_err(Error::from)?;
            tokens(control.existing(app).await?)
        }
    }
}

/// Ends a token.
pub(crate) async fn revoke_token<P: Platform>(control: &Control<P>, app: &str, name: &str) -> Result<Answer, Refused> {
    match control.records.remove_token(app, name).await.map_err(Error::from)? {
        true => tokens(control.existing(app).await?),
        false => Err(Refused::not_found(format!("{app} has no token {name}"))),
    }
}
