//! Requests about who may: access lists, users, and tokens.

use std::collections::BTreeSet;

use futuswarm_model::{AppIndex, AppRecord, AppRole, AppToken, Principal, User, person_name};
use futuswarm_paas::access::{Actor, Verb};
use futuswarm_rpc::message::{AccessRow, Answer, Event, RefusalClass, TokenRow, UserRow};
use futuswarm_ssh_keys::PublicKey;

use crate::client::Client;
use crate::clock::Clock as _;
use crate::refusal::Refused;
use crate::{Control, Error, Platform, records};
use owners::{groups, has_owner, nobody_owns, ownerless};

mod owners;

/// So many days a token may be good for.
const LONGEST_TOKEN: u32 = 365;
const DAY_MILLIS: u64 = 86_400_000;
/// So many keys of one user: more would only be forgotten ones.
const MOST_KEYS: usize = 20;
/// So many rows of one access list: whoever needs more means a group.
const MOST_ROWS: usize = 200;
/// So many tokens of one app: every manager reads each of them for the keys that may log in.
const MOST_TOKENS: usize = 100;

/// Rows of an app's access list.
pub(crate) fn access(record: AppRecord) -> Result<Answer, Refused> {
    let rows = record.access.rows().map(|(principal, role)| AccessRow { principal: principal.clone(), role });
    Ok(Answer::Access(rows.collect()))
}

/// Puts a row in. A user has to exist, and a group has to have somebody in it: a typing error would wait for somebody of that name.
pub(crate) async fn grant<P: Platform>(
    control: &Control<P>,
    actor: &Actor,
    app: &str,
    principal: Principal,
    role: AppRole,
) -> Result<Answer, Refused> {
    let groups = groups(control, app, &principal).await?;
    match &principal {
        Principal::User(name) => {
            let user = control.records.user(name).await.map_err(Error::from)?;
            user.ok_or_else(|| Refused::not_found(format!("there is no user {name}; a group is written @{name}")))?;
        }
        Principal::Group(name) if !groups.contains(name) => {
            return Err(Refused::not_found(format!(
                "nobody is in the group {name}: an admin puts somebody into it with `futuswarm admin:user:set USER --group {name}`, beside a `--group` for each other group that they are in"
            )));
        }
        Principal::Group(_) => {}
    }
    let changed = control.records.change_app(app, |record: &mut AppRecord| {
        // Their rights may have changed since the request was allowed.
        control.allowed(actor, Verb::ChangeAccess, record)?;
        let is_new = !record.access.rows().any(|(row, _)| *row == principal);
        if is_new && record.access.rows().count() >= MOST_ROWS {
            return Err(Refused::usage(format!(
                "the access list of {app} has {MOST_ROWS} rows, which is as many as one may have: give the role to a group, or take a row out with `futuswarm acl:user:rm USER -a {app}`"
            )));
        }
        record.access.grant(principal.clone(), role).map_err(Refused::usage)?;
        has_owner(record, &groups)?;
        Ok::<_, Refused>(record.clone())
    });
    access(changed.await?)
}

