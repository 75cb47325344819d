//! A resource whose creation is answered, lost or refused, on an account that somebody else uses, too.

use std::sync::Mutex;

use super::*;
use crate::Extras;
use crate::plan::Fields;

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
    /// How many looks see nothing of it yet.
    unseen: Mutex<u32>,
    calls: Mutex<Vec<&'static str>>,
}

impl Thing {
    fn new(answers: &[Answer], there: Option<(&'static str, bool)>) -> Self {
        let answers = Mutex::new(answers.iter().rev().copied().collect());
        Self { answers, there: Mutex::new(there), unseen: Mutex::new(0), calls: Mutex::default() }
    }

    fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

fn failure(code: Option<&str>) -> Error {
    futuswarm_aws::Error::from(futuswarm_aws::Failure {
        operation: "CreateThing",
        code: code.map(str::to_owned),
        message: "dispatch failure".to_owned(),
        request_id: None,
        status: code.map(|_| 400),
    })
    .into()
}

impl Resource for Thing {
    type Found = (&'static str, bool);

    fn kind(&self) -> &'static str {
        "thing"
    }

    fn name(&self, _: &Cloud) -> String {
        "the thing".to_owned()
    }

    fn part(&self) -> String {
        "thing".to_owned()
    }

    async fn observe(&self, _: &Cloud) -> Result<Option<Self::Found>, Error> {
        let mut unseen = self.unseen.lock().unwrap();
        if *unseen > 0 {
            *unseen -= 1;
            return Ok(None);
        }
        Ok(*self.there.lock().unwrap())
    }

    fn id(&self, _: &Self::Found) -> String {
        "thing-1".to_owned()
    }

    fn wanted(&self, _: &Cloud) -> Result<Fields, Error> {
        let tags = [("owner".to_owned(), OURS.to_owned())];
        Ok(Fields::new().with("finished", true).with_wanted_tags(&tags))
    }

    fn current(&self, _: &Cloud, (owner, finished): &Self::Found) -> Fields {
        Fields::new()
            .with("finished", finished)
            .with_tags([("owner", *owner)], &[("owner".to_owned(), OURS.to_owned())])
    }

    async fn create(&self, _: &Cloud) -> Result<String, Error> {
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
                Err(failure(None))
            }
            Answer::Down => Err(failure(None)),
            Answer::Half(code) | Answer::Code(code) => Err(failure(Some(code))),
        }
    }

    async fn update(&self, _: &Cloud, _: &Self::Found, _: Changed<'_>) -> Result<(), Error> {
        self.calls.lock().unwrap().push("update");
        Ok(())
    }

    /// Takes its owner's mark off first, and then the thing itself.
    async fn delete(&self, _: &Cloud, _: &Self::Found) -> Result<(), Error> {
        self.calls.lock().unwrap().push("delete");
        let answer = self.answers.lock().unwrap().pop().expect("no further deletion");
        match answer {
            Answer::Made => {
                *self.there.lock().unwrap() = None;
                Ok(())
            }
            Answer::Lost => {
                *self.there.lock().unwrap() = None;
                Err(failure(None))
            }
            Answer::Down => Err(failure(None)),
            Answer::Half(code) => {
                *self.there.lock().unwrap() = Some((OURS, false));
                Err(failure(Some(code)))
            }
            Answer::Code(code) => Err(failure(Some(code))),
        }
    }
}

fn cloud() -> Cloud {
    Cloud::nowhere(Extras::default(), Box::new(|_| {}))
}

async fn created(thing: &Thing) -> Result<String, String> {
    create(thing, &cloud()).await.map_err(|error| error.to_string())
}

