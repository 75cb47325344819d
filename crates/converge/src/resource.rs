//! One thing that is made, changed and deleted as a whole, as its kind declares it.

use crate::{Context, Differences, Fields};

/// A resource of one kind.
pub trait Resource<C: Context>: Send + Sync {
    /// It as the service describes it.
    type Observed: Send + Sync;

    /// For people, for example `subnet`.
    fn kind(&self) -> &'static str;
    /// For people, and for the service where it has names.
    fn name(&self, context: &C) -> String;
    /// Its name among the resources of one run, by which others depend on it.
    fn component(&self) -> String;
    /// Components that must be there before it.
    fn depends_on(&self) -> Vec<String> {
        Vec::new()
    }
    /// Asks the service for it.
    fn observe(
        &self,
        clients: &C::Clients,
        context: &C,
    ) -> impl Future<Output = Result<Option<Self::Observed>, C::Error>> + Send;
    /// By what others refer to it.
    fn id(&self, observed: &Self::Observed) -> String;
    /// How it should be.
    ///
    /// # Errors
    /// When that cannot be said.
    fn desired(&self, context: &C) -> Result<Fields<C::Key>, C::Error>;
    /// How it is.
    fn current(&self, context: &C, observed: &Self::Observed) -> Fields<C::Key>;
    /// Fields that the service cannot change.
    fn immutable(&self) -> &'static [C::Key] {
        &[]
    }
    /// Makes it; returns its id.
    fn create(&self, clients: &C::Clients, context: &C) -> impl Future<Output = Result<String, C::Error>> + Send;
    /// Changes what differs.
    fn update(
        &self,
        clients: &C::Clients,
        context: &C,
        observed: &Self::Observed,
        changed: &Differences<C::Key>,
    ) -> impl Future<Output = Result<(), C::Error>> + Send;
    /// Ends it.
    fn delete(
        &self,
        clients: &C::Clients,
        context: &C,
        observed: &Self::Observed,
    ) -> impl Future<Output = Result<(), C::Error>> + Send;
    /// Why nothing can be done about it yet; somebody else has to do something first.
    fn waits_for(&self, _: &C) -> Option<String> {
        None
    }
    /// Whether it holds data, which outlives everything else unless somebody says otherwise.
    fn holds_data(&self) -> bool {
        false
    }
    /// Whether a change gives it another id, which is known only then.
    fn changes_id(&self) -> bool {
        false
    }
    /// Whether it should be there; what should not be is deleted.
    fn is_desired(&self) -> bool {
        true
    }
    /// How ids begin of what can be adopted as this component; what the service knows by name is adopted by its name.
    fn adoptable_prefix(&self) -> Option<&'static str> {
        None
    }
}
