//! Users of the cluster, and what was asked for by whom.

use std::collections::BTreeSet;
use std::path::PathBuf;

use futuswarm_rpc::message::{Request, UserRow};

use super::{Context, content, done, table};
use crate::arguments::UserName;
use crate::failure::{Failure, Result};
use crate::output::{self, moment};

/// A file of public keys that is longer is something else.
const LONGEST_KEYS: u64 = 64 << 10;

fn name(user: &UserName) -> Result<String> {
    let name = user.name.as_deref().or(user.user.as_deref()).unwrap_or_default();
    let name = futuswarm_model::person_name(name).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(name.to_owned())
}

fn print(context: &Context, rows: &[UserRow]) -> Result<u8> {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let groups: Vec<&str> = row.groups.iter().map(String::as_str).collect();
            let admin = if row.admin { "admin" } else { "" };
            vec![row.name.clone(), admin.to_owned(), groups.join(","), row.keys.join(" ")]
        })
        .collect();
    if !context.json {
        output::table(&["NAME", "ADMIN", "GROUPS", "KEYS"], &cells, "No users.");
    }
    Ok(0)
}

/// `users` and `admin:list`.
pub fn list(context: &Context, admins: bool) -> Result<u8> {
    let rows = content!(context.ask(&Request::Users { admins })?, Users);
    if context.json {
        output::json(&rows)?;
    }
    print(context, &rows)
}

fn put(context: &Context, request: &Request) -> Result<u8> {
    let row = content!(context.ask(request)?, User);
    if context.json {
        output::json(&row)?;
    }
    print(context, &[row])
}

/// Public keys out of files: their lines, without comments. A private key is refused before anything is sent.
fn keys_of(files: &[PathBuf]) -> Result<Vec<String>> {
    let mut keys = Vec::new();
    for file in files {
        let failure = |error: &std::io::Error| Failure::usage(format!("cannot read {}: {error}", file.display()));
        let length = std::fs::metadata(file).map_err(|error| failure(&error))?.len();
        if length > LONGEST_KEYS {
            return Err(Failure::usage(format!("{} is too long for public keys", file.display())));
        }
        let text = std::fs::read_to_string(file).map_err(|error| failure(&error))?;
        if text.contains("PRIVATE KEY") {
            return Err(Failure::usage(format!(
                "{} is a private key, which stays where it is: give its public half ({}.pub)",
                file.display(),
                file.display()
            )));
        }
        let before = keys.len();
        keys.extend(
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned),
        );
        if keys.len() == before {
            return Err(Failure::usage(format!("{} has no public key in it", file.display())));
        }
    }
    Ok(keys)
}

fn groups_of(groups: Vec<String>) -> Result<BTreeSet<String>> {
    for group in &groups {
        futuswarm_model::person_name(group).map_err(|error| Failure::usage(format!("the group: {error}")))?;
    }
    Ok(groups.into_iter().collect())
}

/// `admin:user:add`.
pub fn add(context: &Context, user: &UserName, files: &[PathBuf], admin: bool, groups: Vec<String>) -> Result<u8> {
    let (keys, groups) = (Some(keys_of(files)?), groups_of(groups)?);
    let groups = Some(groups).filter(|groups| !groups.is_empty());
    let admin = admin.then_some(true);
    put(context, &Request::PutUser { name: name(user)?, create: true, keys, admin, groups })
}

/// `admin:user:set`.
pub fn set(context: &Context, user: &UserName, admin: Option<bool>, groups: Vec<String>, none: bool) -> Result<u8> {
    let groups = groups_of(groups)?;
    let groups = Some(groups).filter(|groups| none || !groups.is_empty());
    if admin.is_none() && groups.is_none() {
        return Err(Failure::usage("nothing to change: --admin, --group or --no-groups"));
    }
    put(context, &Request::PutUser { name: name(user)?, create: false, keys: None, admin, groups })
}

/// `admin:user:key:set`.
pub fn keys(context: &Context, user: &UserName, files: &[PathBuf]) -> Result<u8> {
    let keys = Some(keys_of(files)?);
    put(context, &Request::PutUser { name: name(user)?, create: false, keys, admin: None, groups: None })
}

/// `admin:user:rm`.
pub fn remove(context: &Context, user: &UserName) -> Result<u8> {
    let answer = context.ask(&Request::RemoveUser { name: name(user)? })?;
    done(context, answer)
}

/// `admin:swarm:usage`.
pub fn audit(context: &Context, limit: u32) -> Result<u8> {
    let rows = content!(context.ask(&Request::Audit { limit })?, Audit);
    let heads = ["WHEN", "WHO", "COMMAND", "APP", "OUTCOME", "TOOK", "FROM"];
    table(context, &rows, &heads, "Nothing was asked for.", |row| {
        let app = row.app.clone().unwrap_or_default();
        let took = format!("{} ms", row.milliseconds);
        vec![moment(row.at), row.who.clone(), row.verb.clone(), app, row.outcome.clone(), took, row.from.clone()]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_keys_and_files_without_keys_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let good = file("good", "# mine\nssh-ed25519 AAAA jane@laptop\n\nssh-rsa BBBB\n");
        assert_eq!(keys_of(&[good]).unwrap(), ["ssh-ed25519 AAAA jane@laptop", "ssh-rsa BBBB"]);
        let private = file("id", "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n");
        assert!(keys_of(&[private]).unwrap_err().message.contains("private key"));
        assert!(keys_of(&[file("empty", "# nothing\n")]).is_err());
        assert!(keys_of(&[folder.path().join("gone")]).is_err());
        assert!(keys_of(&[file("long", &"x".repeat(1 << 17))]).is_err());
    }
}
