//! Fields of a resource as they should be and as they are, and the differences between them.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// Stands for an id that only exists once something has been made.
pub const UNKNOWN: &str = "(known after apply)";

/// The properties of a resource that are compared, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Fields(BTreeMap<String, String>);

impl Fields {
    /// No fields yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more field.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.0.insert(name.into(), value.to_string());
        self
    }

    /// With one more field, if there is a value.
    #[must_use]
    pub fn with_some(self, name: impl Into<String>, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// With these tags, each a field of its own. Of what was observed only `ours` count: tags of somebody else stay.
    #[must_use]
    pub fn with_tags<'a>(
        mut self,
        observed: impl IntoIterator<Item = (&'a str, &'a str)>,
        ours: &[(String, String)],
    ) -> Self {
        for (key, value) in observed {
            if ours.iter().any(|(name, _)| name == key) {
                self.0.insert(tag_field(key), value.to_owned());
            }
        }
        self
    }

    /// With the tags that are desired.
    #[must_use]
    pub fn with_desired_tags(self, ours: &[(String, String)]) -> Self {
        self.with_tags(ours.iter().map(|(key, value)| (key.as_str(), value.as_str())), ours)
    }

    /// All fields, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// What must change so that `observed` becomes `self`.
    #[must_use]
    pub fn differences(&self, observed: &Self) -> Vec<Difference> {
        let mut all = Vec::new();
        for (field, to) in &self.0 {
            let from = observed.0.get(field);
            if from != Some(to) {
                all.push(Difference { field: field.clone(), from: from.cloned(), to: Some(to.clone()) });
            }
        }
        for (field, from) in &observed.0 {
            if !self.0.contains_key(field) {
                all.push(Difference { field: field.clone(), from: Some(from.clone()), to: None });
            }
        }
        all
    }
}

/// The name of the field of a tag.
fn tag_field(key: &str) -> String {
    format!("tag {key}")
}

/// One property that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The property.
    pub field: String,
    /// Absent when there is nothing.
    pub from: Option<String>,
    /// Absent when there should be nothing.
    pub to: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(formatter, "{}: {from} → {to}", self.field),
            (None, Some(to)) => write!(formatter, "{}: {to} is missing", self.field),
            (Some(from), None) => write!(formatter, "{}: {from} is too much", self.field),
            (None, None) => formatter.write_str(&self.field),
        }
    }
}

/// The differences of one update, with the questions that resources ask of them.
#[derive(Debug, Clone, Copy)]
pub struct Changed<'a>(pub &'a [Difference]);

impl Changed<'_> {
    /// Whether one of these fields differs.
    #[must_use]
    pub fn any(&self, fields: &[&str]) -> bool {
        self.0.iter().any(|difference| fields.contains(&difference.field.as_str()))
    }

    /// Whether a field that begins so differs.
    #[must_use]
    pub fn any_with_prefix(&self, prefix: &str) -> bool {
        self.0.iter().any(|difference| difference.field.starts_with(prefix))
    }

    /// Whether a tag differs.
    #[must_use]
    pub fn tags(&self) -> bool {
        self.any_with_prefix("tag ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_compared_both_ways_and_tags_of_others_stay() {
        let ours = [("team".to_owned(), "a".to_owned()), ("Name".to_owned(), "vpc".to_owned())];
        let desired = Fields::new().with("size", 2).with("rule 22", "open").with_desired_tags(&ours);
        let observed = Fields::new()
            .with("size", 1)
            .with("rule 80", "open")
            .with_tags([("team", "b"), ("Name", "vpc"), ("theirs", "x")], &ours);
        let texts: Vec<String> = desired.differences(&observed).iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["rule 22: open is missing", "size: 1 → 2", "tag team: b → a", "rule 80: open is too much"]);
        assert!(desired.differences(&desired).is_empty());
        let differences = desired.differences(&observed);
        assert!(Changed(&differences).tags() && Changed(&differences).any(&["size"]));
        assert!(!Changed(&differences).any(&["other"]));
    }
}