/// Takes a row out.
pub(crate) async fn revoke<P: Platform>(
    control: &Control<P>,
    actor: &Actor,
    app: &str,
    principal: &Principal,
) -> Result<Answer, Refused> {
    let groups = groups(control, app, principal).await?;
    let changed = control.records.change_app(app, |record: &mut AppRecord| {
        control.allowed(actor, Verb::ChangeAccess, record)?;
        let was_owner = record.access.rows().any(|row| row == (principal, AppRole::Owner));
        if !record.access.revoke(principal).map_err(Refused::usage)? {
            return Err(Refused::not_found(format!("{principal} has no role in {app}")));
        }
        if was_owner {
            has_owner(record, &groups)?;
        }
        Ok(record.clone())
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
pub(crate) async fn put<P: Platform>(control: &Control<P>, change: Change, client: &Client) -> Result<Answer, Refused> {
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
    if change.create && control.records.user(name).await.map_err(Error::from)?.is_none() {
        has_no_rows(control, name).await?;
    }
    let lessens = change.admin == Some(false) || keys.as_ref().is_some_and(BTreeSet::is_empty);
    let is_last = lessens && !others_govern(control, name).await?;
    let (mut lost, mut has_left) = (None, false);
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
            (Some(user), true) => return with_more_keys(user, &change, keys.as_ref()),
            (Some(user), false) => user.clone(),
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
        has_left = !user.groups.is_subset(&after.groups);
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
    if has_left {
        match ownerless(control).await {
            Ok(Some(text)) => drop(client.send(&Event::Note { text }).await),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "whether apps were left without an owner is not known"),
        }
    }
    Ok(Answer::User(row(changed)))
}

/// A user who is there already, and to whom no more is done than what was promised: who makes one does not mean to change another one of
/// the same name. As `cargo xtask user add` does it.
fn with_more_keys(user: &User, change: &Change, keys: Option<&BTreeSet<String>>) -> Result<User, Refused> {
    let name = &user.name;
    let is_other = change.admin.is_some_and(|admin| admin != user.admin);
    if is_other || change.groups.as_ref().is_some_and(|groups| !groups.is_subset(&user.groups)) {
        return Err(Refused::usage(format!(
            "there is a user {name} already, and `admin:user:add` gives them more keys and nothing else: `futuswarm admin:user:set {name}` makes them an admin and puts them into groups"
        )));
    }
    let keys: BTreeSet<String> = user.keys.iter().chain(keys.into_iter().flatten()).cloned().collect();
    if keys.len() > MOST_KEYS {
        return Err(Refused::usage(format!(
            "{name} would have {} keys, and {MOST_KEYS} fit: `futuswarm admin:user:key:set {name}` replaces all that they have",
            keys.len()
        )));
    }
    Ok(User { keys, ..user.clone() })
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

/// Removes a user, and their rows in access lists: the next user of that name must not have them. Also the row of an app's only owner,
/// which the answer says: the admins, who may do everything with it, choose who is the next one.
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
    let rows = without_rows(control, name).await?;
    let removed = control.records.remove_user(name).await.map_err(Error::from);
    removed.map_err(|error| broken_off(name, &rows, error))?;
    if governs(&user) {
        let kept = |refused: Refused| match rows.taken.is_empty() {
            true => refused,
            false => refused.after(&format!("{name} has no role of their own in {} any more", rows.taken.join(", "))),
        };
        somebody_governs(control, &user).await.map_err(kept)?;
    }
    // All of them, and not only those of this time: an earlier removal may have broken off.
    let ownerless = ownerless(control).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "apps that were left without an owner earlier are not known");
        nobody_owns(&rows.ownerless)
    });
    let mut said = vec![format!("{name} is removed, and locked out within 30 s")];
    said.extend(ownerless);
    if !rows.unreadable.is_empty() {
        let apps = rows.unreadable.join(", ");
        said.push(format!("a role of theirs may be left in {apps}, whose record cannot be read"));
    }
    Ok(Answer::Done(said.join("; ")))
}

/// Apps in whose access lists somebody was.
#[derive(Default)]
struct Rows {
    /// All of them.
    taken: Vec<String>,
    /// Those that nobody owns from then on.
    ownerless: Vec<String>,
    /// Those whose record nobody can read, so that the row is in it still.
    unreadable: Vec<String>,
}

