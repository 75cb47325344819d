//! Runs over resources of which there is nothing but a record of what was done with them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::testing::{APPLY, DESTROY, Failure, Nowhere, OURS, PLAN, Property};
use crate::{Confirmed, Differences, Ledger, Mode, Report};

/// What was done, in its order.
#[derive(Clone, Default)]
struct Done(Arc<Mutex<Vec<String>>>);

impl Done {
    fn say(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A resource that is there or not, has one field, and may fail.
#[derive(Clone, Default)]
struct Fake {
    component: &'static str,
    depends_on: &'static [&'static str],
    /// Its size; shared by clones, as what is there is.
    there: Arc<Mutex<Option<&'static str>>>,
    immutable: &'static [Property],
    refuses: bool,
    changes_id: bool,
    holds_data: bool,
    undesired: bool,
    waits: bool,
    slow: bool,
    /// The component whose id is its second field.
    refers_to: Option<&'static str>,
    done: Done,
}

impl Fake {
    async fn make(&self, what: &str, then: Option<&'static str>) -> Result<(), Failure> {
        if self.slow {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.done.say(format!("{what} {}", self.component));
        if self.refuses {
            return Err(Failure(Some(OURS)));
        }
        *self.there.lock().unwrap() = then;
        Ok(())
    }

    fn there(mut self, size: &'static str) -> Self {
        self.there = Arc::new(Mutex::new(Some(size)));
        self
    }
}

impl Resource<Nowhere> for Fake {
    type Observed = &'static str;

    fn kind(&self) -> &'static str {
        "thing"
    }

    fn name(&self, _: &Nowhere) -> String {
        format!("the {}", self.component)
    }

    fn component(&self) -> String {
        self.component.to_owned()
    }

    fn depends_on(&self) -> Vec<String> {
        self.depends_on.iter().map(|one| (*one).to_owned()).collect()
    }

    async fn observe(&self, (): &(), _: &Nowhere) -> Result<Option<&'static str>, Failure> {
        Ok(*self.there.lock().unwrap())
    }

    fn id(&self, _: &&'static str) -> String {
        format!("{}-1", self.component)
    }

    fn desired(&self, run: &Nowhere) -> Result<Fields<Property>, Failure> {
        let fields = Fields::new().with(Property::Size, "2");
        Ok(fields.with_some(Property::Other, self.refers_to.map(|component| run.ledger().id_or_unknown(component))))
    }

    fn current(&self, _: &Nowhere, observed: &&'static str) -> Fields<Property> {
        let fields = Fields::new().with(Property::Size, observed);
        fields.with_some(Property::Other, self.refers_to.map(|component| format!("{component}-1")))
    }

    fn immutable(&self) -> &'static [Property] {
        self.immutable
    }

    fn changes_id(&self) -> bool {
        self.changes_id
    }

    fn holds_data(&self) -> bool {
        self.holds_data
    }

    fn is_desired(&self) -> bool {
        !self.undesired
    }

    fn waits_for(&self, _: &Nowhere) -> Option<String> {
        self.waits.then(|| format!("{} waits", self.component))
    }

    async fn create(&self, (): &(), _: &Nowhere) -> Result<String, Failure> {
        self.make("create", Some("2")).await.map(|()| format!("{}-1", self.component))
    }

    async fn update(&self, (): &(), run: &Nowhere, _: &&'static str, _: &Differences<Property>) -> Result<(), Failure> {
        if self.changes_id {
            run.ledger().note_id(self.component, format!("{}-2", self.component));
        }
        self.make("update", Some("2")).await
    }

    async fn delete(&self, (): &(), _: &Nowhere, _: &&'static str) -> Result<(), Failure> {
        self.make("delete", None).await
    }
}

