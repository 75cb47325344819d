//! Whether somebody owns an app: a user, or a group that somebody is in.

use std::collections::BTreeSet;

use futuswarm_model::{AccessList, AppRecord, AppRole, Principal};

use super::access_lists;
use crate::refusal::Refused;
use crate::{Control, Error, Platform};

/// Groups that somebody is in. All users are asked for only where it matters: when it is about a group, or one owns the app.
pub(super) async fn groups<P: Platform>(
    control: &Control<P>,
    app: &str,
    principal: &Principal,
) -> Result<BTreeSet<String>, Refused> {
    let record = control.existing(app).await?;
    let is_group = |principal: &Principal| matches!(principal, Principal::Group(_));
    let owned_by_group = record.access.rows().any(|(row, role)| role == AppRole::Owner && is_group(row));
    if !is_group(principal) && !owned_by_group {
        return Ok(BTreeSet::new());
    }
    all_groups(control).await
}

async fn all_groups<P: Platform>(control: &Control<P>) -> Result<BTreeSet<String>, Refused> {
    let users = control.records.users().await.map_err(Error::from)?;
    Ok(users.into_iter().flat_map(|user| user.groups).collect())
}

/// Whether somebody owns the app.
pub(super) fn has_owner(record: &AppRecord, groups: &BTreeSet<String>) -> Result<(), Refused> {
    if is_owned(&record.access, groups) {
        return Ok(());
    }
    let owners = record.access.rows().filter(|(_, role)| *role == AppRole::Owner);
    let nobodys: Vec<String> = owners.map(|(principal, _)| principal.to_string()).collect();
    Err(Refused::usage(format!(
        "{} would be without an owner, since nobody is in {}: make somebody else one first",
        record.name,
        nobodys.join(", ")
    )))
}

/// Whether an owner is a user, or one of these groups, which are those that somebody is in.
fn is_owned(access: &AccessList, groups: &BTreeSet<String>) -> bool {
    access.rows().any(|(principal, role)| {
        let is_somebody = match principal {
            Principal::User(_) => true,
            Principal::Group(name) => groups.contains(name),
        };
        role == AppRole::Owner && is_somebody
    })
}

/// What there is to say of apps that nobody owns.
pub(super) async fn ownerless<P: Platform>(control: &Control<P>) -> Result<Option<String>, Refused> {
    let groups = all_groups(control).await?;
    let index = access_lists(control).await?;
    let apps = index.into_iter().filter(|(_, entry)| !is_owned(&entry.access, &groups));
    Ok(nobody_owns(&apps.map(|(app, _)| app).collect::<Vec<_>>()))
}

pub(super) fn nobody_owns(apps: &[String]) -> Option<String> {
    let app = match apps {
        [] => return None,
        [app] => app,
        _ => "APP",
    };
    let apps = apps.join(", ");
    Some(format!(
        "nobody owns {apps} any more: an admin gives it to somebody with `futuswarm acl:user:add USER --role owner -a {app}`"
    ))
}
