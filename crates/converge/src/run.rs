//! A run over all steps: resources are observed, compared and changed as soon as what they depend on is done, many at a time;
//! they are deleted in the opposite order.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::OnceCell;

use crate::compare::{differences, refuse_immutable};
use crate::lost_answers;
use crate::order::{Direction, Node, order};
use crate::{Action, Change, Context, Difference, Error, Event, Fields, Resource, UNKNOWN};

/// A future of a step.
type Work<'a, E> = Pin<Box<dyn Future<Output = Result<(), Error<E>>> + Send + 'a>>;

/// A resource of whatever kind, and what was observed of it in this run.
struct Observing<C: Context, R: Resource<C>> {
    resource: R,
    /// Whether it goes, although its settings are those of a resource that is desired.
    to_delete: bool,
    observed: OnceCell<Option<R::Observed>>,
}

impl<C: Context, R: Resource<C>> Observing<C, R> {
    async fn observed(&self, clients: &C::Clients, context: &C) -> Result<Option<&R::Observed>, Error<C::Error>> {
        let observed = self.observed.get_or_try_init(|| self.resource.observe(clients, context)).await;
        Ok(observed.map_err(Error::Call)?.as_ref())
    }
}

/// A step that makes a resource what it should be.
pub fn step<C: Context + 'static, R: Resource<C> + 'static>(resource: R) -> Box<dyn Step<C>> {
    Box::new(Observing { resource, to_delete: false, observed: OnceCell::new() })
}

/// A step that deletes a resource that nothing asks for any more.
pub fn orphan<C: Context + 'static, R: Resource<C> + 'static>(resource: R) -> Box<dyn Step<C>> {
    Box::new(Observing { resource, to_delete: true, observed: OnceCell::new() })
}

/// A resource of whatever kind; made by [`step`] and [`orphan`].
pub trait Step<C: Context>: Send + Sync {
    /// [`Resource::component`].
    fn component(&self) -> String;
    /// [`Resource::depends_on`].
    fn depends_on(&self) -> Vec<String>;
    /// [`Resource::is_desired`]; not for an orphan.
    fn is_desired(&self) -> bool;
    /// [`Resource::adoptable_prefix`].
    fn adoptable_prefix(&self) -> Option<&'static str>;
    /// Plans or makes the change that it needs, if any.
    fn run<'a>(&'a self, clients: &'a C::Clients, context: &'a C) -> Work<'a, C::Error>;
    /// Fails when it is there and differs in an immutable field, or cannot be adopted.
    fn check<'a>(&'a self, clients: &'a C::Clients, context: &'a C) -> Work<'a, C::Error>;
}

impl<C: Context, R: Resource<C>> Step<C> for Observing<C, R> {
    fn component(&self) -> String {
        self.resource.component()
    }

    fn depends_on(&self) -> Vec<String> {
        self.resource.depends_on()
    }

    fn is_desired(&self) -> bool {
        !self.to_delete && self.resource.is_desired()
    }

    fn adoptable_prefix(&self) -> Option<&'static str> {
        self.resource.adoptable_prefix()
    }

    fn run<'a>(&'a self, clients: &'a C::Clients, context: &'a C) -> Work<'a, C::Error> {
        Box::pin(async move {
            reconcile(self, clients, context).await.map_err(|cause| named(&self.resource, context, cause))
        })
    }

    fn check<'a>(&'a self, clients: &'a C::Clients, context: &'a C) -> Work<'a, C::Error> {
        Box::pin(async move {
            check_immutable(self, clients, context).await.map_err(|cause| named(&self.resource, context, cause))
        })
    }
}

/// What happened, and to which resource.
fn named<C: Context, R: Resource<C>>(resource: &R, context: &C, cause: Error<C::Error>) -> Error<C::Error> {
    match cause {
        // It names the resource itself.
        Error::Immutable { .. } => cause,
        cause => Error::Resource {
            kind: resource.kind(),
            name: resource.name(context),
            place: context.place().to_owned(),
            cause: Box::new(cause),
        },
    }
}

