//! The table of the login. Single values are asked of the crate that makes Apache's configuration, so that nothing that a spec may say is
//! refused later.

use futuswarm_sso::{Error, check};

use crate::Login;
use crate::reader::Table;

/// A working day; [`futuswarm_model::LONGEST_SESSION`].
const LONGEST_MINUTES: i64 = 480;

pub(super) fn login(table: &mut Table) -> Option<Login> {
    let issuer = word(table, "issuer", None, check::issuer);
    let client_id = word(table, "client_id", None, check::client_id);
    if table.has("client_secret") {
        table.known("client_secret");
        let message = "the client's secret is in no file: take it out, and give it to `cargo xtask login secret`";
        table.wrong("client_secret", message.to_owned());
    }
    let scopes = scopes(table);
    let user_claim = word(table, "user_claim", Some("email"), check::claim);
    let groups_claim = match table.optional("groups_claim", |_| Ok(())) {
        Some(Some(claim)) => is_sound(table, "groups_claim", &claim, check::claim).then_some(Some(claim)),
        other => other,
    };
    let inactivity = table.integer("inactivity_minutes", Some(60), 1..=LONGEST_MINUTES);
    let longest = table.integer("longest_minutes", Some(LONGEST_MINUTES), 1..=LONGEST_MINUTES);
    if let (Some(inactivity), Some(longest)) = (inactivity, longest)
        && longest < inactivity
    {
        let message = format!("{longest} is less than `inactivity_minutes`, which is {inactivity}");
        table.wrong("longest_minutes", message);
    }
    let contact = word(table, "contact", None, check::contact);
    Some(Login {
        issuer: issuer?,
        client_id: client_id?,
        scopes: scopes?,
        user_claim: user_claim?,
        groups_claim: groups_claim?,
        inactivity_minutes: super::small(inactivity)?,
        longest_minutes: super::small(longest)?,
        contact: contact?,
    })
}

type Check = fn(&str) -> Result<(), Error>;

fn word(table: &mut Table, key: &str, default: Option<&str>, check: Check) -> Option<String> {
    let text = table.string(key, default, |_| Ok(()))?;
    is_sound(table, key, &text, check).then_some(text)
}

/// An empty list asks for `openid` alone.
fn scopes(table: &mut Table) -> Option<Vec<String>> {
    if !table.has("scopes") {
        table.known("scopes");
        return Some(vec!["email".to_owned()]);
    }
    let scopes = table.strings("scopes")?;
    let bad = scopes.iter().filter(|scope| !is_sound(table, "scopes", scope, check::scope)).count();
    (bad == 0).then_some(scopes)
}

/// Whether a value passes; what is wrong with it is noted.
fn is_sound(table: &mut Table, key: &str, text: &str, check: Check) -> bool {
    match check(text) {
        Ok(()) => true,
        Err(error) => {
            table.wrong(key, error.to_string());
            false
        }
    }
}