#[tokio::test(start_paused = true)]
async fn what_was_made_without_an_answer_is_found_and_finished_and_not_made_twice() {
    let thing = Thing::new(&[Answer::Lost], None);
    *thing.unseen.lock().unwrap() = 4;
    assert_eq!(created(&thing).await.unwrap(), "thing-1");
    assert_eq!(thing.calls(), ["create", "update"]);
    // The SDK has tried again by itself.
    let thing = Thing::new(&[Answer::Code("InvalidThing.Duplicate")], Some((OURS, true)));
    assert_eq!(created(&thing).await.unwrap(), "thing-1");
    assert_eq!(thing.calls(), ["create"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_made_is_made_again_and_not_for_ever() {
    let thing = Thing::new(&[Answer::Down, Answer::Made], None);
    let begun = tokio::time::Instant::now();
    assert_eq!(created(&thing).await.unwrap(), "thing-1");
    assert_eq!(thing.calls(), ["create", "create"]);
    assert!(begun.elapsed() > SEEN.total / 2, "not before AWS has had time to show it");
    let thing = Thing::new(&[Answer::Down; CREATIONS], None);
    assert!(created(&thing).await.unwrap_err().contains("CreateThing"));
    assert_eq!(thing.calls().len(), CREATIONS);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_ours_stays_what_it_is_and_the_refusal_is_told() {
    for there in [None, Some((THEIRS, true))] {
        let thing = Thing::new(&[Answer::Code("InvalidThing.Duplicate")], there);
        assert!(created(&thing).await.unwrap_err().contains("InvalidThing.Duplicate"), "{there:?}");
        assert_eq!(thing.calls(), ["create"], "{there:?}");
    }
    let (thing, cloud) = (Thing::new(&[Answer::Code("AlreadyExists")], Some((THEIRS, true))), cloud());
    assert!(create(&thing, &cloud).await.is_err());
    assert_eq!(cloud.id("thing"), None, "nothing hangs on it");
}

#[tokio::test(start_paused = true)]
async fn a_plain_refusal_is_told_at_once() {
    let thing = Thing::new(&[Answer::Code("ThingLimitExceeded")], Some((OURS, true)));
    let begun = tokio::time::Instant::now();
    assert!(created(&thing).await.unwrap_err().contains("ThingLimitExceeded"));
    assert!(begun.elapsed().is_zero());
}

async fn deleted(thing: &Thing) -> Result<(), String> {
    delete(thing, &cloud(), &(OURS, true)).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn what_was_deleted_without_an_answer_is_gone_and_what_is_left_is_deleted() {
    let there = Some((OURS, true));
    for (answers, calls) in [
        (&[Answer::Lost][..], 1),
        (&[Answer::Code("ValidationError")], 1),
        (&[Answer::Down, Answer::Made], 2),
        (&[Answer::Half("Thing.NotAttached"), Answer::Made], 2),
        (&[Answer::Half("NoSuchEntity"), Answer::Made], 2),
        (&[Answer::Down, Answer::Down, Answer::Lost], 3),
    ] {
        let thing = Thing::new(answers, there.filter(|_| !matches!(answers, [Answer::Code(_)])));
        let outcome = deleted(&thing).await;
        assert_eq!(thing.calls().len(), calls, "{outcome:?}");
        assert!(outcome.is_ok(), "{outcome:?}");
        assert_eq!(*thing.there.lock().unwrap(), None);
    }
    // It is seen for a moment after its end.
    assert!(deleted(&Thing::new(&[Answer::Code("InvalidThing.NotFound")], there)).await.is_ok());
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

#[test]
fn looks_begin_with_nothing_seen_and_share_what_was_noted() {
    let cloud = cloud();
    cloud.note_id("vpc".to_owned(), "vpc-1".to_owned());
    let other = cloud.afresh();
    assert_eq!(other.id("vpc").as_deref(), Some("vpc-1"));
    other.note_id("balancer".to_owned(), "arn".to_owned());
    other.note("a note".to_owned());
    assert_eq!(cloud.id("balancer").as_deref(), Some("arn"));
    assert_eq!(cloud.take_report().notes, ["a note"]);
}
