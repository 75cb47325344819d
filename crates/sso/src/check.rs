//! What may stand in Apache's configuration and maps. Everything that comes from outside passes here.
//!
//! What is public is for whoever takes single values from people before there is a whole [`Login`]: none that passes is refused later.

use std::str::FromStr;
use std::time::Duration;

use futuswarm_model::LONGEST_SESSION;
use ipnet::IpNet;

use crate::Error;
use crate::access::{Access, App, Entry};
use crate::login::{Login, Provider, Sessions};

/// A host name has no more (RFC 1035).
const HOST_BYTES: usize = 253;
/// Longer than any endpoint of a provider that was seen.
const URL_BYTES: usize = 1024;
/// An e-mail address has no more (RFC 5321), and Apache's own rule for users says the same.
const USER_BYTES: usize = 254;
/// Names of LDAP have up to this, encoded they fit into a line of a map.
const GROUP_BYTES: usize = 256;
/// A sentence.
const CONTACT_BYTES: usize = 200;
/// Client ids, scopes, claims, paths.
const WORD_BYTES: usize = 256;
/// Below this people would be sent to the provider all the time.
const SHORTEST_SESSION: Duration = Duration::from_secs(60);

/// Everything but the maps, which are checked where they are made.
pub(crate) fn login(login: &Login) -> Result<(), Error> {
    host(&login.domain)?;
    if !login.domain.contains('.') {
        return Err(Error::Host { host: login.domain.clone(), reason: "has one label; a domain has two or more" });
    }
    provider(&login.provider)?;
    client_id(&login.client_id)?;
    login.scopes.iter().try_for_each(|one| scope(one))?;
    [Some(&login.claims.user), login.claims.groups.as_ref()].into_iter().flatten().try_for_each(|one| claim(one))?;
    sessions(&login.sessions)?;
    if login.balancers.is_empty() {
        return Err(Error::Balancers {
            reason: "there are none, so that every visitor would have the load balancer's address",
        });
    }
    if login.balancers.iter().any(is_too_wide) {
        return Err(Error::Balancers {
            reason: "half the world is no subnet (/8 is the widest, /32 of IPv6): visitors would choose their address",
        });
    }
    contact(&login.contact)?;
    let places = &login.places;
    for (what, path) in [
        ("the folder of the configuration", Some(&places.config_dir)),
        ("the file of the secrets", Some(&places.secrets_file)),
        ("the folder for running", Some(&places.run_dir)),
        ("the socket of HAProxy", Some(&places.upstream)),
        ("the file of the authorities", places.authorities.as_ref()),
    ] {
        let Some(path) = path else { continue };
        word(what, path, "/._-")?;
        if !path.starts_with('/') {
            return Err(Error::Word { what, value: path.clone(), reason: "is no absolute path" });
        }
    }
    Ok(())
}

/// What the provider calls us.
///
/// # Errors
/// When it is none.
pub fn client_id(id: &str) -> Result<(), Error> {
    word("the client id", id, "._~:/@+=|-")
}

/// What is asked for beside `openid`.
///
/// # Errors
/// When it is no scope, or asks for refresh tokens.
pub fn scope(scope: &str) -> Result<(), Error> {
    word("a scope", scope, "._:/-")?;
    if scope == "offline_access" {
        let reason =
            "asks for a refresh token: sessions have none, since it would be lost when two edges use it at once";
        return Err(Error::Word { what: "a scope", value: scope.to_owned(), reason });
    }
    Ok(())
}

/// What names users or groups.
///
/// # Errors
/// When it is no name of a claim at the top of an ID token.
pub fn claim(claim: &str) -> Result<(), Error> {
    // Apache reads more than a name in a claim with a dot or a colon.
    word("a claim", claim, "_")
}

/// Whom to ask, in a few words.
///
/// # Errors
/// When it is empty, no single line, or too long.
pub fn contact(contact: &str) -> Result<(), Error> {
    printable("the contact", contact, CONTACT_BYTES)
}

/// The provider's own URL.
///
/// # Errors
/// When it is none, is not reached over TLS, or has a query.
pub fn issuer(issuer: &str) -> Result<(), Error> {
    url("the issuer", issuer)?;
    if issuer.contains('?') {
        let reason = "has a query, which an issuer has not";
        return Err(Error::Url { what: "the issuer", url: issuer.to_owned(), reason });
    }
    Ok(())
}

/// Wider than what anybody has for load balancers.
fn is_too_wide(net: &IpNet) -> bool {
    match net {
        IpNet::V4(net) => net.prefix_len() < 8,
        IpNet::V6(net) => net.prefix_len() < 32,
    }
}

/// An app of this login. For whoever stores apps, too: one that does not pass would keep all others from being rendered.
pub(crate) fn app(login: &Login, name: &str, app: &App) -> Result<(), Error> {
    host(name)?;
    let label = name.strip_suffix(login.domain.as_str()).and_then(|label| label.strip_suffix('.'));
    // The bare domain is no app's either: the provider's answers pass there, and its scripts would read their codes.
    if label.is_none_or(|label| label.is_empty() || label.contains('.')) {
        return Err(Error::NotBelow { host: name.to_owned(), domain: login.domain.clone() });
    }
    match &app.access {
        Access::Only(entries) => entries.iter().try_for_each(|one| listed(login, name, one)),
        Access::Everybody | Access::Open => Ok(()),
    }
}

/// An entry of somebody's list.
pub(crate) fn listed(login: &Login, whose: &str, one: &Entry) -> Result<(), Error> {
    entry(one)?;
    match one {
        Entry::Group(_) if login.claims.groups.is_none() => {
            Err(Error::NoGroups { whose: whose.to_owned(), entry: one.to_string() })
        }
        _ => Ok(()),
    }
}

