//! Fields of a resource as they should be and as they are, and the differences between them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// Stands for an id that only exists once something has been made.
pub const UNKNOWN: &str = "(known after apply)";

/// Which property a field is.
pub trait Key: Clone + Ord + Send + Sync + 'static {
    /// In JSON, which is an interface.
    fn name(&self) -> Cow<'static, str>;
    /// For people.
    fn label(&self) -> Cow<'static, str>;
    /// The key of a tag of this name.
    fn of_tag(name: &str) -> Self;
    /// Whether it is that of a tag. By their tags resources are known as ours.
    fn is_tag(&self) -> bool;
}

/// The properties of a resource that are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields<K: Key>(BTreeMap<K, String>);

impl<K: Key> Default for Fields<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Key> Fields<K> {
    /// No fields yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more field.
    #[must_use]
    pub fn with(mut self, key: K, value: impl fmt::Display) -> Self {
        self.0.insert(key, value.to_string());
        self
    }

    /// With one more field, if there is a value.
    #[must_use]
    pub fn with_some(self, key: K, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(key, value),
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
                self.0.insert(K::of_tag(key), value.to_owned());
            }
        }
        self
    }

    /// With all of `ours`, each under its own key.
    #[must_use]
    pub fn with_desired_tags(self, ours: &[(String, String)]) -> Self {
        self.with_tags(ours.iter().map(|(key, value)| (key.as_str(), value.as_str())), ours)
    }

    /// The value of a field.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// What must change so that `observed` becomes `self`.
    #[must_use]
    pub fn differences(&self, observed: &Self) -> Differences<K> {
        let by_name = |one: &(K, Difference), other: &(K, Difference)| one.1.field.cmp(&other.1.field);
        let desired = self.0.iter().filter(|(key, to)| observed.0.get(key) != Some(to));
        let mut all: Vec<_> =
            desired.map(|(key, to)| (key.clone(), Difference::of(key, observed.0.get(key), Some(to)))).collect();
        all.sort_by(by_name);
        let extra = observed.0.iter().filter(|(key, _)| !self.0.contains_key(key));
        let mut extra: Vec<_> = extra.map(|(key, from)| (key.clone(), Difference::of(key, Some(from), None))).collect();
        extra.sort_by(by_name);
        all.extend(extra);
        Differences(all)
    }
}

/// One property that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// [`Key::name`].
    pub field: String,
    /// [`Key::label`].
    #[serde(skip)]
    pub label: String,
    /// Absent when there is nothing.
    pub from: Option<String>,
    /// Absent when there should be nothing.
    pub to: Option<String>,
}

impl Difference {
    fn of<K: Key>(key: &K, from: Option<&String>, to: Option<&String>) -> Self {
        Self { field: key.name().into_owned(), label: key.label().into_owned(), from: from.cloned(), to: to.cloned() }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = &self.label;
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(formatter, "{label}: {from} → {to}"),
            (None, Some(to)) => write!(formatter, "{label}: {to} is missing"),
            (Some(from), None) => write!(formatter, "{label}: {from} will be removed"),
            (None, None) => formatter.write_str(label),
        }
    }
}

/// What differs in one resource, with the questions that its update asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differences<K: Key>(Vec<(K, Difference)>);

impl<K: Key> Differences<K> {
    /// Whether everything is as it should be.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of these fields differs.
    #[must_use]
    pub fn any(&self, keys: &[K]) -> bool {
        self.any_of(|key| keys.contains(key))
    }

    /// Whether a field differs of which this is true.
    #[must_use]
    pub fn any_of(&self, is: impl Fn(&K) -> bool) -> bool {
        self.keys().any(is)
    }

    /// Whether a tag differs.
    #[must_use]
    pub fn tags(&self) -> bool {
        self.any_of(K::is_tag)
    }

    /// The fields that differ.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    /// The first of these fields that differs from something that is known.
    pub(crate) fn known_among(&self, keys: &[K]) -> Option<&Difference> {
        let mut known = self.0.iter().filter(|(_, difference)| difference.to.as_deref() != Some(UNKNOWN));
        known.find(|(key, _)| keys.contains(key)).map(|(_, difference)| difference)
    }

    /// As a plan shows them.
    #[must_use]
    pub fn for_people(&self) -> Vec<Difference> {
        self.0.iter().map(|(_, difference)| difference.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Property;

    #[test]
    fn fields_are_compared_both_ways_and_tags_of_others_stay() {
        let ours = [("team".to_owned(), "a".to_owned()), ("Name".to_owned(), "vpc".to_owned())];
        let rule = |port| Property::Rule(port);
        let desired = Fields::new().with(Property::Size, 2).with(rule(22), "open").with_desired_tags(&ours);
        let observed = Fields::new()
            .with(Property::Size, 1)
            .with(rule(80), "open")
            .with_tags([("team", "b"), ("Name", "vpc"), ("theirs", "x")], &ours);
        assert_eq!((desired.get(&Property::Size), desired.get(&rule(80))), (Some("2"), None));
        let differences = desired.differences(&observed);
        let texts: Vec<String> = differences.for_people().iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            ["rule 22: open is missing", "Size: 1 → 2", "tag team: b → a", "rule 80: open will be removed"]
        );
        assert!(desired.differences(&desired).is_empty());
        assert!(differences.tags() && differences.any(&[Property::Size]) && !differences.any(&[Property::Other]));
        assert!(differences.any_of(|key| matches!(key, Property::Rule(80))));
        assert_eq!(differences.keys().count(), 4);
    }

    #[test]
    fn json_has_the_name_and_people_read_the_label() {
        let desired = Fields::new().with(Property::Size, 2);
        let difference = desired.differences(&Fields::new()).for_people().remove(0);
        assert_eq!((difference.field.as_str(), difference.label.as_str()), ("size", "Size"));
        assert_eq!(difference.to_string(), "Size: 2 is missing");
    }

    #[test]
    fn an_id_that_is_not_known_yet_is_no_known_difference() {
        let desired = Fields::new().with(Property::Size, 2).with(Property::Other, UNKNOWN);
        let differences = desired.differences(&Fields::new().with(Property::Other, "id-1"));
        assert!(differences.known_among(&[Property::Other]).is_none());
        assert_eq!(differences.known_among(&[Property::Other, Property::Size]).unwrap().field, "size");
    }
}
