//! The dependency graph: resources are looked at, compared and changed as soon as what they need is done, many at a time;
//! they are deleted in the opposite order.

mod again;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::OnceCell;

use crate::error::Error;
use crate::plan::{Action, Change, Changed, Difference, Event, Fields, UNKNOWN};
use crate::{Cloud, Mode};

/// AWS throttles per account and per operation; more at a time would not be faster.
const AT_A_TIME: usize = 16;

/// A future of a step.
type Work<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;

/// One thing in AWS that a cluster consists of. Its part is its name within the cluster: the tag `futuswarm:part`.
pub(crate) trait Resource: Send + Sync {
    /// What was seen of it.
    type Found: Send + Sync;

    /// For people, for example `subnet`.
    fn kind(&self) -> &'static str;
    /// For people, and for AWS where it has names.
    fn name(&self, cloud: &Cloud) -> String;
    /// Which part of the cluster it is.
    fn part(&self) -> String;
    /// Parts that must be there before it.
    fn needs(&self) -> Vec<String> {
        Vec::new()
    }
    /// Looks.
    fn observe(&self, cloud: &Cloud) -> impl Future<Output = Result<Option<Self::Found>, Error>> + Send;
    /// By what others refer to it.
    fn id(&self, found: &Self::Found) -> String;
    /// How it should be.
    fn wanted(&self, cloud: &Cloud) -> Result<Fields, Error>;
    /// How it is.
    fn current(&self, cloud: &Cloud, found: &Self::Found) -> Fields;
    /// Fields that AWS cannot change.
    fn fixed(&self) -> &'static [&'static str] {
        &[]
    }
    /// Makes it; returns its id.
    fn create(&self, cloud: &Cloud) -> impl Future<Output = Result<String, Error>> + Send;
    /// Puts right what differs.
    fn update(
        &self,
        cloud: &Cloud,
        found: &Self::Found,
        changed: Changed<'_>,
    ) -> impl Future<Output = Result<(), Error>> + Send;
    /// Deletes it.
    fn delete(&self, cloud: &Cloud, found: &Self::Found) -> impl Future<Output = Result<(), Error>> + Send;
    /// Why nothing can be done about it yet; somebody else has to do something first.
    fn waits_for(&self, _: &Cloud) -> Option<String> {
        None
    }
    /// Whether it holds data, which outlives a cluster unless somebody says otherwise.
    fn holds_data(&self) -> bool {
        false
    }
    /// Whether a change gives it another id, which is known only then.
    fn renews(&self) -> bool {
        false
    }
    /// Whether the spec asks for it; what it no longer asks for is deleted.
    fn is_wanted(&self) -> bool {
        true
    }
    /// How ids begin of what can be adopted as this part; what AWS finds by name is adopted by its name.
    fn adopts(&self) -> Option<&'static str> {
        None
    }
}

/// A resource of whatever kind, and what was seen of it in this run.
struct Looked<R: Resource> {
    resource: R,
    /// Whether it goes, although its settings are those of a resource that is wanted.
    doomed: bool,
    found: OnceCell<Option<R::Found>>,
}

impl<R: Resource> Looked<R> {
    async fn found(&self, cloud: &Cloud) -> Result<Option<&R::Found>, Error> {
        Ok(self.found.get_or_try_init(|| self.resource.observe(cloud)).await?.as_ref())
    }
}

/// A step that brings a resource about.
pub(crate) fn step<R: Resource + 'static>(resource: R) -> Box<dyn Step> {
    Box::new(Looked { resource, doomed: false, found: OnceCell::new() })
}

/// A step that deletes a resource of a former spec.
pub(crate) fn step_away<R: Resource + 'static>(resource: R) -> Box<dyn Step> {
    Box::new(Looked { resource, doomed: true, found: OnceCell::new() })
}

/// A resource of whatever kind.
pub(crate) trait Step: Send + Sync {
    fn part(&self) -> String;
    fn needs(&self) -> Vec<String>;
    fn is_wanted(&self) -> bool;
    fn adopts(&self) -> Option<&'static str>;
    fn run<'a>(&'a self, cloud: &'a Cloud, mode: Mode) -> Work<'a>;
    /// Fails when it is there and differs in a field that AWS cannot change, or cannot be adopted.
    fn check<'a>(&'a self, cloud: &'a Cloud) -> Work<'a>;
}

impl<R: Resource> Step for Looked<R> {
    fn part(&self) -> String {
        self.resource.part()
    }

    fn needs(&self) -> Vec<String> {
        self.resource.needs()
    }

    fn is_wanted(&self) -> bool {
        !self.doomed && self.resource.is_wanted()
    }

