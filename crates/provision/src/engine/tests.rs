//! The graph with resources of which there is nothing but a record of what was done with them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::{Confirmed, Extras, Report};

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
    part: &'static str,
    needs: &'static [&'static str],
    observed: Option<&'static str>,
    refuses: bool,
    renews: bool,
    slow: bool,
    /// The part whose id is its second field.
    refers_to: Option<&'static str>,
    done: Done,
}

impl Fake {
    async fn make(&self, what: &str) -> Result<(), Error> {
        if self.slow {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.done.say(format!("{what} {}", self.part));
        match self.refuses {
            true => Err(Error::Missing("refused".to_owned())),
            false => Ok(()),
        }
    }
}

impl Resource for Fake {
    type Found = &'static str;

    fn kind(&self) -> &'static str {
        "thing"
    }

    fn name(&self, _: &Cloud) -> String {
        format!("the {}", self.part)
    }

    fn part(&self) -> String {
        self.part.to_owned()
    }

    fn needs(&self) -> Vec<String> {
        self.needs.iter().map(|need| (*need).to_owned()).collect()
    }

    async fn observe(&self, _: &Cloud) -> Result<Option<&'static str>, Error> {
        Ok(self.observed)
    }

    fn id(&self, _: &&'static str) -> String {
        format!("{}-1", self.part)
    }

    fn wanted(&self, cloud: &Cloud) -> Result<Fields, Error> {
        let fields = Fields::new().with("size", "2");
        Ok(fields.with_some("other", self.refers_to.map(|part| cloud.id_or_unknown(part))))
    }

    fn current(&self, _: &Cloud, observed: &&'static str) -> Fields {
        Fields::new().with("size", observed).with_some("other", self.refers_to.map(|part| format!("{part}-1")))
    }

    fn renews(&self) -> bool {
        self.renews
    }

    async fn create(&self, _: &Cloud) -> Result<String, Error> {
        self.make("create").await.map(|()| format!("{}-1", self.part))
    }

    async fn update(&self, cloud: &Cloud, _: &&'static str, _: Changed<'_>) -> Result<(), Error> {
        if self.renews {
            cloud.note_id(self.part.to_owned(), format!("{}-2", self.part));
        }
        self.make("update").await
    }

    async fn delete(&self, _: &Cloud, _: &&'static str) -> Result<(), Error> {
        self.make("delete").await
    }
}

const APPLY: Mode = Mode::Apply { plan: false };
const PLAN: Mode = Mode::Apply { plan: true };
const DESTROY: Mode = Mode::Destroy { plan: false, delete_data: true };

fn cloud() -> Cloud {
    Cloud::nowhere(Extras::default(), Box::new(|_| {}))
}

