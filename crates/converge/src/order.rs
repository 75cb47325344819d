//! In which order steps are run.

use std::collections::{BTreeMap, BTreeSet};

use crate::{CallError, Error};

/// A step as its order knows it.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) component: String,
    pub(crate) depends_on: Vec<String>,
}

/// Which way the arrows are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// What a step depends on goes first.
    Forwards,
    /// What a step depends on goes after it, as for deletions.
    Backwards,
}

/// Step → the steps that must be done before it, both by their place in `nodes`.
pub(crate) type Waits = BTreeMap<usize, BTreeSet<usize>>;

/// # Errors
/// Forwards: when two steps make one component, or one depends on what no step makes. In both directions: when steps wait for
/// each other.
pub(crate) fn order<E: CallError>(nodes: &[Node], direction: Direction) -> Result<Waits, Error<E>> {
    let backwards = direction == Direction::Backwards;
    let mut by_component: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        by_component.entry(&node.component).or_default().push(index);
    }
    // What is deleted may be there twice: a balancer of either kind after a change of the kind that was interrupted.
    if let Some((component, _)) = by_component.iter().find(|(_, steps)| !backwards && steps.len() > 1) {
        return Err(Error::Duplicate((*component).to_owned()));
    }
    let mut waits: Waits = (0..nodes.len()).map(|index| (index, BTreeSet::new())).collect();
    for (index, node) in nodes.iter().enumerate() {
        for dependency in &node.depends_on {
            let needed = by_component.get(dependency.as_str()).map(Vec::as_slice).unwrap_or_default();
            // What is deleted may have outlived what it depended on.
            if needed.is_empty() && !backwards {
                let (component, dependency) = (node.component.clone(), dependency.clone());
                return Err(Error::UnknownDependency { component, dependency });
            }
            for needed in needed {
                let (first, then) = if backwards { (index, *needed) } else { (*needed, index) };
                waits.entry(then).or_default().insert(first);
            }
        }
    }
    match cycle(&waits) {
        Some(cycle) => Err(Error::Cycle(cycle.into_iter().map(|step| nodes[step].component.clone()).collect())),
        None => Ok(waits),
    }
}

/// Steps of which each waits for the next and the last is the first again; nothing when there is an order.
fn cycle(waits: &Waits) -> Option<Vec<usize>> {
    let mut left = waits.clone();
    while let Some(free) = left.iter().find(|(_, waits)| waits.is_empty()).map(|(step, _)| *step) {
        left.remove(&free);
        left.values_mut().for_each(|waits| {
            waits.remove(&free);
        });
    }
    // Everybody who is left waits for somebody who is left, so that whoever walks on meets a step again.
    let mut path = vec![*left.keys().next()?];
    loop {
        let next = *left.get(path.last()?)?.first()?;
        if let Some(first) = path.iter().position(|step| *step == next) {
            path.push(next);
            return Some(path.split_off(first));
        }
        path.push(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Failure;

    fn nodes(all: &[(&str, &[&str])]) -> Vec<Node> {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        all.iter()
            .map(|(component, depends_on)| Node { component: (*component).to_owned(), depends_on: owned(depends_on) })
            .collect()
    }

    fn ordered(all: &[(&str, &[&str])], direction: Direction) -> Result<Vec<Vec<usize>>, String> {
        let waits = order::<Failure>(&nodes(all), direction).map_err(|error| error.to_string())?;
        Ok(waits.into_values().map(|waits| waits.into_iter().collect()).collect())
    }

    #[test]
    fn dependencies_go_first_and_last_when_things_are_deleted() {
        let all: &[(&str, &[&str])] =
            &[("node", &["subnet", "role"]), ("subnet", &["vpc"]), ("role", &[]), ("vpc", &[])];
        let forwards: Vec<Vec<usize>> = vec![vec![1, 2], vec![3], vec![], vec![]];
        let backwards: Vec<Vec<usize>> = vec![vec![], vec![0], vec![0], vec![1]];
        assert_eq!(ordered(all, Direction::Forwards).unwrap(), forwards);
        assert_eq!(ordered(all, Direction::Backwards).unwrap(), backwards);
        assert_eq!(ordered(&[], Direction::Forwards).unwrap(), Vec::<Vec<usize>>::new());
    }

    #[test]
    fn a_cycle_is_named_in_either_direction() {
        let all: &[(&str, &[&str])] =
            &[("free", &[]), ("after", &["b"]), ("a", &["b", "free"]), ("b", &["c"]), ("c", &["a"])];
        for (direction, cycle) in [(Direction::Forwards, "b → c → a → b"), (Direction::Backwards, "a → c → b → a")]
        {
            let error = ordered(all, direction).unwrap_err();
            assert!(error.starts_with("these steps wait for each other"), "{error}");
            assert!(error.ends_with(&format!("none of them was run: {cycle}")), "{error}");
        }
        assert!(ordered(&[("a", &["a"])], Direction::Forwards).unwrap_err().ends_with(": a → a"));
    }

    #[test]
    fn a_component_is_made_once_and_may_be_deleted_twice() {
        let all: &[(&str, &[&str])] = &[("balancer", &[]), ("names", &["balancer"]), ("balancer", &[])];
        let error = ordered(all, Direction::Forwards).unwrap_err();
        assert!(error.starts_with("two steps make the component balancer"), "{error}");
        assert_eq!(ordered(all, Direction::Backwards).unwrap(), [vec![1], vec![], vec![1]]);
    }

    #[test]
    fn what_no_step_makes_is_an_error_except_for_a_deletion() {
        let all: &[(&str, &[&str])] = &[("a", &[]), ("b", &["lost"])];
        assert_eq!(ordered(all, Direction::Forwards).unwrap_err(), "b needs lost, which no step makes");
        assert_eq!(ordered(all, Direction::Backwards).unwrap().len(), 2);
    }
}