    fn adopts(&self) -> Option<&'static str> {
        self.resource.adopts()
    }

    fn run<'a>(&'a self, cloud: &'a Cloud, mode: Mode) -> Work<'a> {
        let named = |source| named(&self.resource, cloud, source);
        Box::pin(async move { bring_about(self, cloud, mode).await.map_err(named) })
    }

    fn check<'a>(&'a self, cloud: &'a Cloud) -> Work<'a> {
        let named = |source| named(&self.resource, cloud, source);
        Box::pin(async move { check_fixed(self, cloud).await.map_err(named) })
    }
}

/// What happened, and to which resource.
fn named<R: Resource>(resource: &R, cloud: &Cloud, source: Error) -> Error {
    match source {
        // It names the resource itself.
        Error::Fixed { .. } => source,
        source => Error::Resource {
            kind: resource.kind(),
            name: resource.name(cloud),
            region: cloud.names.region.clone(),
            cause: Box::new(source),
        },
    }
}

async fn check_fixed<R: Resource>(step: &Looked<R>, cloud: &Cloud) -> Result<(), Error> {
    let resource = &step.resource;
    if resource.fixed().is_empty() && !cloud.extras.adopt.contains_key(&resource.part()) {
        return Ok(());
    }
    let Some(found) = step.found(cloud).await? else { return Ok(()) };
    cloud.note_id(resource.part(), resource.id(found));
    refuse_fixed(resource, cloud, &resource.wanted(cloud)?.differences(&resource.current(cloud, found)))
}

/// An id that is not known yet is no difference: what it is of has not been looked at.
fn refuse_fixed<R: Resource>(resource: &R, cloud: &Cloud, differences: &[Difference]) -> Result<(), Error> {
    let known = differences.iter().filter(|difference| difference.to.as_deref() != Some(UNKNOWN));
    match known.into_iter().find(|difference| resource.fixed().contains(&difference.field.as_str())) {
        Some(difference) => {
            Err(Error::Fixed { kind: resource.kind(), name: resource.name(cloud), difference: difference.to_string() })
        }
        None => Ok(()),
    }
}

async fn bring_about<R: Resource>(step: &Looked<R>, cloud: &Cloud, mode: Mode) -> Result<(), Error> {
    let resource = &step.resource;
    if mode.keeps(resource.holds_data()) {
        return Ok(());
    }
    let found = step.found(cloud).await?;
    match mode {
        Mode::Apply { .. } if step.is_wanted() => converge(resource, cloud, mode, found).await,
        Mode::Apply { .. } | Mode::Destroy { .. } => remove(resource, cloud, mode, found).await,
    }
}

async fn converge<R: Resource>(resource: &R, cloud: &Cloud, mode: Mode, found: Option<&R::Found>) -> Result<(), Error> {
    if let Some(reason) = resource.waits_for(cloud) {
        cloud.note(reason);
        return Ok(());
    }
    let change = |action, differences| Change {
        action,
        kind: resource.kind(),
        name: resource.name(cloud),
        part: resource.part(),
        differences,
    };
    let Some(found) = found else {
        let change = change(Action::Create, resource.wanted(cloud)?.differences(&Fields::new()));
        return make(cloud, mode, change, async {
            let id = again::create(resource, cloud).await?;
            cloud.note_id(resource.part(), id);
            Ok(())
        })
        .await;
    };
    // Before it is asked how it should be: a security group may name itself.
    cloud.note_id(resource.part(), resource.id(found));
    let differences = resource.wanted(cloud)?.differences(&resource.current(cloud, found));
    if differences.is_empty() {
        return Ok(());
    }
    refuse_fixed(resource, cloud, &differences)?;
    let change = change(Action::Update, differences);
    let differences = change.differences.clone();
    if mode.plans() && resource.renews() {
        cloud.note_id(resource.part(), UNKNOWN.to_owned());
    }
    make(cloud, mode, change, resource.update(cloud, found, Changed(&differences))).await
}

async fn remove<R: Resource>(resource: &R, cloud: &Cloud, mode: Mode, found: Option<&R::Found>) -> Result<(), Error> {
    let Some(found) = found else { return Ok(()) };
    let change = Change {
        action: Action::Delete,
        kind: resource.kind(),
        name: resource.name(cloud),
        part: resource.part(),
        differences: Vec::new(),
    };
    make(cloud, mode, change, async { again::delete(resource, cloud, found).await }).await
}

