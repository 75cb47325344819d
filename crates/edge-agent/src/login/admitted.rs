//! Whom the login lets in where: its description from the records in the bucket. No input or output.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futuswarm_edge::Route;
use futuswarm_model::{Admission, Admissions, Locked, LoginProvider, LoginRecord, Visitor};
use futuswarm_sso::{Access, App, Claims, Entry, Login, Places, Provider, Sessions, TokenAuth};

use crate::Error;

/// What is known of a login.
pub(super) struct Records<'a> {
    pub(super) record: &'a LoginRecord,
    pub(super) provider: &'a LoginProvider,
    pub(super) locked: &'a Locked,
    /// `None` while nobody knows whom apps admit: nobody is let in anywhere.
    pub(super) admissions: Option<&'a Admissions>,
    pub(super) routes: &'a [Route],
}

/// A login, and what of the records it does not take, in a sentence each.
pub(super) struct Described {
    pub(super) login: Login,
    pub(super) refused: Vec<String>,
}

/// Describes the login for Apache. What one app asks for and cannot have is no reason for the others: it admits nobody, and is named.
pub(super) fn describe(records: &Records<'_>, places: Places) -> Result<Described, Error> {
    let Records { record, provider, .. } = records;
    let balancers = record.balancers.iter().map(|network| {
        network.parse().map_err(|_| Error::Described(format!("{network:?} is no network of a load balancer")))
    });
    let mut login = Login {
        domain: record.domain.clone(),
        provider: Provider {
            issuer: provider.issuer.clone(),
            authorization: provider.authorization.clone(),
            token: provider.token.clone(),
            jwks: provider.jwks.clone(),
            userinfo: provider.userinfo.clone(),
            end_session: provider.end_session.clone(),
            token_auth: if provider.secret_in_form { TokenAuth::Post } else { TokenAuth::Basic },
        },
        client_id: record.client_id.clone(),
        scopes: record.scopes.clone(),
        claims: Claims { user: record.user_claim.clone(), groups: record.groups_claim.clone() },
        sessions: Sessions {
            inactivity: Duration::from_secs(record.inactivity_seconds),
            longest: Duration::from_secs(record.longest_seconds),
        },
        balancers: balancers.collect::<Result<_, _>>()?,
        contact: record.contact.clone(),
        apps: BTreeMap::new(),
        locked: BTreeSet::new(),
        places,
    };
    let mut refused = Vec::new();
    login.locked = locked(&login, records.locked, &mut refused)?;
    if let Some(admissions) = records.admissions {
        login.apps = apps(&login, admissions, records.routes, &mut refused);
    }
    Ok(Described { login, refused })
}

/// Who is locked out everywhere. A group is nobody's where the provider tells none; everything else has to count, or nothing is rendered.
fn locked(login: &Login, locked: &Locked, refused: &mut Vec<String>) -> Result<BTreeSet<Entry>, Error> {
    let mut all = BTreeSet::new();
    for visitor in &locked.visitors {
        if matches!(visitor, Visitor::Group(_)) && login.claims.groups.is_none() {
            refused.push(format!("{visitor} is locked out, and the provider tells no groups: name users"));
            continue;
        }
        all.insert(entry(visitor)?);
    }
    Ok(all)
}

fn entry(visitor: &Visitor) -> Result<Entry, futuswarm_sso::Error> {
    visitor.to_string().parse()
}

/// The hosts of all routes in this domain. A host whose paths are several services' lets in who is admitted by each of them.
fn apps(login: &Login, admissions: &Admissions, routes: &[Route], refused: &mut Vec<String>) -> BTreeMap<String, App> {
    let mut apps: BTreeMap<String, (App, &str)> = BTreeMap::new();
    for route in routes {
        let service = route.service.as_str();
        let access = access(&admissions.of(service)).unwrap_or_else(|error| {
            refused.push(format!("{service} admits nobody: {error}"));
            nobody()
        });
        let served = route.prefixes.iter().map(|prefix| &prefix.host);
        let leading = route.redirects.iter().flat_map(|redirects| &redirects.from);
        let hosts: BTreeSet<&String> = served.chain(leading).collect();
        for host in hosts {
            match label(host, &login.domain) {
                Label::One => {}
                Label::Deeper => {
                    refused.push(format!(
                        "{service} is not served as {host}: the login reaches one label below its domain"
                    ));
                    continue;
                }
                Label::None => continue,
            }
            let access = match apps.remove(host) {
                Some((other, _)) => both(other.access, access.clone()),
                None => access.clone(),
            };
            apps.insert(host.clone(), (App { access, siblings: false }, service));
        }
    }
    let checked = apps.into_iter().filter_map(|(host, (app, service))| {
        let Err(error) = login.check_app(&host, &app) else { return Some((host, app)) };
        refused.push(format!("{service} admits nobody: {error}"));
        let closed = App { access: nobody(), siblings: false };
        // What is wrong with the host itself is so with any list.
        login.check_app(&host, &closed).is_ok().then_some((host, closed))
    });
    let checked: BTreeMap<String, App> = checked.collect();
    refused.dedup();
    checked
}

fn access(admission: &Admission) -> Result<Access, futuswarm_sso::Error> {
    if admission.open {
        return Ok(Access::Open);
    }
    let Some(only) = &admission.only else { return Ok(Access::Everybody) };
    Ok(Access::Only(only.iter().map(entry).collect::<Result<_, _>>()?))
}

fn nobody() -> Access {
    Access::Only(BTreeSet::new())
}

/// What both allow.
fn both(one: Access, other: Access) -> Access {
    match (one, other) {
        (Access::Open, rest) | (rest, Access::Open) => rest,
        (Access::Everybody, rest) | (rest, Access::Everybody) => rest,
        (Access::Only(one), Access::Only(other)) => Access::Only(one.intersection(&other).cloned().collect()),
    }
}

/// How far a host is below a domain.
#[derive(PartialEq, Eq)]
enum Label {
    One,
    /// Further, or all names of some place.
    Deeper,
    /// Not at all.
    None,
}

fn label(host: &str, domain: &str) -> Label {
    let label = host.strip_suffix(domain).and_then(|label| label.strip_suffix('.'));
    match label {
        None | Some("") => Label::None,
        Some(label) if label.contains(['.', '*']) => Label::Deeper,
        Some(_) => Label::One,
    }
}

#[cfg(test)]
pub(in crate::login) mod tests;
