//! Two apps that share a network: how that is called, and whose it is. Pure.

use std::collections::HashMap;

use futuswarm_model::{AppRecord, app_name};
use sha2::{Digest as _, Sha256};

/// What names of such networks begin with. Names of apps' own networks do not.
pub(crate) const PREFIX: &str = "link-";
/// Label of such a network: both apps, each with `created_at` of its record, in the order of their names.
pub(crate) const LABEL: &str = "futuswarm.link";
/// So many bytes of the digest are in the name: two pairs with the same are not found, whatever names somebody takes.
const DIGEST: usize = 16;

/// An app in one of its lives: what is made after it is removed is another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Life {
    pub(crate) app: String,
    /// As in its record.
    pub(crate) created_at: u64,
}

impl Life {
    fn of(record: &AppRecord) -> Self {
        Self { app: record.name.clone(), created_at: record.created_at }
    }

    fn parse(text: &str) -> Option<Self> {
        let (app, created_at) = text.split_once('/')?;
        Some(Self { app: app_name(app).ok()?.to_owned(), created_at: created_at.parse().ok()? })
    }
}

/// Two apps, the first of which has the smaller name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pair(pub(crate) Life, pub(crate) Life);

impl Pair {
    pub(crate) fn of(one: &AppRecord, other: &AppRecord) -> Self {
        let (one, other) = (Life::of(one), Life::of(other));
        if one <= other { Self(one, other) } else { Self(other, one) }
    }

    /// Of a network with this name and these labels; `None` for one that is none of ours, whatever it is called.
    pub(crate) fn of_network(name: &str, labels: &HashMap<String, String>) -> Option<Self> {
        let (one, other) = labels.get(LABEL)?.split_once(' ')?;
        let pair = Self(Life::parse(one)?, Life::parse(other)?);
        (pair.network() == name).then_some(pair)
    }

    /// Whether it is of these two names, in whatever lives.
    pub(crate) fn is_of(&self, app: &str, other: &str) -> bool {
        let Self(one, two) = self;
        (one.app == app && two.app == other) || (one.app == other && two.app == app)
    }

    /// What [`Pair::of_network`] reads. No name of an app has a slash or a space, so that it can be read in one way only.
    pub(crate) fn label(&self) -> String {
        let Self(one, other) = self;
        format!("{}/{} {}/{}", one.app, one.created_at, other.app, other.created_at)
    }

    /// Name of the network. Swarm's names end at 63 characters, and two names of apps may have 80. It is another one for another life
    /// of an app, so that none comes onto a network on which somebody of an earlier life may still be.
    pub(crate) fn network(&self) -> String {
        let digest = Sha256::digest(self.label());
        let digest: String = digest.iter().take(DIGEST).map(|byte| format!("{byte:02x}")).collect();
        format!("{PREFIX}{digest}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn pair(one: (&str, u64), other: (&str, u64)) -> Pair {
        let record = |(name, created_at): (&str, u64)| {
            let text = format!(
                r#"{{"name":"{name}","created_by":"jane","created_at":{created_at},"access":{{"jane":"owner"}}}}"#
            );
            serde_json::from_str::<AppRecord>(&text).unwrap()
        };
        Pair::of(&record(one), &record(other))
    }

    #[test]
    fn a_name_fits_swarm_and_is_of_one_pair_in_one_life() {
        let (long, longer) = ("a".repeat(40), format!("{}b", "a".repeat(39)));
        let pairs = [
            pair(("hello", 1), ("shop", 2)),
            pair(("hello", 1), ("shop", 3)),
            pair(("hello", 4), ("shop", 2)),
            pair(("hello", 2), ("shop", 1)),
            // Joined with a dash, or without the lives, these would be one.
            pair(("a-b", 1), ("c", 1)),
            pair(("a", 1), ("b-c", 1)),
            pair(("a1", 1), ("b", 1)),
            pair(("a", 11), ("b", 1)),
            pair((&long, u64::MAX), (&longer, u64::MAX)),
        ];
        let names: BTreeSet<String> = pairs.iter().map(Pair::network).collect();
        assert_eq!(names.len(), pairs.len());
        for name in names {
            // What swarmkit accepts as a name (`validateAnnotations`).
            assert!(name.len() <= 63 && name.ends_with(|c: char| c.is_ascii_alphanumeric()), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
            assert!(!name.starts_with("app-") && name.starts_with(PREFIX));
        }
        assert_eq!(pair(("shop", 2), ("hello", 1)), pair(("hello", 1), ("shop", 2)), "whoever is named first");
    }

    #[test]
    fn a_network_tells_its_pair_and_one_of_somebody_else_does_not() {
        let pair = pair(("shop", 2), ("hello", 1));
        let told =
            |name: &str, label: &str| Pair::of_network(name, &HashMap::from([(LABEL.to_owned(), label.to_owned())]));
        let name = pair.network();
        assert_eq!(pair.label(), "hello/1 shop/2");
        assert_eq!(told(&name, &pair.label()), Some(pair));
        for (name, label) in [
            ("link-1", "hello/1 shop/2"),
            (name.as_str(), "hello/1 shop/3"),
            (name.as_str(), "shop/2 hello/1"),
            (name.as_str(), "hello/1"),
            (name.as_str(), "Hello/1 shop/2"),
            (name.as_str(), "hello/x shop/2"),
            (name.as_str(), ""),
        ] {
            assert_eq!(told(name, label), None, "{name} {label:?}");
        }
        assert_eq!(Pair::of_network(&name, &HashMap::new()), None);
    }
}
