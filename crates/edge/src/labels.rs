//! What a service asks of the edge by its `com.df.*` labels (those of Docker Flow Proxy, so that existing services move over), and by
//! `com.futuswarm.*` labels for what those have no name for.
//!
//! Labels are written by whoever may create a service, and what is made of them becomes part of HAProxy's configuration:
//! everything is checked here, character by character. A label that would have to change how the service is served, and that is
//! not honoured, is refused by its name: `com.df.users` that is ignored would leave a service open that asks for a password.

mod headers;
mod own;
mod places;
mod rewrites;
mod rules;
mod table;
mod values;

use std::collections::{BTreeSet, HashMap};

use crate::rules::Rules;
pub(crate) use places::{WILDCARD, upwards};
use table::Verdict;
pub use values::LabelError;
use values::{Labels, Value};

const PREFIX: &str = "com.df.";
/// Of labels that are not Docker Flow Proxy's.
const OUR_PREFIX: &str = "com.futuswarm.";
/// Destinations of one service, as many as there.
const MOST_DESTINATIONS: u8 = 10;
/// Bytes of one label's value. A thousand paths fit.
const LONGEST: usize = 16 << 10;
/// Hosts and paths of one service: each is a line of the map that every edge has in memory.
const MOST_PLACES: usize = 2000;
const NUMBERS: &str = "destinations are numbered from 1 to 10 without a gap, and each has com.df.port, com.df.servicePath or com.df.serviceDomain with its number";

/// What a service asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// At least one; no two have a host and path in common.
    pub destinations: Vec<Destination>,
}

/// A port of a service, and which requests it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// From 1 as in `com.df.port.1`; 0 is the only one of a service that numbers none.
    pub number: u8,
    /// Host names, lower case, at least one, as they were asked for; `*.` before one is every name one label below it.
    pub hosts: Vec<String>,
    /// Path prefixes without a slash at the end, at least one, sorted; `/` is everything.
    pub paths: Vec<String>,
    /// Path prefixes below those that it does not want, sorted.
    pub excluded: Vec<String>,
    /// Host names that only lead to the first exact one of its own.
    pub redirected: Vec<String>,
    /// The port that its tasks listen on.
    pub port: u16,
    /// What is done with its requests.
    pub rules: Rules,
}

/// Whether the edge would serve a service with these labels, as far as labels tell: others may have its hosts.
///
/// # Errors
/// When a label is missing, cannot be used or is not honoured.
pub fn check(labels: &HashMap<String, String>) -> Result<(), LabelError> {
    request(labels).map(drop)
}

/// What a service's labels ask for; `None` when they ask for nothing (`com.df.notify` is absent or `false`).
///
/// # Errors
/// When a label is missing, cannot be used or is not honoured.
pub fn request(labels: &HashMap<String, String>) -> Result<Option<Request>, LabelError> {
    let service = Labels::new(labels, 0);
    if !service.switch("notify")? {
        return Ok(None);
    }
    let numbered = check_each(labels)?;
    own::check_each(labels, numbered)?;
    let destinations = match numbered {
        0 => vec![destination(&service)?],
        count => (1..=count).map(|number| destination(&Labels::new(labels, number))).collect::<Result<_, _>>()?,
    };
    check_places(labels, &destinations)?;
    Ok(Some(Request { destinations }))
}

/// Checks what can be checked of each label by itself. Returns how many destinations are numbered.
fn check_each(labels: &HashMap<String, String>) -> Result<u8, LabelError> {
    let mut names: Vec<(&String, &str)> =
        labels.keys().filter_map(|label| Some((label, label.strip_prefix(PREFIX)?))).collect();
    names.sort();
    // The numbers of destinations, and the last label that is about one of them.
    let mut made: BTreeSet<u8> = BTreeSet::new();
    let mut about: Option<(&String, u8)> = None;
    for (label, name) in names {
        let text = labels[label].trim();
        let Some((row, number)) = table::find(name) else {
            let reason = table::like(name).map_or_else(
                || "the edge does not know it, so the service is not served; remove it".to_owned(),
                |like| format!("it is written {PREFIX}{like}"),
            );
            return Err(LabelError::refused(label, reason));
        };
        if number > 0 && !row.numbered {
            return Err(LabelError::refused(label, "it is about the whole service, and has no form with a number"));
        }
        if number > MOST_DESTINATIONS {
            return Err(LabelError::refused(label, NUMBERS));
        }
        // Nothing is made of the others: an alert's condition may well have several lines.
        let is_read = row.verdict != Verdict::Neutral;
        if is_read && text.len() > LONGEST {
            return Err(LabelError::wrong(label, text, format!("it is longer than {LONGEST} bytes")));
        }
        if is_read && text.chars().any(char::is_control) {
            return Err(LabelError::wrong(label, text, "it has line breaks or other control characters in it"));
        }
        if text.is_empty() {
            continue;
        }
        let off = || Value { label: label.clone(), text }.switch() == Ok(false);
        match row.verdict {
            Verdict::Refused => return Err(LabelError::refused(label, row.says)),
            Verdict::RefusedUnlessOff if !off() => return Err(LabelError::refused(label, row.says)),
            _ => {}
        }
        if number > 0 && ["port", "servicePath", "serviceDomain"].contains(&row.name) {
            made.insert(number);
        }
        if number > about.map_or(0, |(_, most)| most) {
            about = Some((label, number));
        }
    }
    let count = (1..=MOST_DESTINATIONS).take_while(|number| made.contains(number)).last().unwrap_or(0);
    match about {
        Some((label, number)) if number > count => Err(LabelError::refused(label, NUMBERS)),
        _ => Ok(count),
    }
}

