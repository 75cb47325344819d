//! Labels that are not Docker Flow Proxy's: what it has no parameter for. They work in the same way, with numbers and without, and
//! `docs/routing.md` shows their table to people, too.

use std::collections::HashMap;

use super::table;
use super::values::{LabelError, Labels};
use super::{LONGEST, NUMBERS};
use crate::rules::Maintenance;

pub(super) const PREFIX: &str = "com.futuswarm.";
/// Characters of what people are told of an app in maintenance.
const LONGEST_TEXT: usize = 200;

/// Behind the prefix; each may have the number of a destination behind it.
pub(super) const NAMES: [&str; 2] = ["maintenance", "maintenanceText"];

/// Checks what can be checked of each of them by itself, for a service with so many numbered destinations.
pub(super) fn check_each(labels: &HashMap<String, String>, destinations: u8) -> Result<(), LabelError> {
    let mut names: Vec<(&String, &str)> =
        labels.keys().filter_map(|label| Some((label, label.strip_prefix(PREFIX)?))).collect();
    names.sort();
    for (label, name) in names {
        let text = labels[label].trim();
        let (name, number) = table::divided(name).unwrap_or((name, 0));
        if !NAMES.contains(&name) {
            let like = NAMES.iter().find(|known| known.eq_ignore_ascii_case(name));
            let reason = like.map_or_else(
                || "the edge does not know it, so the service is not served; remove it".to_owned(),
                |like| format!("it is written {PREFIX}{like}"),
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
