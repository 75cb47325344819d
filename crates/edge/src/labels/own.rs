//! Labels that are not Docker Flow Proxy's: what it has no parameter for. They work in the same way, with numbers and without, and
//! `docs/routing.md` shows their table to people, too.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use super::table;
use super::values::{LabelError, Labels, Value};
use super::{LONGEST, NUMBERS, OUR_PREFIX};
use crate::rules::{Limits, Maintenance};

/// Characters of what people are told of an app in maintenance.
const LONGEST_TEXT: usize = 200;

/// Behind the prefix; each may have the number of a destination behind it.
pub(super) const NAMES: [&str; 6] =
    ["maintenance", "maintenanceText", "connections", "requestRate", "bodySize", "timeoutConnect"];
/// An edge takes 4,000 from everybody; no service may have all of them.
const MOST_CONNECTIONS: u32 = 3000;
const MOST_REQUESTS: u32 = 100_000;
const BODY: RangeInclusive<u64> = 1 << 10..=100 << 30;
/// Seconds. Tasks are a few milliseconds away.
const MOST_CONNECT: u32 = 60;

/// Checks what can be checked of each of them by itself, for a service with so many numbered destinations.
pub(super) fn check_each(labels: &HashMap<String, String>, destinations: u8) -> Result<(), LabelError> {
    let mut names: Vec<(&String, &str)> =
        labels.keys().filter_map(|label| Some((label, label.strip_prefix(OUR_PREFIX)?))).collect();
    names.sort();
    for (label, name) in names {
        let text = labels[label].trim();
        let (name, number) = table::divided(name).unwrap_or((name, 0));
        if !NAMES.contains(&name) {
            let like = NAMES.iter().find(|known| known.eq_ignore_ascii_case(name));
            let reason = like.map_or_else(
                || "the edge does not know it, so the service is not served; remove it".to_owned(),
                |like| format!("it is written {OUR_PREFIX}{like}"),
            );
            return Err(LabelError::refused(label, reason));
        }
        if text.is_empty() {
            continue;
        }
        if text.len() > LONGEST {
            return Err(LabelError::wrong(label, text, format!("it is longer than {LONGEST} bytes")));
        }
        if text.chars().any(char::is_control) {
            return Err(LabelError::wrong(label, text, "it has line breaks or other control characters in it"));
        }
        if number > destinations {
            return Err(LabelError::refused(label, NUMBERS));
        }
    }
    Ok(())
}

pub(super) fn maintenance(labels: &Labels) -> Result<Option<Maintenance>, LabelError> {
    let text = labels.ours("maintenanceText");
    if let Some(value) = &text
        && (value.text.chars().count() > LONGEST_TEXT || value.text.contains(['<', '>', '&', '"', '\\']))
    {
        return Err(value.wrong(format!("it has at most {LONGEST_TEXT} characters, and none of < > & \" \\")));
    }
    let is_on = labels.ours("maintenance").map_or(Ok(false), |value| value.switch())?;
    Ok(is_on.then(|| Maintenance { text: text.map(|value| value.text.to_owned()) }))
}

pub(super) fn limits(labels: &Labels) -> Result<Limits, LabelError> {
    Ok(Limits {
        connections: number(labels, "connections", MOST_CONNECTIONS, "requests at the same time")?,
        request_rate: number(labels, "requestRate", MOST_REQUESTS, "requests in ten seconds")?,
        body_size: labels.ours("bodySize").map(|value| bytes(&value)).transpose()?,
    })
}

pub(super) fn timeout_connect(labels: &Labels) -> Result<Option<u32>, LabelError> {
    number(labels, "timeoutConnect", MOST_CONNECT, "seconds")
}

fn number(labels: &Labels, name: &str, most: u32, of: &str) -> Result<Option<u32>, LabelError> {
    let reason = format!("it is a number of {of}, 1 to {most}");
    labels.ours(name).map(|value| value.number(1..=most, &reason)).transpose()
}

fn bytes(value: &Value) -> Result<u64, LabelError> {
    let digits = value.text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = value.text.split_at(digits);
    let factor = match unit.trim_start() {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => 0,
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    bytes
        .filter(|bytes| BODY.contains(bytes))
        .ok_or_else(|| value.wrong("it is a size as in 512 KiB, 10 MiB or 1 GiB, from 1 KiB to 100 GiB"))
}