impl FromStr for Entry {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let read = match text.split_once(':') {
            Some(("user", name)) => Self::User(name.to_owned()),
            Some(("group", name)) => Self::Group(name.to_owned()),
            _ => {
                return Err(Error::Entry {
                    entry: text.chars().take(80).collect(),
                    reason: "is neither user:… nor group:…",
                });
            }
        };
        entry(&read)?;
        Ok(read)
    }
}

fn entry(entry: &Entry) -> Result<(), Error> {
    let wrong = |reason| Err(Error::Entry { entry: entry.to_string(), reason });
    match entry {
        Entry::User(name) => {
            printable("the name of a user", name, USER_BYTES)?;
            // What the configuration takes for a user: others cannot sign in, so that to list them would promise something.
            if !name.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>".contains(&byte)) {
                return wrong("has a character that names of users do not have");
            }
            if name == "-" {
                return wrong("stands for nobody");
            }
        }
        Entry::Group(name) => {
            printable("the name of a group", name, GROUP_BYTES)?;
            if name.trim() != name {
                return wrong("begins or ends with a space");
            }
        }
    }
    let (Entry::User(name) | Entry::Group(name)) = entry;
    if name.starts_with('~') {
        return wrong("begins with ~, behind which Apache reads a regular expression");
    }
    Ok(())
}

impl Provider {
    /// Whether [`crate::render`] would accept this provider; for whoever stores it.
    ///
    /// # Errors
    /// As of [`crate::render`].
    pub fn check(&self) -> Result<(), Error> {
        provider(self)
    }
}

fn provider(provider: &Provider) -> Result<(), Error> {
    issuer(&provider.issuer)?;
    for (what, one) in [
        ("the authorization endpoint", Some(&provider.authorization)),
        ("the token endpoint", Some(&provider.token)),
        ("the URL of the keys", Some(&provider.jwks)),
        ("the userinfo endpoint", provider.userinfo.as_ref()),
        ("the end-session endpoint", provider.end_session.as_ref()),
    ] {
        let Some(one) = one else { continue };
        url(what, one)?;
    }
    Ok(())
}

/// The host of a URL that has passed [`url`], with its port.
pub(crate) fn authority(url: &str) -> &str {
    let rest = url.strip_prefix("https://").unwrap_or(url);
    rest.split(['/', '?']).next().unwrap_or_default()
}

fn url(what: &'static str, url: &str) -> Result<(), Error> {
    printable(what, url, URL_BYTES)?;
    if !url.starts_with("https://") {
        return Err(Error::NotHttps { what, url: url.to_owned() });
    }
    let wrong = |reason| Err(Error::Url { what, url: url.to_owned(), reason });
    if !url.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/?&=%+,;!*@".contains(&byte)) {
        return wrong("has a character that stands for something else in a configuration, or in no URL");
    }
    let authority = authority(url);
    let (name, port) = authority.split_once(':').map_or((authority, None), |(name, port)| (name, Some(port)));
    if host(name).is_err() {
        return wrong("has no host name in small letters");
    }
    if port.is_some_and(|port| !port.bytes().all(|byte| byte.is_ascii_digit()) || port.parse::<u16>().is_err()) {
        return wrong("has a port that is none");
    }
    Ok(())
}

fn host(host: &str) -> Result<(), Error> {
    let wrong = |reason| Err(Error::Host { host: host.chars().take(HOST_BYTES).collect(), reason });
    if host.len() > HOST_BYTES {
        return wrong("has more than 253 characters");
    }
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return wrong("has capital letters; hosts are compared in small ones");
    }
    if host.ends_with('.') {
        return wrong("ends with a dot");
    }
    for label in host.split('.') {
        let letters = label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if label.is_empty() || label.len() > 63 || !letters || label.starts_with('-') || label.ends_with('-') {
            return wrong("is no host name: labels have 1 to 63 of a-z, 0-9 and -, and no - at an end");
        }
    }
    Ok(())
}

/// How long sessions last.
///
/// # Errors
/// When they outlast a working day, end before they begin, or last for less than a minute or a part of a second.
pub fn sessions(sessions: &Sessions) -> Result<(), Error> {
    let (inactivity, longest) = (sessions.inactivity, sessions.longest);
    let reason = if longest > LONGEST_SESSION {
        "nobody's session is longer than 8 hours"
    } else if inactivity > longest {
        "the first has to be the longer one"
    } else if inactivity < SHORTEST_SESSION {
        "a minute is the least"
    } else if inactivity.subsec_nanos() > 0 || longest.subsec_nanos() > 0 {
        "whole seconds are needed"
    } else {
        return Ok(());
    };
    Err(Error::Sessions { longest: longest.as_secs(), inactivity: inactivity.as_secs(), reason })
}

/// Not empty, not too long, and in one line.
fn printable(what: &str, text: &str, longest: usize) -> Result<(), Error> {
    if text.len() > longest {
        return Err(Error::TooLong { what: what.to_owned(), bytes: text.len(), longest });
    }
    if text.is_empty() {
        return Err(Error::Empty { what: what.to_owned() });
    }
    // What looks like a space or turns the direction of writing is no control character to Unicode, and harms no configuration.
    if text.chars().any(char::is_control) {
        let shown = text.escape_debug().take(60).collect();
        return Err(Error::Control { what: what.to_owned(), shown });
    }
    Ok(())
}

/// ASCII letters, digits, and these.
fn word(what: &'static str, word: &str, more: &str) -> Result<(), Error> {
    printable(what, word, WORD_BYTES)?;
    if word.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c)) {
        return Ok(());
    }
    Err(Error::Word { what, value: word.to_owned(), reason: "has a character that does not belong there" })
}