async fn make(
    cloud: &Cloud,
    mode: Mode,
    change: Change,
    work: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    if !mode.plans() {
        cloud.refuse_unconfirmed(&change)?;
    }
    cloud.tell(Event::Begun(&change));
    let started = Instant::now();
    let outcome = if mode.plans() { Ok(()) } else { work.await };
    match &outcome {
        Ok(()) => {
            if !mode.plans() {
                cloud.tell(Event::Made(&change, started.elapsed()));
            }
            cloud.note_change(change);
        }
        Err(_) => cloud.tell(Event::Failed(&change)),
    }
    outcome
}

/// Looks for differences that AWS cannot mend, and for what cannot be adopted, in the order of the steps; nothing is changed.
///
/// # Errors
/// With the first of them.
pub(crate) async fn check(cloud: &Cloud, steps: &[Box<dyn Step>]) -> Result<(), Error> {
    for step in steps {
        step.check(cloud).await?;
    }
    Ok(())
}

/// In which order steps are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// What a step needs goes first.
    Forwards,
    /// What a step needs goes after it, as for deletions.
    Backwards,
}

/// Runs all steps; each as soon as those it depends on are done.
///
/// # Errors
/// Before anything is run when two steps make one part or steps wait for each other. Else with every failure: steps that depend
/// on a failed one are not tried, all others are. After a change that nobody has confirmed no further step is begun.
pub(crate) async fn run(cloud: &Cloud, steps: &[Box<dyn Step>], mode: Mode, direction: Direction) -> Result<(), Error> {
    let mut waits = order(steps, direction == Direction::Backwards)?;
    let mut running = FuturesUnordered::new();
    let (mut errors, mut halted) = (Vec::new(), false);
    loop {
        let ready = waits.iter().filter(|(_, needs)| !halted && needs.is_empty()).map(|(step, _)| *step);
        let ready: Vec<usize> = ready.take(AT_A_TIME.saturating_sub(running.len())).collect();
        for step in ready {
            waits.remove(&step);
            running.push(async move { (step, steps[step].run(cloud, mode).await) });
        }
        let Some((step, outcome)) = running.next().await else { break };
        match outcome {
            Ok(()) => waits.values_mut().for_each(|needs| {
                needs.remove(&step);
            }),
            Err(error) => {
                halted = halted || error.is_unconfirmed();
                errors.push(error);
            }
        }
    }
    let stuck: Vec<String> = waits.keys().map(|step| steps[*step].part()).collect();
    // `order` leaves no cycle; that everything was run is said here and not believed.
    if errors.is_empty() && stuck.is_empty() { Ok(()) } else { Err(Error::Several { errors, stuck }) }
}

/// Step → the steps that must be done before it.
fn order(steps: &[Box<dyn Step>], backwards: bool) -> Result<BTreeMap<usize, BTreeSet<usize>>, Error> {
    let mut by_part: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, step) in steps.iter().enumerate() {
        by_part.entry(step.part()).or_default().push(index);
    }
    // What is deleted may be there twice: a balancer of either kind after a change of the kind that was interrupted.
    if let Some((part, _)) = by_part.iter().find(|(_, steps)| !backwards && steps.len() > 1) {
        return Err(Error::Missing(format!(
            "two steps make the part {part}, which is a defect of Futuswarm; none of these steps was run"
        )));
    }
    let mut waits: BTreeMap<usize, BTreeSet<usize>> = (0..steps.len()).map(|index| (index, BTreeSet::new())).collect();
    for (index, step) in steps.iter().enumerate() {
        for need in step.needs() {
            let needed = by_part.get(&need).map(Vec::as_slice).unwrap_or_default();
            // What is deleted may have outlived what it needed.
            if needed.is_empty() && !backwards {
                return Err(Error::Missing(format!("{} needs {need}, which no step makes", step.part())));
            }
            for needed in needed {
                let (first, then) = if backwards { (index, *needed) } else { (*needed, index) };
                waits.entry(then).or_default().insert(first);
            }
        }
    }
    match cycle(&waits) {
        Some(cycle) => {
            let parts: Vec<String> = cycle.iter().map(|step| steps[*step].part()).collect();
            Err(Error::Missing(format!(
                "these steps wait for each other, which is a defect of Futuswarm; none of them was run: {}",
                parts.join(" → ")
            )))
        }
        None => Ok(waits),
    }
}

/// Steps of which each waits for the next and the last is the first again; nothing when there is an order.
fn cycle(waits: &BTreeMap<usize, BTreeSet<usize>>) -> Option<Vec<usize>> {
    let mut left = waits.clone();
    while let Some(free) = left.iter().find(|(_, needs)| needs.is_empty()).map(|(step, _)| *step) {
        left.remove(&free);
        left.values_mut().for_each(|needs| {
            needs.remove(&free);
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
mod tests;
