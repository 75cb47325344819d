//! What a person has confirmed: the changes that a plan has shown. Nothing else is made in that person's name.

use std::collections::BTreeSet;

use crate::{Action, Change, Difference, Report, UNKNOWN};

/// The changes that were shown and agreed to.
#[derive(Debug, Clone, Default)]
pub struct Confirmed(Vec<Change>);

impl Confirmed {
    /// What a report has shown.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        Self(report.changes.clone())
    }

    /// How a plan that was made now differs from the one that was shown: a line for each change and difference that is only
    /// in one of them. Nothing when they are the same, in whatever order.
    #[must_use]
    pub fn differences(&self, now: &Report) -> Vec<String> {
        let key = |change: &Change| (change.component.clone(), change.kind, change.name.clone());
        let keys: BTreeSet<_> = self.0.iter().chain(&now.changes).map(key).collect();
        let of = |changes: &[Change], key_of: &(String, &'static str, String)| {
            changes.iter().find(|change| key(change) == *key_of).cloned()
        };
        let mut lines = Vec::new();
        for one in &keys {
            match (of(&self.0, one), of(&now.changes, one)) {
                (Some(shown), Some(now)) if shown.action == now.action => lines.extend(beside(&shown, &now)),
                (shown, now) => {
                    lines.extend(shown.map(|shown| format!("{shown}: it was shown and is no longer to be done")));
                    lines.extend(now.map(|now| format!("{}: it was not shown", in_full(&now))));
                }
            }
        }
        lines
    }

    /// Whether a change that is about to be made is one that was shown. Ids that were not known then may be anything; what has
    /// turned out to be right already need not be changed.
    ///
    /// # Errors
    /// With what was not shown.
    pub(crate) fn check(&self, change: &Change) -> Result<(), String> {
        let same = |shown: &&Change| {
            (shown.action, shown.kind, &shown.name, &shown.component)
                == (change.action, change.kind, &change.name, &change.component)
        };
        let Some(shown) = self.0.iter().find(same) else { return Err(in_full(change)) };
        let new: Vec<String> = match change.action {
            Action::Delete => Vec::new(),
            Action::Update => change
                .differences
                .iter()
                .filter(|difference| !shown.differences.iter().any(|one| covers(one, difference)))
                .map(ToString::to_string)
                .collect(),
            // Everything about it follows from the spec; what follows from other resources is only known once they are made.
            Action::Create => change
                .differences
                .iter()
                .filter_map(|difference| {
                    let was = shown.differences.iter().find(|one| one.field == difference.field)?;
                    let (was, is) = (was.to.as_deref()?, difference.to.as_deref()?);
                    (!fits(was, is)).then(|| format!("{}: {was} was shown, and now it is {is}", difference.label))
                })
                .collect(),
        };
        if new.is_empty() { Ok(()) } else { Err(format!("{change} ({})", new.join("; "))) }
    }
}

/// A change with what an update changes.
fn in_full(change: &Change) -> String {
    match change.action {
        Action::Update => {
            let differences: Vec<String> = change.differences.iter().map(ToString::to_string).collect();
            format!("{change} ({})", differences.join("; "))
        }
        Action::Create | Action::Delete => change.to_string(),
    }
}

/// What differs between two plans for one change.
fn beside(shown: &Change, now: &Change) -> Vec<String> {
    let only = |one: &Change, other: &Change, words: &str| {
        let differences = one.differences.iter().filter(|difference| !other.differences.contains(difference));
        differences.map(|difference| format!("{one}: {difference} {words}")).collect::<Vec<_>>()
    };
    [only(shown, now, "was shown and is no longer so"), only(now, shown, "was not shown")].concat()
}

/// Whether a difference that was shown is the one that is there now.
fn covers(shown: &Difference, now: &Difference) -> bool {
    let value = |shown: &Option<String>, now: &Option<String>| match (shown, now) {
        (Some(shown), Some(now)) => fits(shown, now),
        (shown, now) => shown == now,
    };
    fits(&shown.field, &now.field) && value(&shown.from, &now.from) && value(&shown.to, &now.to)
}

/// Whether a text is another one in which ids were not known yet. Lists are sorted, and an id sorts elsewhere than what stood
/// for it: so words are compared without their order.
fn fits(shown: &str, now: &str) -> bool {
    if !shown.contains(UNKNOWN) || shown == UNKNOWN {
        return shown == UNKNOWN || shown == now;
    }
    // One word, whatever is glued to it.
    let shown = shown.replace(UNKNOWN, PLACEHOLDER);
    let mut left: Vec<&str> = now.split_whitespace().collect();
    let (unknown, known): (Vec<&str>, Vec<&str>) =
        shown.split_whitespace().partition(|word| word.contains(PLACEHOLDER));
    for word in known {
        match left.iter().position(|one| *one == word) {
            Some(at) => {
                left.remove(at);
            }
            None => return false,
        }
    }
    left.len() == unknown.len()
        && unknown.iter().all(|word| {
            let (before, after) = word.split_once(PLACEHOLDER).unwrap_or((word, ""));
            let after = after.rsplit(PLACEHOLDER).next().unwrap_or_default();
            let at = left.iter().position(|one| {
                one.len() >= before.len() + after.len() && one.starts_with(before) && one.ends_with(after)
            });
            at.map(|at| left.remove(at)).is_some()
        })
}

