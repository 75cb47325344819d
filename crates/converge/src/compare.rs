//! A resource as it should be beside the resource as it is.

use crate::{Context, Differences, Error, Resource};

/// What must change.
pub(crate) fn differences<C: Context, R: Resource<C>>(
    resource: &R,
    context: &C,
    observed: &R::Observed,
) -> Result<Differences<C::Key>, Error<C::Error>> {
    let desired = resource.desired(context).map_err(Error::Call)?;
    Ok(desired.differences(&resource.current(context, observed)))
}

/// An id that is not known yet is no difference: what it is of has not been observed.
pub(crate) fn refuse_immutable<C: Context, R: Resource<C>>(
    resource: &R,
    context: &C,
    differences: &Differences<C::Key>,
) -> Result<(), Error<C::Error>> {
    match differences.known_among(resource.immutable()) {
        Some(difference) => Err(Error::Immutable {
            kind: resource.kind(),
            name: resource.name(context),
            difference: difference.to_string(),
        }),
        None => Ok(()),
    }
}