/// Takes the rows of a user out of all access lists.
async fn without_rows<P: Platform>(control: &Control<P>, name: &str) -> Result<Rows, Refused> {
    let principal = Principal::User(name.to_owned());
    let apps = apps_with(&access_lists(control).await?, &principal);
    let mut rows = Rows::default();
    for app in apps {
        let forget = |record: &mut AppRecord| Ok::<_, Error>(record.access.forget(&principal));
        match control.records.change_app(&app, forget).await {
            Ok(is_ownerless) => {
                rows.ownerless.extend(is_ownerless.then(|| app.clone()));
                rows.taken.push(app);
            }
            Err(Error::Records(records::Error::NoApp(_))) => {}
            // It gives nobody a role as it is.
            Err(Error::Records(error @ records::Error::Unreadable { .. })) => {
                tracing::warn!(app, user = name, %error, "a row of a user who is removed stays");
                rows.unreadable.push(app);
            }
            Err(error) => return Err(broken_off(name, &rows, error)),
        }
    }
    Ok(rows)
}

/// What went wrong after rows of a user were taken out. That nothing was changed, as some errors say, is true of the last step only.
fn broken_off(name: &str, rows: &Rows, error: Error) -> Refused {
    if rows.taken.is_empty() {
        return error.into();
    }
    let refused = match error {
        Error::Records(records::Error::Unavailable(reason)) => Refused::unavailable(reason),
        Error::Records(records::Error::Busy { key, .. }) => {
            Refused::new(RefusalClass::Locked, format!("{key}: others were faster"))
        }
        error => error.into(),
    };
    let ownerless = nobody_owns(&rows.ownerless).map(|said| format!("; {said}")).unwrap_or_default();
    refused.after(&format!(
        "{name} has no role of their own in {} any more, and may be a user still, so remove them again{ownerless}; what failed is this",
        rows.taken.join(", ")
    ))
}

/// A name that was somebody's is not given to the next one with their rows: a grant may have been on its way while they were removed.
async fn has_no_rows<P: Platform>(control: &Control<P>, name: &str) -> Result<(), Refused> {
    let apps = apps_with(&access_lists(control).await?, &Principal::User(name.to_owned()));
    let Some(first) = apps.first() else { return Ok(()) };
    Err(Refused::usage(format!(
        "a new user {name} would have the role of an earlier one in {}: take that out first with `futuswarm acl:user:rm {name} -a {first}`, after somebody else is an owner",
        apps.join(", ")
    )))
}

fn apps_with(index: &AppIndex, principal: &Principal) -> Vec<String> {
    let with = index.iter().filter(|(_, entry)| entry.access.rows().any(|(row, _)| row == principal));
    with.map(|(app, _)| app.clone()).collect()
}

/// Access lists as the apps' records have them now: the index may be behind.
async fn access_lists<P: Platform>(control: &Control<P>) -> Result<AppIndex, Refused> {
    let lists = match control.records.rebuild_index().await {
        // A record that nobody can read gives nobody a role, and is no reason to let somebody stay.
        Err(error @ records::Error::Unreadable { .. }) => {
            tracing::warn!(%error, "access lists are taken from the index, which may be behind");
            control.records.apps().await
        }
        lists => lists,
    };
    Ok(lists.map_err(Error::from)?)
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
    let check = |record: &AppRecord| {
        // Their rights may have changed since the request was allowed.
        control.allowed(actor, Verb::Tokens, record)?;
        if !record.tokens.contains_key(name) && record.tokens.len() >= MOST_TOKENS {
            return Err(Refused::usage(format!(
                "{app} has {MOST_TOKENS} tokens, which is as many as an app may have: revoke one first with `futuswarm tokens:revoke TOKEN -a {app}`"
            )));
        }
        Ok(())
    };
    control.records.put_token_if(app, name, &token, check).await?;
    tokens(control.existing(app).await?)
}

/// Ends a token.
pub(crate) async fn revoke_token<P: Platform>(control: &Control<P>, app: &str, name: &str) -> Result<Answer, Refused> {
    match control.records.remove_token(app, name).await.map_err(Error::from)? {
        true => tokens(control.existing(app).await?),
        false => Err(Refused::not_found(format!("{app} has no token {name}"))),
    }
}
