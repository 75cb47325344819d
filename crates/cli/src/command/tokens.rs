//! Tokens of apps: SSH keys for programs. The key pair is made here, and the cluster only ever has its public half.

use std::process::{Command, Stdio};

use futuswarm_output::{eprintln, print};
use futuswarm_rpc::message::{Request, TokenRow};

use super::{Context, app_name, content, table};
use crate::arguments::{App, AppFlag};
use crate::failure::{Failure, Result};
use crate::output::{self, moment};

fn show(context: &Context, rows: &[TokenRow]) -> Result<u8> {
    table(context, rows, &["TOKEN", "GOOD UNTIL", "BY", "KEY"], "No tokens.", |row| {
        vec![row.name.clone(), moment(row.expires_at), row.by.clone(), row.key.clone()]
    })
}

/// `tokens`.
pub fn list(context: &Context, app: &App) -> Result<u8> {
    show(context, &content!(context.ask(&Request::Tokens { app: app_name::app(app)? })?, Tokens))
}

/// `tokens:create`: the private key is on standard output, once.
pub fn create(context: &Context, name: &str, flag: &AppFlag, days: u32) -> Result<u8> {
    let app = app_name::chosen(None, flag)?;
    if name.is_empty() || name.chars().any(|c| c.is_control() || c.is_whitespace()) || name.starts_with('-') {
        return Err(Failure::usage(format!("{name:?} is no name of a token")));
    }
    let (private, public) = key_pair(&format!("{app}-{name}"))?;
    let request = Request::CreateToken { app: app.clone(), name: name.to_owned(), key: public, days };
    let rows = content!(context.ask(&request)?, Tokens);
    let expires = rows.iter().find(|row| row.name == name).map(|row| row.expires_at);
    if context.json {
        let document = serde_json::json!({ "app": app, "name": name, "key": private, "expires_at": expires });
        output::json(&document)?;
        return Ok(0);
    }
    let until = expires.map(|at| format!(" until {}", moment(at))).unwrap_or_default();
    eprintln!("The token {name} can deploy {app}{until}. Its private key is shown once:");
    print!("{private}");
    Ok(0)
}

/// A new key pair, by the user's own `ssh-keygen`, in a folder that nobody else reads and that is gone afterwards.
fn key_pair(comment: &str) -> Result<(String, String)> {
    let failure = |reason: String| Failure::failed(format!("cannot make a key pair: {reason}"));
    let folder = tempfile::tempdir().map_err(|error| failure(error.to_string()))?;
    let file = folder.path().join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"])
        .arg(&file)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failure(format!("ssh-keygen: {error}; it is a part of the OpenSSH client")))?;
    if !made.status.success() {
        return Err(failure(output::plain(String::from_utf8_lossy(&made.stderr).trim())));
    }
    let read = |path: &std::path::Path| std::fs::read_to_string(path).map_err(|error| failure(error.to_string()));
    let public = read(&file.with_extension("pub"))?;
    Ok((read(&file)?, public.trim().to_owned()))
}

/// `tokens:revoke`.
pub fn revoke(context: &Context, name: &str, flag: &AppFlag) -> Result<u8> {
    let request = Request::RevokeToken { app: app_name::chosen(None, flag)?, name: name.to_owned() };
    show(context, &content!(context.ask(&request)?, Tokens))
}