async fn check_immutable<C: Context, R: Resource<C>>(
    step: &Observing<C, R>,
    clients: &C::Clients,
    context: &C,
) -> Result<(), Error<C::Error>> {
    let resource = &step.resource;
    if resource.immutable().is_empty() && !context.is_adopted(&resource.component()) {
        return Ok(());
    }
    let Some(observed) = step.observed(clients, context).await? else { return Ok(()) };
    context.ledger().note_id(resource.component(), resource.id(observed));
    refuse_immutable(resource, context, &differences(resource, context, observed)?)
}

async fn reconcile<C: Context, R: Resource<C>>(
    step: &Observing<C, R>,
    clients: &C::Clients,
    context: &C,
) -> Result<(), Error<C::Error>> {
    let (resource, mode) = (&step.resource, context.ledger().mode());
    if mode.keeps(resource.holds_data()) {
        return Ok(());
    }
    let observed = step.observed(clients, context).await?;
    match mode.applies() && step.is_desired() {
        true => converge(resource, clients, context, observed).await,
        false => remove(resource, clients, context, observed).await,
    }
}

async fn converge<C: Context, R: Resource<C>>(
    resource: &R,
    clients: &C::Clients,
    context: &C,
    observed: Option<&R::Observed>,
) -> Result<(), Error<C::Error>> {
    let ledger = context.ledger();
    if let Some(reason) = resource.waits_for(context) {
        ledger.note(reason);
        return Ok(());
    }
    let Some(observed) = observed else {
        let desired = resource.desired(context).map_err(Error::Call)?;
        let change = change(resource, context, Action::Create, desired.differences(&Fields::new()).for_people());
        return make(context, change, async {
            let id = lost_answers::create(resource, clients, context).await?;
            ledger.note_id(resource.component(), id);
            Ok(())
        })
        .await;
    };
    // Before it is asked how it should be: a security group may name itself.
    ledger.note_id(resource.component(), resource.id(observed));
    let differences = differences(resource, context, observed)?;
    if differences.is_empty() {
        return Ok(());
    }
    refuse_immutable(resource, context, &differences)?;
    if ledger.mode().plans() && resource.changes_id() {
        ledger.note_id(resource.component(), UNKNOWN);
    }
    let change = change(resource, context, Action::Update, differences.for_people());
    make(context, change, async {
        resource.update(clients, context, observed, &differences).await.map_err(Error::Call)
    })
    .await
}

async fn remove<C: Context, R: Resource<C>>(
    resource: &R,
    clients: &C::Clients,
    context: &C,
    observed: Option<&R::Observed>,
) -> Result<(), Error<C::Error>> {
    let Some(observed) = observed else { return Ok(()) };
    let change = change(resource, context, Action::Delete, Vec::new());
    make(context, change, async {
        lost_answers::delete(resource, clients, context, observed).await.map_err(Error::Call)
    })
    .await
}

fn change<C: Context, R: Resource<C>>(
    resource: &R,
    context: &C,
    action: Action,
    differences: Vec<Difference>,
) -> Change {
    let (kind, name, component) = (resource.kind(), resource.name(context), resource.component());
    Change { action, kind, name, component, differences }
}

async fn make<C: Context>(
    context: &C,
    change: Change,
    work: impl Future<Output = Result<(), Error<C::Error>>>,
) -> Result<(), Error<C::Error>> {
    let ledger = context.ledger();
    let plans = ledger.mode().plans();
    if !plans {
        ledger.refuse_unconfirmed(&change).map_err(Error::Unconfirmed)?;
    }
    ledger.tell(Event::Started(&change));
    let started = Instant::now();
    let outcome = if plans { Ok(()) } else { work.await };
    match &outcome {
        Ok(()) => {
            if !plans {
                ledger.tell(Event::Finished(&change, started.elapsed()));
            }
            ledger.note_change(change);
        }
        Err(_) => ledger.tell(Event::Failed(&change)),
    }
    outcome
}