fn fake(done: &Done, part: &'static str, needs: &'static [&'static str]) -> Fake {
    Fake { part, needs, done: done.clone(), ..Fake::default() }
}

fn steps(fakes: &[Fake]) -> Vec<Box<dyn Step>> {
    fakes.iter().cloned().map(step).collect()
}

async fn planned(fakes: &[Fake]) -> Report {
    let cloud = cloud();
    run(&cloud, &steps(fakes), PLAN, Direction::Forwards).await.unwrap();
    cloud.take_report()
}

#[tokio::test]
async fn what_a_step_needs_goes_first_and_goes_last_when_things_are_deleted() {
    let done = Done::default();
    let network = Fake { slow: true, ..fake(&done, "network", &[]) };
    let fakes = [
        fake(&done, "node", &["subnet", "role"]),
        fake(&done, "subnet", &["network"]),
        fake(&done, "role", &[]),
        network,
    ];
    run(&cloud(), &steps(&fakes), APPLY, Direction::Forwards).await.unwrap();
    assert_eq!(done.all(), ["create role", "create network", "create subnet", "create node"]);

    let done = Done::default();
    let there = fakes.map(|one| Fake { observed: Some("2"), done: done.clone(), ..one });
    run(&cloud(), &steps(&there), DESTROY, Direction::Backwards).await.unwrap();
    assert_eq!(done.all(), ["delete node", "delete subnet", "delete role", "delete network"]);
}

#[tokio::test]
async fn a_cycle_is_named_and_nothing_is_run() {
    for direction in [Direction::Forwards, Direction::Backwards] {
        let done = Done::default();
        let fakes = [
            fake(&done, "free", &[]),
            fake(&done, "behind", &["b"]),
            fake(&done, "a", &["b", "free"]),
            fake(&done, "b", &["c"]),
            fake(&done, "c", &["a"]),
        ];
        let error = run(&cloud(), &steps(&fakes), APPLY, direction).await.unwrap_err().to_string();
        let cycle = match direction {
            Direction::Forwards => "none of them was run: b → c → a → b",
            Direction::Backwards => "none of them was run: a → c → b → a",
        };
        assert!(error.starts_with("these steps wait for each other") && error.ends_with(cycle), "{error}");
        assert!(done.all().is_empty(), "{:?}", done.all());
    }
    let done = Done::default();
    let error = run(&cloud(), &steps(&[fake(&done, "a", &["a"])]), APPLY, Direction::Forwards).await;
    assert!(error.unwrap_err().to_string().ends_with(": a → a"));
}

#[tokio::test]
async fn two_steps_that_make_one_part_are_refused_and_two_that_delete_one_are_both_run() {
    let done = Done::default();
    let twice = [fake(&done, "balancer", &[]), fake(&done, "names", &["balancer"]), fake(&done, "balancer", &[])];
    let error = run(&cloud(), &steps(&twice), APPLY, Direction::Forwards).await.unwrap_err();
    assert!(error.to_string().starts_with("two steps make the part balancer"), "{error}");
    assert!(done.all().is_empty());

    let there = twice.map(|one| Fake { observed: Some("2"), slow: one.part == "names", ..one });
    run(&cloud(), &steps(&there), DESTROY, Direction::Backwards).await.unwrap();
    assert_eq!(done.all(), ["delete names", "delete balancer", "delete balancer"]);
}

#[tokio::test]
async fn what_no_step_makes_is_missed_before_anything_is_run() {
    let done = Done::default();
    let fakes = [fake(&done, "a", &[]), fake(&done, "b", &["lost"])];
    let error = run(&cloud(), &steps(&fakes), APPLY, Direction::Forwards).await.unwrap_err();
    assert_eq!(error.to_string(), "b needs lost, which no step makes");
    assert!(done.all().is_empty());
    // What is deleted may have outlived it.
    let there = fakes.map(|one| Fake { observed: Some("2"), ..one });
    run(&cloud(), &steps(&there), DESTROY, Direction::Backwards).await.unwrap();
    assert_eq!(done.all().len(), 2);
}

#[tokio::test]
async fn a_failure_stops_what_hangs_on_it_and_nothing_else() {
    let done = Done::default();
    let broken = |part| Fake { refuses: true, ..fake(&done, part, &[]) };
    let fakes = [
        broken("a"),
        broken("z"),
        fake(&done, "behind a", &["a"]),
        fake(&done, "far behind a", &["behind a"]),
        Fake { slow: true, ..fake(&done, "c", &[]) },
        fake(&done, "behind c", &["c"]),
    ];
    let error = run(&cloud(), &steps(&fakes), APPLY, Direction::Forwards).await.unwrap_err();
    let Error::Several { errors, stuck } = &error else { panic!("{error}") };
    assert_eq!((errors.len(), stuck.as_slice()), (2, &["behind a".to_owned(), "far behind a".to_owned()][..]));
    let text = error.to_string();
    assert!(text.starts_with("2 things failed:\n  thing the a in ") && text.contains("thing the z in "), "{text}");
    assert!(text.ends_with("not tried because of that: behind a, far behind a"), "{text}");
    assert_eq!(done.all(), ["create a", "create z", "create c", "create behind c"]);
}

#[tokio::test]
async fn no_more_than_so_many_steps_run_at_a_time_and_all_are_run() {
    let done = Done::default();
    let many: Vec<Fake> = (0..3 * AT_A_TIME)
        .map(|number| Fake { slow: true, ..fake(&done, String::leak(format!("part {number}")), &[]) })
        .collect();
    let started = Instant::now();
    run(&cloud(), &steps(&many), APPLY, Direction::Forwards).await.unwrap();
    assert_eq!(done.all().len(), 3 * AT_A_TIME);
    assert!(started.elapsed() >= Duration::from_millis(60), "in three rounds: {:?}", started.elapsed());
}

#[tokio::test]
async fn a_plan_changes_nothing_and_knows_what_hangs_on_an_id_that_is_not_there_yet() {
    let done = Done::default();
    let fakes = [
        Fake { observed: Some("1"), renews: true, ..fake(&done, "template", &[]) },
        Fake { observed: Some("2"), refers_to: Some("template"), ..fake(&done, "group", &["template"]) },
        Fake { observed: Some("2"), ..fake(&done, "right already", &[]) },
    ];
    let report = planned(&fakes).await;
    let texts: Vec<String> =
        report.changes.iter().map(|change| format!("{change} {}", change.differences[0])).collect();
    assert_eq!(
        texts,
        ["~ thing the template size: 1 → 2", "~ thing the group other: template-1 → (known after apply)"]
    );
    assert!(done.all().is_empty());

    // And it is what is done: the id that is known by then is the one that was not known.
    let cloud = cloud().holding_to(Confirmed::of(&report));
    run(&cloud, &steps(&fakes), APPLY, Direction::Forwards).await.unwrap();
    assert_eq!(done.all(), ["update template", "update group"]);
}

#[tokio::test]
async fn what_was_not_confirmed_is_not_made_and_no_further_step_is_begun() {
    let done = Done::default();
    let shown = [fake(&done, "a", &[]), fake(&done, "b", &["a"]), fake(&done, "c", &["b"])];
    let report = planned(&shown).await;
    // Somebody else has made `b` since, and otherwise.
    let mut now = shown.clone();
    now[1].observed = Some("7");
    let cloud = cloud().holding_to(Confirmed::of(&report));
    let error = run(&cloud, &steps(&now), APPLY, Direction::Forwards).await.unwrap_err().to_string();
    assert!(error.contains("the account has changed since the plan was shown"), "{error}");
    assert!(error.contains("~ thing the b (size: 7 → 2): it was not shown"), "{error}");
    assert!(error.contains("not tried because of that: c"), "{error}");
    assert_eq!(done.all(), ["create a"]);

    // Also what does not hang on it: nobody knows what else is otherwise.
    let done = Done::default();
    let there = Fake { observed: Some("2"), done: done.clone(), ..Fake::default() };
    let late = [
        Fake { part: "new", ..there.clone() },
        Fake { part: "slow", slow: true, ..there.clone() },
        Fake { part: "behind", needs: &["slow"], ..there },
    ];
    let cloud = self::cloud().holding_to(Confirmed::of(&Report {
        changes: ["slow", "behind"]
            .map(|part| Change {
                action: Action::Delete,
                kind: "thing",
                name: format!("the {part}"),
                part: part.to_owned(),
                differences: Vec::new(),
            })
            .to_vec(),
        notes: Vec::new(),
    }));
    let error = run(&cloud, &steps(&late), DESTROY, Direction::Backwards).await.unwrap_err().to_string();
    assert!(error.contains("- thing the new: it was not shown"), "{error}");
    assert_eq!(done.all(), ["delete behind"], "what was under way ends, and nothing is begun after it");
}
