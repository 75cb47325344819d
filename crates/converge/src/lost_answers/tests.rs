//! A resource whose creation is answered, lost or refused, in a place that somebody else uses, too.

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::*;
use crate::testing::{APPLY, Failure, Nowhere, OURS as NO_ANSWER, Property};
use crate::{Differences, Fields};

const OURS: &str = "ours";
const THEIRS: &str = "theirs";

/// What a creation does, and how it is answered.
#[derive(Clone, Copy)]
enum Answer {
    /// It is made, and said to be.
    Made,
    /// It is made, and nobody says so.
    Lost,
    /// It is not made, and nobody says so.
    Down,
    /// It is refused.
    Code(&'static str),
    /// A part of it is done, and the rest refused.
    Half(&'static str),
}

struct Thing {
    answers: Mutex<Vec<Answer>>,
    /// Whose it is that is there: the tag, and whether it is finished.
    there: Mutex<Option<(&'static str, bool)>>,
    /// How many observations find nothing of it yet.
    hidden: Mutex<u32>,
    calls: Mutex<Vec<&'static str>>,
}

impl Thing {
    fn new(answers: &[Answer], there: Option<(&'static str, bool)>) -> Self {
        let answers = Mutex::new(answers.iter().rev().copied().collect());
        Self { answers, there: Mutex::new(there), hidden: Mutex::new(0), calls: Mutex::default() }
    }

    fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

impl Resource<Nowhere> for Thing {
    type Observed = (&'static str, bool);

    fn kind(&self) -> &'static str {
        "thing"
    }

    fn name(&self, _: &Nowhere) -> String {
        "the thing".to_owned()
    }

    fn component(&self) -> String {
        "thing".to_owned()
    }

    async fn observe(&self, (): &(), _: &Nowhere) -> Result<Option<Self::Observed>, Failure> {
        let mut hidden = self.hidden.lock().unwrap();
        if *hidden > 0 {
            *hidden -= 1;
            return Ok(None);
        }
        Ok(*self.there.lock().unwrap())
    }

    fn id(&self, _: &Self::Observed) -> String {
        "thing-1".to_owned()
    }

    fn desired(&self, _: &Nowhere) -> Result<Fields<Property>, Failure> {
        let tags = [("owner".to_owned(), OURS.to_owned())];
        Ok(Fields::new().with(Property::Finished, true).with_desired_tags(&tags))
    }

    fn current(&self, _: &Nowhere, (owner, finished): &Self::Observed) -> Fields<Property> {
        Fields::new()
            .with(Property::Finished, finished)
            .with_tags([("owner", *owner)], &[("owner".to_owned(), OURS.to_owned())])
    }

    async fn create(&self, (): &(), _: &Nowhere) -> Result<String, Failure> {
        self.calls.lock().unwrap().push("create");
        let answer = self.answers.lock().unwrap().pop().expect("no further creation");
        let make = |finished| *self.there.lock().unwrap() = Some((OURS, finished));
        match answer {
            Answer::Made => {
                make(true);
                Ok("thing-1".to_owned())
            }
            Answer::Lost => {
                make(false);
                Err(Failure(None))
            }
            Answer::Down => Err(Failure(None)),
            Answer::Half(code) | Answer::Code(code) => Err(Failure(Some(code))),
        }
    }

    async fn update(&self, (): &(), _: &Nowhere, _: &Self::Observed, _: &Differences<Property>) -> Result<(), Failure> {
        self.calls.lock().unwrap().push("update");
        Ok(())
    }

    /// Takes its owner's mark off first, and then the thing itself.
    async fn delete(&self, (): &(), _: &Nowhere, _: &Self::Observed) -> Result<(), Failure> {
        self.calls.lock().unwrap().push("delete");
        let answer = self.answers.lock().unwrap().pop().expect("no further deletion");
        match answer {
            Answer::Made => {
                *self.there.lock().unwrap() = None;
                Ok(())
            }
            Answer::Lost => {
                *self.there.lock().unwrap() = None;
                Err(Failure(None))
            }
            Answer::Down => Err(Failure(None)),
            Answer::Half(code) => {
                *self.there.lock().unwrap() = Some((OURS, false));
                Err(Failure(Some(code)))
            }
            Answer::Code(code) => Err(Failure(Some(code))),
        }
    }
}

fn nowhere() -> Nowhere {
    Nowhere::new(APPLY)
}

async fn created(thing: &Thing) -> Result<String, String> {
    create(thing, &(), &nowhere()).await.map_err(|error| error.to_string())
}

#[tokio::test(start_paused = true)]
async fn what_was_made_without_an_answer_is_found_and_finished_and_not_made_twice() {
    let thing = Thing::new(&[Answer::Lost], None);
    *thing.hidden.lock().unwrap() = 4;
    assert_eq!(created(&thing).await.unwrap(), "thing-1");
    assert_eq!(thing.calls(), ["create", "update"]);
    // The SDK has tried again by itself.
    let thing = Thing::new(&[Answer::Code("ThingExists")], Some((OURS, true)));
    assert_eq!(created(&thing).await.unwrap(), "thing-1");
    assert_eq!(thing.calls(), ["create"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_made_is_made_again_and_not_for_ever() {
    let thing = Thing::new(&[Answer::Down, Answer::Made], None);
    let begun = tokio::time::Instant::now();
    assert_eq!(created(&thing).await.unwrap(), "thing-1");
    assert_eq!(thing.calls(), ["create", "create"]);
    assert!(begun.elapsed() > VISIBLE.total / 2, "not before AWS has had time to show it");
    let thing = Thing::new(&[Answer::Down; CREATIONS], None);
    assert!(created(&thing).await.unwrap_err().contains("CreateThing"));
    assert_eq!(thing.calls().len(), CREATIONS);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_ours_stays_what_it_is_and_the_refusal_is_told() {
    for there in [None, Some((THEIRS, true))] {
        let thing = Thing::new(&[Answer::Code("ThingExists")], there);
        assert!(created(&thing).await.unwrap_err().contains("ThingExists"), "{there:?}");
        assert_eq!(thing.calls(), ["create"], "{there:?}");
    }
    let (thing, run) = (Thing::new(&[Answer::Code("ThingAlreadyExists")], Some((THEIRS, true))), nowhere());
    assert!(create(&thing, &(), &run).await.is_err());
    assert_eq!(run.ledger().id("thing"), None, "nothing depends on it");
}

#[tokio::test(start_paused = true)]
async fn a_plain_refusal_is_told_at_once() {
    let thing = Thing::new(&[Answer::Code("ThingLimitExceeded")], Some((OURS, true)));
    let begun = tokio::time::Instant::now();
    assert!(created(&thing).await.unwrap_err().contains("ThingLimitExceeded"));
    assert!(begun.elapsed().is_zero());
}

async fn deleted(thing: &Thing) -> Result<(), String> {
    delete(thing, &(), &nowhere(), &(OURS, true)).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn what_was_deleted_without_an_answer_is_gone_and_what_is_left_is_deleted() {
    let there = Some((OURS, true));
    for (answers, calls) in [
        (&[Answer::Lost][..], 1),
        (&[Answer::Code("ValidationError")], 1),
        (&[Answer::Down, Answer::Made], 2),
        (&[Answer::Half("NotAttached"), Answer::Made], 2),
        (&[Answer::Half("PolicyNotFound"), Answer::Made], 2),
        (&[Answer::Down, Answer::Down, Answer::Lost], 3),
    ] {
        let thing = Thing::new(answers, there.filter(|_| !matches!(answers, [Answer::Code(_)])));
        let outcome = deleted(&thing).await;
        assert_eq!(thing.calls().len(), calls, "{outcome:?}");
        assert!(outcome.is_ok(), "{outcome:?}");
        assert_eq!(*thing.there.lock().unwrap(), None);
    }
    // It is seen for a moment after its end.
    assert!(deleted(&Thing::new(&[Answer::Code("ThingNotFound")], there)).await.is_ok());
}

#[tokio::test]
async fn what_cannot_be_deleted_is_told_and_not_tried_for_ever() {
    let thing = Thing::new(&[Answer::Code("DependencyViolation")], Some((OURS, true)));
    assert!(deleted(&thing).await.unwrap_err().contains("DependencyViolation"));
    assert_eq!(thing.calls(), ["delete"]);
    let thing = Thing::new(&[Answer::Down; DELETIONS], Some((OURS, true)));
    assert!(deleted(&thing).await.is_err());
    assert_eq!(thing.calls().len(), DELETIONS);
}

#[tokio::test(start_paused = true)]
async fn what_is_observed_again_is_observed_afresh_and_shares_the_ledger() {
    let (thing, run) = (Thing::new(&[Answer::Lost], None), nowhere());
    *thing.hidden.lock().unwrap() = 2;
    run.ledger().note_id("vpc", "vpc-1");
    assert_eq!(create(&thing, &(), &run).await.unwrap(), "thing-1");
    assert_eq!(run.afresh.load(Ordering::Relaxed), 3);
    let other = run.afresh();
    assert_eq!(other.ledger().id("vpc").as_deref(), Some("vpc-1"));
    other.ledger().note_id("balancer", "arn");
    other.ledger().note("a note".to_owned());
    assert_eq!(run.ledger().id("balancer").as_deref(), Some("arn"));
    assert_eq!(run.ledger().take_report().notes, ["a note"]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_is_no_answer_is_told_at_once() {
    let thing = Thing::new(&[Answer::Code(NO_ANSWER)], Some((OURS, true)));
    assert!(created(&thing).await.is_err());
    let thing = Thing::new(&[Answer::Code(NO_ANSWER)], Some((OURS, true)));
    assert!(deleted(&thing).await.is_err());
    assert_eq!(thing.calls(), ["delete"]);
}