/// Finds differences in immutable fields, and what cannot be adopted, in the order of the steps; nothing is changed.
///
/// # Errors
/// With the first of them.
pub async fn check<C: Context>(
    clients: &C::Clients,
    context: &C,
    steps: &[Box<dyn Step<C>>],
) -> Result<(), Error<C::Error>> {
    for step in steps {
        step.check(clients, context).await?;
    }
    Ok(())
}

/// Makes everything what it should be, and then deletes orphans, when nothing uses them any more. What should be deleted among
/// `steps` goes with them.
///
/// # Errors
/// Those of [`run_forwards`] and [`destroy`]; after a failure no orphan is deleted.
pub async fn apply<C: Context>(
    clients: &C::Clients,
    context: &C,
    steps: Vec<Box<dyn Step<C>>>,
    orphans: impl AsyncFnOnce() -> Result<Vec<Box<dyn Step<C>>>, C::Error>,
) -> Result<(), Error<C::Error>> {
    let (steps, mut to_delete): (Vec<_>, Vec<_>) = steps.into_iter().partition(|step| step.is_desired());
    check(clients, context, &steps).await?;
    run_forwards(clients, context, &steps).await?;
    // Something may have been changed by now.
    let late = |error| Error::Several { errors: vec![Error::Call(error)], not_tried: Vec::new() };
    to_delete.extend(orphans().await.map_err(late)?);
    destroy(clients, context, &to_delete).await
}

/// Runs all steps; each as soon as those it depends on are done.
///
/// # Errors
/// Before anything is run when there is no order. Else with every failure: steps that depend on a failed one are not tried, all
/// others are. After a change that nobody has confirmed no further step is started.
pub async fn run_forwards<C: Context>(
    clients: &C::Clients,
    context: &C,
    steps: &[Box<dyn Step<C>>],
) -> Result<(), Error<C::Error>> {
    run(clients, context, steps, Direction::Forwards).await
}

/// Deletes in the opposite order; what is gone already is no error.
///
/// # Errors
/// As [`run_forwards`].
pub async fn destroy<C: Context>(
    clients: &C::Clients,
    context: &C,
    steps: &[Box<dyn Step<C>>],
) -> Result<(), Error<C::Error>> {
    run(clients, context, steps, Direction::Backwards).await
}

async fn run<C: Context>(
    clients: &C::Clients,
    context: &C,
    steps: &[Box<dyn Step<C>>],
    direction: Direction,
) -> Result<(), Error<C::Error>> {
    let nodes = steps.iter().map(|step| Node { component: step.component(), depends_on: step.depends_on() });
    let nodes: Vec<Node> = nodes.collect();
    let mut waits = order(&nodes, direction)?;
    let mut running = FuturesUnordered::new();
    let (mut errors, mut halted) = (Vec::new(), false);
    loop {
        let ready = waits.iter().filter(|(_, waits)| !halted && waits.is_empty()).map(|(step, _)| *step);
        let ready: Vec<usize> = ready.take(C::CONCURRENCY.saturating_sub(running.len())).collect();
        for step in ready {
            waits.remove(&step);
            running.push(async move { (step, steps[step].run(clients, context).await) });
        }
        let Some((step, outcome)) = running.next().await else { break };
        match outcome {
            Ok(()) => waits.values_mut().for_each(|waits| {
                waits.remove(&step);
            }),
            Err(error) => {
                halted = halted || error.is_unconfirmed();
                errors.push(error);
            }
        }
    }
    let not_tried: Vec<String> = BTreeMap::into_keys(waits).map(|step| nodes[step].component.clone()).collect();
    // `order` leaves no cycle; that everything was run is said here and not believed.
    if errors.is_empty() && not_tried.is_empty() { Ok(()) } else { Err(Error::Several { errors, not_tried }) }
}

#[cfg(test)]
mod tests;