/// Stands for `UNKNOWN` where words are taken apart; no id has it.
const PLACEHOLDER: &str = "\u{1a}";

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(field: &str, from: Option<&str>, to: Option<&str>) -> Difference {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Difference { field: field.to_owned(), label: field.to_owned(), from: owned(from), to: owned(to) }
    }

    fn change(action: Action, component: &str, differences: &[Difference]) -> Change {
        let name = format!("futuswarm-{component}");
        Change { action, kind: "thing", name, component: component.to_owned(), differences: differences.to_vec() }
    }

    fn confirmed(changes: &[Change]) -> Confirmed {
        Confirmed(changes.to_vec())
    }

    #[test]
    fn an_unknown_id_fits_any_id_and_everything_else_only_itself() {
        let u = UNKNOWN;
        for (shown, now) in [
            ("a", "a"),
            (u, "vpc-1"),
            (u, "sha256 0d3a1dfd284cd5cc"),
            (&format!("forward to {u}"), "forward to arn:aws:1"),
            (&format!("ingress tcp 80 from {u}"), "ingress tcp 80 from sg-1"),
            // Sorted with and without the ids: their order is another.
            (&format!("{u} {u} subnet-5"), "subnet-1 subnet-5 subnet-7"),
            (&format!("template version={u}"), "template version=17"),
            (&format!("arn:key/{u}/x"), "arn:key/1/x"),
        ] {
            assert!(fits(shown, now), "{shown:?} {now:?}");
        }
        for (shown, now) in [
            ("a", "b"),
            ("vpc-1", u),
            (&format!("forward to {u}"), "redirect to arn:aws:1"),
            (&format!("forward to {u}"), "forward to"),
            (&format!("{u} subnet-5"), "subnet-1 subnet-7"),
            (&format!("{u} subnet-5"), "subnet-1 subnet-5 subnet-7"),
            (&format!("version={u}"), "17"),
        ] {
            assert!(!fits(shown, now), "{shown:?} {now:?}");
        }
    }

    #[test]
    fn only_what_was_shown_is_made() {
        let resized = difference("size", Some("1"), Some("2"));
        let shown = confirmed(&[
            change(
                Action::Create,
                "template",
                &[difference("image", None, Some("ami-1")), difference("group", None, Some(UNKNOWN))],
            ),
            change(Action::Update, "group", &[resized.clone(), difference("version", Some("1"), Some(UNKNOWN))]),
            change(Action::Delete, "old", &[]),
        ]);
        let made = |image: &str| {
            let image = difference("image", None, Some(image));
            let ids = [difference("group", None, Some("sg-1")), difference("key pair", None, Some("ssh"))];
            change(Action::Create, "template", &[&[image], &ids[..]].concat())
        };
        assert_eq!(shown.check(&made("ami-1")), Ok(()), "ids and what hangs on them are known only now");
        assert_eq!(
            shown.check(&made("ami-2")).unwrap_err(),
            "+ thing futuswarm-template (image: ami-1 was shown, and now it is ami-2)"
        );
        assert_eq!(shown.check(&change(Action::Update, "group", std::slice::from_ref(&resized))), Ok(()));
        let both = [resized, difference("version", Some("1"), Some("2"))];
        assert_eq!(shown.check(&change(Action::Update, "group", &both)), Ok(()));
        for (what, refused) in [
            (difference("size", Some("3"), Some("2")), "size: 3 → 2"),
            (difference("size", Some("1"), Some("9")), "size: 1 → 9"),
            (difference("size", None, Some("2")), "size: 2 is missing"),
            (difference("colour", Some("red"), None), "colour: red will be removed"),
        ] {
            let refusal = shown.check(&change(Action::Update, "group", &[what])).unwrap_err();
            assert_eq!(refusal, format!("~ thing futuswarm-group ({refused})"));
        }
        assert_eq!(shown.check(&change(Action::Delete, "old", &[])), Ok(()));
        for other in [
            change(Action::Delete, "group", &[]),
            change(Action::Create, "group", &[]),
            change(Action::Delete, "new", &[]),
            Change { kind: "other thing", ..change(Action::Delete, "old", &[]) },
            Change { name: "theirs".to_owned(), ..change(Action::Delete, "old", &[]) },
        ] {
            assert_eq!(shown.check(&other).unwrap_err(), other.to_string());
        }
        assert!(Confirmed::default().check(&made("ami-1")).is_err(), "a plan without changes permits none");
    }

    #[test]
    fn two_plans_are_compared_both_ways_and_in_any_order() {
        let plan = |changes: &[Change]| Report { changes: changes.to_vec(), notes: Vec::new() };
        let old = change(Action::Delete, "old", &[]);
        let group = |from: &str| change(Action::Update, "group", &[difference("size", Some(from), Some("2"))]);
        let shown = confirmed(&[old.clone(), group("1")]);
        assert!(shown.differences(&plan(&[group("1"), old.clone()])).is_empty());
        assert_eq!(
            shown.differences(&plan(&[group("3"), change(Action::Create, "new", &[])])),
            [
                "~ thing futuswarm-group: size: 1 → 2 was shown and is no longer so",
                "~ thing futuswarm-group: size: 3 → 2 was not shown",
                "+ thing futuswarm-new: it was not shown",
                "- thing futuswarm-old: it was shown and is no longer to be done",
            ]
        );
        assert_eq!(
            shown.differences(&plan(&[old, change(Action::Create, "group", &[])])),
            [
                "~ thing futuswarm-group: it was shown and is no longer to be done",
                "+ thing futuswarm-group: it was not shown"
            ]
        );
    }
}
