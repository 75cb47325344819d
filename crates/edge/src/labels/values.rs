//! The labels of one service: finding the one that counts for a destination, reading its value, saying what is wrong with it.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use super::{OUR_PREFIX, PREFIX};

/// Characters of a label that a message shows.
const SHOWN: usize = 100;

/// A label that cannot be used. The service is left out; the others are served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its label {} is {}: {reason}", shown(label), said(value.as_deref()))]
pub struct LabelError {
    /// With its prefix `com.df.` or `com.futuswarm.`.
    pub label: String,
    /// As it is on the service; `None` where it could be a password.
    pub value: Option<String>,
    /// What is wrong with it, and what would be right.
    pub reason: String,
}

impl LabelError {
    /// Without the value.
    pub(super) fn refused(label: &str, reason: impl Into<String>) -> Self {
        Self { label: label.to_owned(), value: None, reason: reason.into() }
    }

    pub(super) fn wrong(label: &str, value: &str, reason: impl Into<String>) -> Self {
        Self { label: label.to_owned(), value: Some(value.to_owned()), reason: reason.into() }
    }
}

/// Labels can be of any length and have any characters in them, and messages are one line.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

fn said(value: Option<&str>) -> String {
    value.map_or_else(|| "refused".to_owned(), |value| format!("\"{}\"", shown(value)))
}

/// The labels of a service as one of its destinations reads them.
#[derive(Clone, Copy)]
pub(super) struct Labels<'a> {
    all: &'a HashMap<String, String>,
    /// 0 is the only destination of a service that numbers none.
    pub(super) number: u8,
}

impl<'a> Labels<'a> {
    pub(super) fn new(all: &'a HashMap<String, String>, number: u8) -> Self {
        Self { all, number }
    }

    /// The label with the destination's own number, or the one without, which counts for every destination that says nothing of its own.
    /// One that says nothing is no label.
    pub(super) fn get(&self, name: &str) -> Option<Value<'a>> {
        self.own(name).or_else(|| self.named(format!("{PREFIX}{name}")))
    }

    /// As [`Self::get`], of the labels that are not Docker Flow Proxy's.
    pub(super) fn ours(&self, name: &str) -> Option<Value<'a>> {
        let numbered = || self.named(format!("{OUR_PREFIX}{name}.{}", self.number));
        let plain = || self.named(format!("{OUR_PREFIX}{name}"));
        (self.number > 0).then(numbered).flatten().or_else(plain)
    }

    /// Only the label with the destination's own number.
    pub(super) fn own(&self, name: &str) -> Option<Value<'a>> {
        (self.number > 0).then(|| self.named(format!("{PREFIX}{name}.{}", self.number)))?
    }

    fn named(&self, label: String) -> Option<Value<'a>> {
        let text = self.all.get(&label)?.trim();
        (!text.is_empty()).then_some(Value { label, text })
    }

    /// Whether a switch is on. It is off when it is absent.
    pub(super) fn switch(&self, name: &str) -> Result<bool, LabelError> {
        self.get(name).map_or(Ok(false), |value| value.switch())
    }

    /// What is wrong when a label is missing that is needed.
    pub(super) fn missing(&self, name: &str, reason: &str) -> LabelError {
        let number = if self.number > 0 { format!(".{}", self.number) } else { String::new() };
        LabelError::wrong(&format!("{PREFIX}{name}{number}"), "", reason)
    }
}

/// A label with something in it.
pub(super) struct Value<'a> {
    pub(super) label: String,
    /// Without spaces around it.
    pub(super) text: &'a str,
}

impl Value<'_> {
    pub(super) fn wrong(&self, reason: impl Into<String>) -> LabelError {
        LabelError::wrong(&self.label, self.text, reason)
    }

    pub(super) fn switch(&self) -> Result<bool, LabelError> {
        match self.text.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(self.wrong("it is `true` or `false`")),
        }
    }

    /// A whole number without a sign.
    pub(super) fn number(&self, within: RangeInclusive<u32>, reason: &str) -> Result<u32, LabelError> {
        let digits = self.text.bytes().all(|byte| byte.is_ascii_digit());
        let number = self.text.parse::<u32>().ok().filter(|number| digits && within.contains(number));
        number.ok_or_else(|| self.wrong(reason))
    }

    /// Each of its parts that commas divide.
    pub(super) fn list(&self) -> impl Iterator<Item = &str> {
        self.text.split(',').map(str::trim)
    }
}
