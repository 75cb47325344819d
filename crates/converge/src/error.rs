//! Everything that can stop a run.

use std::fmt;

use crate::CallError;

/// A failure of a run whose resources fail with `E`.
#[derive(Debug)]
pub enum Error<E: CallError> {
    /// A resource's own work failed.
    Call(E),
    /// A difference that cannot be changed.
    Immutable {
        /// Kind of resource.
        kind: &'static str,
        /// For people.
        name: String,
        /// What differs.
        difference: String,
    },
    /// What happened to one resource.
    Resource {
        /// Kind of resource.
        kind: &'static str,
        /// For people.
        name: String,
        /// [`crate::Context::place`].
        place: String,
        /// What happened.
        cause: Box<Error<E>>,
    },
    /// What failed in a run that went on.
    Several {
        /// In the order in which they came up, at least one.
        errors: Vec<Error<E>>,
        /// Components that were not tried because of them.
        not_tried: Vec<String>,
    },
    /// Changes that whoever confirmed the plan has not seen.
    Unconfirmed(Vec<String>),
    /// Two steps make the same component.
    Duplicate(String),
    /// A step depends on what no step makes.
    UnknownDependency {
        /// The step's component.
        component: String,
        /// What it depends on.
        dependency: String,
    },
    /// Steps that wait for each other: each for the next, and the last is the first again.
    Cycle(Vec<String>),
}

// Not derived: `Error<E>` holds itself. The text of a cause is in the text, so that whoever prints a chain of causes prints it once.
impl<E: CallError> std::error::Error for Error<E> {}

impl<E: CallError> fmt::Display for Error<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(error) => write!(formatter, "{error}"),
            Self::Immutable { kind, name, difference } => write!(
                formatter,
                "the {kind} {name} cannot be changed ({difference}): set the spec back, or make a new cluster and move the services over"
            ),
            Self::Resource { kind, name, place, cause } => write!(formatter, "{kind} {name} in {place}: {cause}"),
            Self::Several { errors, not_tried } => formatter.write_str(&several(errors, not_tried)),
            Self::Unconfirmed(changes) => write!(
                formatter,
                "the account has changed since the plan was shown\n  {}\n  nothing of this was done; run the command again and look at the new plan",
                changes.join("\n  ")
            ),
            Self::Duplicate(component) => write!(
                formatter,
                "two steps make the component {component}, which is a defect of Futuswarm; none of these steps was run"
            ),
            Self::UnknownDependency { component, dependency } => {
                write!(formatter, "{component} needs {dependency}, which no step makes")
            }
            Self::Cycle(components) => write!(
                formatter,
                "these steps wait for each other, which is a defect of Futuswarm; none of them was run: {}",
                components.join(" → ")
            ),
        }
    }
}

impl<E: CallError> Error<E> {
    /// Whether the run met a change that nobody has confirmed.
    pub(crate) fn is_unconfirmed(&self) -> bool {
        match self {
            Self::Unconfirmed(_) => true,
            Self::Resource { cause, .. } => cause.is_unconfirmed(),
            _ => false,
        }
    }

    /// Whether the run went on after a failure, so that something may have been changed.
    #[must_use]
    pub fn went_on(&self) -> bool {
        matches!(self, Self::Several { .. })
    }
}

fn several<E: CallError>(errors: &[Error<E>], not_tried: &[String]) -> String {
    if errors.is_empty() {
        return format!("steps were never run, which is a defect of Futuswarm: {}", not_tried.join(", "));
    }
    let mut text = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ");
    if errors.len() > 1 {
        text = format!("{} things failed:\n  {text}", errors.len());
    }
    if !not_tried.is_empty() {
        text.push_str(&format!("\n  not tried because of that: {}", not_tried.join(", ")));
    }
    text
}