fn destination(labels: &Labels) -> Result<Destination, LabelError> {
    const PORT: &str = "a port between 1 and 65535 is needed";
    let port = labels.get("port").ok_or_else(|| labels.missing("port", PORT))?;
    let port = u16::try_from(port.number(1..=65535, PORT)?).map_err(|_| port.wrong(PORT))?;
    let domain = labels.get("serviceDomain").ok_or_else(|| labels.missing("serviceDomain", places::NO_HOSTS))?;
    let mut hosts = places::hosts(&domain)?;
    if with_subdomains(labels)? {
        let below: Vec<String> = hosts.iter().map(|host| format!("{WILDCARD}{host}")).collect();
        hosts.extend(below.into_iter().filter(|host| !host[WILDCARD.len()..].starts_with(WILDCARD)));
        places::each_once(&mut hosts);
    }
    let paths = labels.get("servicePath").map_or_else(|| Ok(vec!["/".to_owned()]), |value| places::paths(&value))?;
    let mut excluded = Vec::new();
    if let Some(value) = labels.get("servicePathExclude") {
        excluded = places::paths(&value)?;
        let below =
            |path: &String| upwards(path).any(|above| paths.binary_search_by(|one| one.as_str().cmp(above)).is_ok());
        // What is said of all destinations need not be about each of them.
        if labels.number > 0 && labels.own("servicePathExclude").is_none() {
            excluded.retain(below);
        } else if let Some(stray) = excluded.iter().find(|path| !below(path)) {
            return Err(value.wrong(format!("{stray} lies below none of the paths of com.df.servicePath")));
        }
    }
    let mut redirected = Vec::new();
    let leads = if labels.number > 1 { labels.own("redirectFromDomain") } else { labels.get("redirectFromDomain") };
    if let Some(value) = leads {
        redirected = places::hosts(&value)?;
        if redirected.iter().any(|host| host.starts_with(WILDCARD)) {
            return Err(value.wrong("only exact names can lead to another one"));
        }
        if hosts.iter().all(|host| host.starts_with(WILDCARD)) {
            return Err(
                value.wrong("it leads to the first name of com.df.serviceDomain without a star, and there is none")
            );
        }
    }
    Ok(Destination { number: labels.number, hosts, paths, excluded, redirected, port, rules: rules::rules(labels)? })
}

/// Whether every host is meant with the names one label below it.
fn with_subdomains(labels: &Labels) -> Result<bool, LabelError> {
    let all = labels.switch("serviceDomainMatchAll")?;
    let Some(value) = labels.get("serviceDomainAlgo") else { return Ok(all) };
    match value.text {
        "hdr(host)" => Ok(all),
        "hdr_dom(host)" | "hdr_dom()" => Ok(true),
        _ => Err(value.wrong(
            "it is hdr(host) or hdr_dom(host); any other would take requests for names that others may have, so write the names out",
        )),
    }
}

/// Checks what a service's destinations have to agree on.
fn check_places(labels: &HashMap<String, String>, destinations: &[Destination]) -> Result<(), LabelError> {
    let wrong = |one: &Destination, name: &str, reason: String| {
        let labels = Labels::new(labels, one.number);
        labels.get(name).map_or_else(|| labels.missing(name, &reason), |value| value.wrong(reason.clone()))
    };
    let exact: BTreeSet<&str> = destinations.iter().flat_map(|one| &one.hosts).map(String::as_str).collect();
    let (mut places, mut count) = (BTreeSet::new(), 0);
    for one in destinations {
        for host in &one.hosts {
            if let Some(name) = host.strip_prefix(WILDCARD)
                && !exact.contains(name)
            {
                let reason = format!("{host} is served for who has {name} as well, so name that too");
                return Err(wrong(one, "serviceDomain", reason));
            }
        }
        count += one.hosts.len() * (one.paths.len() + one.excluded.len()) + one.redirected.len();
        if count > MOST_PLACES {
            let reason = format!("hosts times paths are more than {MOST_PLACES}; name fewer");
            return Err(wrong(one, "servicePath", reason));
        }
        let mut served =
            one.hosts.iter().flat_map(|host| one.paths.iter().map(move |path| (host.as_str(), path.as_str())));
        if let Some((host, path)) = served.find(|place| !places.insert(*place)) {
            let reason = format!("{host}{path} is asked for twice, and only one destination can have it");
            return Err(wrong(one, "servicePath", reason));
        }
        let mut leading = one.redirected.iter().map(String::as_str);
        if let Some(host) = leading.find(|host| exact.contains(host) || !places.insert((*host, "/"))) {
            let reason = format!("{host} is served, or leads elsewhere already");
            return Err(wrong(one, "redirectFromDomain", reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
