//! Who may do what with an app.

use futuswarm_model::Principal;
use futuswarm_rpc::message::{AccessRow, Request};

use super::{Context, app_name, apps, content, table};
use crate::arguments::{App, AppFlag, Grant};
use crate::failure::{Failure, Result};

fn principal(text: &str) -> Result<Principal> {
    text.parse().map_err(|error: futuswarm_model::NameError| Failure::usage(error.to_string()))
}

fn print(context: &Context, rows: &[AccessRow]) -> Result<u8> {
    table(context, rows, &["WHO", "ROLE"], "Only admins may.", |row| {
        vec![row.principal.to_string(), row.role.to_string()]
    })
}

/// `acl:user:list`.
pub fn list(context: &Context, app: &App) -> Result<u8> {
    print(context, &content!(context.ask(&Request::Access { app: app_name::app(app)? })?, Access))
}

/// `acl:user:add`.
pub fn add(context: &Context, grant: &Grant) -> Result<u8> {
    let app = app_name::chosen(None, &grant.flag)?;
    let request = Request::Grant { app, principal: principal(&grant.principal)?, role: grant.role };
    print(context, &content!(context.ask(&request)?, Access))
}

/// `acl:user:rm`.
pub fn remove(context: &Context, who: &str, flag: &AppFlag) -> Result<u8> {
    let request = Request::Revoke { app: app_name::chosen(None, flag)?, principal: principal(who)? };
    print(context, &content!(context.ask(&request)?, Access))
}

/// `acl:user:services`.
pub fn services(context: &Context, user: &str) -> Result<u8> {
    let rows = content!(context.ask(&Request::AppsOf { user: user.to_owned() })?, Apps);
    apps::print(context, &rows)
}