fn fake(done: &Done, component: &'static str, depends_on: &'static [&'static str]) -> Fake {
    Fake { component, depends_on, done: done.clone(), ..Fake::default() }
}

fn steps(fakes: &[Fake]) -> Vec<Box<dyn Step<Nowhere>>> {
    fakes.iter().cloned().map(step).collect()
}

async fn applied(fakes: &[Fake]) -> Result<(), Error<Failure>> {
    run_forwards(&(), &Nowhere::new(APPLY), &steps(fakes)).await
}

async fn planned(fakes: &[Fake]) -> Report {
    let run = Nowhere::new(PLAN);
    run_forwards(&(), &run, &steps(fakes)).await.unwrap();
    run.ledger().take_report()
}

#[tokio::test(start_paused = true)]
async fn what_a_step_depends_on_goes_first_and_goes_last_when_things_are_deleted() {
    let done = Done::default();
    let network = Fake { slow: true, ..fake(&done, "network", &[]) };
    let fakes = [
        fake(&done, "node", &["subnet", "role"]),
        fake(&done, "subnet", &["network"]),
        fake(&done, "role", &[]),
        network,
    ];
    applied(&fakes).await.unwrap();
    assert_eq!(done.all(), ["create role", "create network", "create subnet", "create node"]);
    // A second run changes nothing.
    applied(&fakes).await.unwrap();
    assert_eq!(done.all().len(), 4);

    destroy(&(), &Nowhere::new(DESTROY), &steps(&fakes)).await.unwrap();
    assert_eq!(done.all()[4..], ["delete node", "delete subnet", "delete role", "delete network"]);
}

#[tokio::test]
async fn without_an_order_nothing_is_run() {
    let done = Done::default();
    for (fakes, message) in [
        (vec![fake(&done, "a", &["b"]), fake(&done, "b", &["a"]), fake(&done, "c", &[])], "a → b → a"),
        (vec![fake(&done, "a", &[]), fake(&done, "a", &[])], "two steps make the component a,"),
        (vec![fake(&done, "a", &[]), fake(&done, "b", &["lost"])], "b needs lost, which no step makes"),
    ] {
        let error = applied(&fakes).await.unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert!(done.all().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn two_steps_that_delete_one_component_are_both_run() {
    let done = Done::default();
    let twice = [
        fake(&done, "balancer", &[]).there("2"),
        Fake { slow: true, ..fake(&done, "names", &["balancer"]).there("2") },
        fake(&done, "balancer", &[]).there("2"),
    ];
    destroy(&(), &Nowhere::new(DESTROY), &steps(&twice)).await.unwrap();
    assert_eq!(done.all(), ["delete names", "delete balancer", "delete balancer"]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_stops_what_depends_on_it_and_nothing_else() {
    let done = Done::default();
    let broken = |component| Fake { refuses: true, ..fake(&done, component, &[]) };
    let fakes = [
        broken("a"),
        broken("z"),
        fake(&done, "after a", &["a"]),
        fake(&done, "long after a", &["after a"]),
        Fake { slow: true, ..fake(&done, "c", &[]) },
        fake(&done, "after c", &["c"]),
    ];
    let error = applied(&fakes).await.unwrap_err();
    assert!(error.went_on());
    let Error::Several { errors, not_tried } = &error else { panic!("{error}") };
    assert_eq!((errors.len(), not_tried.as_slice()), (2, &["after a".to_owned(), "long after a".to_owned()][..]));
    let text = error.to_string();
    assert!(
        text.starts_with("2 things failed:\n  thing the a in nowhere: ") && text.contains("thing the z in "),
        "{text}"
    );
    assert!(text.ends_with("not tried because of that: after a, long after a"), "{text}");
    assert_eq!(done.all(), ["create a", "create z", "create c", "create after c"]);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_so_many_steps_run_at_a_time_and_all_are_run() {
    let done = Done::default();
    let many: Vec<Fake> = (0..3 * Nowhere::CONCURRENCY)
        .map(|number| Fake { slow: true, ..fake(&done, String::leak(format!("component {number}")), &[]) })
        .collect();
    let started = tokio::time::Instant::now();
    applied(&many).await.unwrap();
    assert_eq!(done.all().len(), 3 * Nowhere::CONCURRENCY);
    let elapsed = started.elapsed();
    assert!(
        elapsed >= Duration::from_millis(60) && elapsed < Duration::from_millis(80),
        "in three rounds: {elapsed:?}"
    );
}

#[tokio::test]
async fn a_plan_changes_nothing_and_knows_what_depends_on_an_id_that_does_not_exist_yet() {
    let done = Done::default();
    let fakes = [
        Fake { changes_id: true, ..fake(&done, "template", &[]).there("1") },
        Fake { refers_to: Some("template"), ..fake(&done, "group", &["template"]).there("2") },
        fake(&done, "right already", &[]).there("2"),
    ];
    let report = planned(&fakes).await;
    let texts: Vec<String> =
        report.changes.iter().map(|change| format!("{change} {}", change.differences[0])).collect();
    assert_eq!(
        texts,
        ["~ thing the template Size: 1 → 2", "~ thing the group other: template-1 → (known after apply)"]
    );
    assert!(done.all().is_empty());

    // And it is what is done: the id that is known by then is the one that was not known.
    let run = Nowhere::new(APPLY).holding_to(Confirmed::of(&report));
    run_forwards(&(), &run, &steps(&fakes)).await.unwrap();
    assert_eq!(done.all(), ["update template", "update group"]);
    assert_eq!(run.ledger().take_report().changes.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn orphans_are_deleted_last_and_in_reverse_and_not_after_a_failure() {
    let done = Done::default();
    let desired = [
        fake(&done, "network", &[]),
        Fake { slow: true, ..fake(&done, "node", &["network"]) },
        Fake { undesired: true, ..fake(&done, "database", &["network"]).there("2") },
    ];
    let orphans = [fake(&done, "old network", &[]).there("2"), fake(&done, "old node", &["old network"]).there("2")];
    let gone = || orphans.iter().cloned().map(orphan).collect::<Vec<_>>();
    apply(&(), &Nowhere::new(APPLY), steps(&desired), async || Ok(gone())).await.unwrap();
    assert_eq!(
        done.all(),
        ["create network", "create node", "delete database", "delete old node", "delete old network"]
    );
    // An orphan is deleted whether or not its kind is desired, and a plan shows it.
    let again = [fake(&done, "old node", &[]).there("2")];
    let run = Nowhere::new(PLAN);
    apply(&(), &run, Vec::new(), async || Ok(again.iter().cloned().map(orphan).collect())).await.unwrap();
    assert_eq!(run.ledger().take_report().changes[0].to_string(), "- thing the old node");

    let done = Done::default();
    let broken = [Fake { refuses: true, ..fake(&done, "network", &[]) }];
    let left = fake(&done, "old", &[]).there("2");
    let outcome = apply(&(), &Nowhere::new(APPLY), steps(&broken), async || Ok(vec![orphan(left)])).await;
    assert!(outcome.is_err());
    assert_eq!(done.all(), ["create network"]);
}

#[tokio::test]
async fn an_immutable_field_that_differs_is_refused_before_anything_is_changed() {
    let done = Done::default();
    let fakes =
        [fake(&done, "first", &[]), Fake { immutable: &[Property::Size], ..fake(&done, "network", &[]).there("1") }];
    let error = apply(&(), &Nowhere::new(APPLY), steps(&fakes), async || Ok(Vec::new())).await.unwrap_err();
    assert!(!error.went_on());
    assert_eq!(
        error.to_string(),
        "the thing the network cannot be changed (Size: 1 → 2): set the spec back, or make a new cluster and move the services over"
    );
    assert!(done.all().is_empty());
    // A reference to what is not known yet is no difference.
    let refers =
        Fake { immutable: &[Property::Other], refers_to: Some("network"), ..fake(&done, "subnet", &[]).there("2") };
    check(&(), &Nowhere::new(APPLY), &steps(std::slice::from_ref(&refers))).await.unwrap();
    // What is adopted is observed whatever it is, so that its id is known.
    let mut run = Nowhere::new(APPLY);
    run.adopted.push("adopted");
    check(&(), &run, &steps(&[fake(&done, "adopted", &[]).there("2"), fake(&done, "other", &[]).there("2")]))
        .await
        .unwrap();
    assert_eq!((run.ledger().id("adopted").as_deref(), run.ledger().id("other")), (Some("adopted-1"), None));
}

#[tokio::test]
async fn data_stays_unless_it_is_to_be_deleted_and_what_waits_is_noted() {
    let done = Done::default();
    let fakes =
        [Fake { holds_data: true, ..fake(&done, "bucket", &[]).there("2") }, fake(&done, "vpc", &[]).there("2")];
    let keeping = Mode::Destroy { plan: false, delete_data: false };
    destroy(&(), &Nowhere::new(keeping), &steps(&fakes)).await.unwrap();
    assert_eq!(done.all(), ["delete vpc"]);
    destroy(&(), &Nowhere::new(DESTROY), &steps(&fakes)).await.unwrap();
    assert_eq!(done.all(), ["delete vpc", "delete bucket"]);

    let run = Nowhere::new(APPLY);
    run_forwards(&(), &run, &steps(&[Fake { waits: true, ..fake(&done, "listener", &[]) }])).await.unwrap();
    assert_eq!(run.ledger().take_report().notes, ["listener waits"]);
    assert_eq!(done.all().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_confirmed_is_not_made_and_no_further_step_is_started() {
    let done = Done::default();
    let shown = [fake(&done, "a", &[]), fake(&done, "b", &["a"]), fake(&done, "c", &["b"])];
    let report = planned(&shown).await;
    // Somebody else has made `b` since, and otherwise.
    *shown[1].there.lock().unwrap() = Some("7");
    let run = Nowhere::new(APPLY).holding_to(Confirmed::of(&report));
    let error = run_forwards(&(), &run, &steps(&shown)).await.unwrap_err().to_string();
    assert!(error.contains("the account has changed since the plan was shown"), "{error}");
    assert!(error.contains("~ thing the b (Size: 7 → 2): it was not shown"), "{error}");
    assert!(error.contains("not tried because of that: c"), "{error}");
    assert_eq!(done.all(), ["create a"]);

    // Also what does not depend on it: nobody knows what else is otherwise.
    let done = Done::default();
    let late = [
        fake(&done, "new", &[]).there("2"),
        Fake { slow: true, ..fake(&done, "slow", &[]).there("2") },
        fake(&done, "after", &["slow"]).there("2"),
    ];
    let deletion = |component: &str| Change {
        action: Action::Delete,
        kind: "thing",
        name: format!("the {component}"),
        component: component.to_owned(),
        differences: Vec::new(),
    };
    let shown = Report { changes: ["slow", "after"].map(deletion).to_vec(), notes: Vec::new() };
    let run = Nowhere::new(DESTROY).holding_to(Confirmed::of(&shown));
    let error = destroy(&(), &run, &steps(&late)).await.unwrap_err().to_string();
    assert!(error.contains("- thing the new: it was not shown"), "{error}");
    assert_eq!(done.all(), ["delete after"], "what was under way ends, and nothing is started after it");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_interrupted_is_carried_on_and_nothing_is_made_twice() {
    let done = Done::default();
    let slow = |component, depends_on| Fake { slow: true, ..fake(&done, component, depends_on) };
    let fakes = [slow("a", &[]), slow("b", &["a"]), slow("c", &["b"])];
    let interrupted = tokio::time::timeout(Duration::from_millis(30), applied(&fakes)).await;
    assert!(interrupted.is_err());
    assert_eq!(done.all(), ["create a"], "b was under way and is lost");
    applied(&fakes).await.unwrap();
    assert_eq!(done.all(), ["create a", "create b", "create c"]);
}

#[tokio::test]
async fn whoever_listens_is_told_of_every_change_and_a_plan_finishes_none() {
    for (mode, expected) in [
        (APPLY, &["started the a", "finished the a", "started the b", "failed the b"][..]),
        (PLAN, &["started the a", "started the b"]),
    ] {
        let told = Done::default();
        let listener = told.clone();
        let ledger = Ledger::new(
            mode,
            Box::new(move |event| {
                listener.say(match event {
                    Event::Started(change) => format!("started {}", change.name),
                    Event::Finished(change, _) => format!("finished {}", change.name),
                    Event::Failed(change) => format!("failed {}", change.name),
                    Event::Note(text) => text.to_owned(),
                });
            }),
        );
        let done = Done::default();
        let fakes = [fake(&done, "a", &[]), Fake { refuses: true, ..fake(&done, "b", &["a"]) }];
        let outcome = run_forwards(&(), &Nowhere::with(ledger), &steps(&fakes)).await;
        assert_eq!(outcome.is_err(), mode == APPLY);
        assert_eq!(told.all(), expected);
    }
}
