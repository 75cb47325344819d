//! What stays and what goes, and, for random repositories, what must hold of both.

use futuswarm_model::Deploying;

use super::*;
use crate::settings::defaults;

const DAY: u64 = YOUNG;
/// A time at which everything of the first days is old.
const NOW: u64 = 100 * DAY;

fn release(number: u64, digest: Option<&str>, outcome: Option<Outcome>) -> Release {
    Release {
        app: "hello".to_owned(),
        number,
        image: format!("hello:{number}"),
        digest: digest.map(str::to_owned),
        has_health_check: None,
        settings: defaults(),
        config: None,
        secrets: None,
        of: None,
        by: "jane".to_owned(),
        created_at: number * DAY,
        deadline: number * DAY + 900_000,
        restart: false,
        cancelled: false,
        superseded: false,
        progress: match outcome {
            Some(outcome) => Progress::Ended { outcome, failure: None, at: number * DAY },
            None => Progress::Preparing,
        },
    }
}

fn record(runs: Option<u64>, deploying: Option<Release>) -> AppRecord {
    let deploying = deploying.map(|release| Deploying { release, holder: String::new(), epoch: 0, until: 0 });
    AppRecord { release: runs, deploying, ..AppRecord::new("hello", "jane", 0) }
}

fn tag_of(release: &Release) -> Option<String> {
    Some(release.image.split_once(':')?.1.to_owned())
}

fn set(names: &[&str]) -> Digests {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn tag(current: &str, at: u64, past: &[(&str, u64)]) -> Tag {
    let past = past.iter().map(|(digest, at)| ((*digest).to_owned(), *at)).collect();
    Tag { current: (!current.is_empty()).then(|| (current.to_owned(), at)), past }
}

fn ages(entries: &[(&str, u64)]) -> BTreeMap<String, u64> {
    entries.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect()
}

#[test]
fn failed_releases_do_not_push_those_out_that_ran() {
    use Outcome::{Deployed, Failed, Unchanged};
    let mut releases = vec![
        release(1, Some("a"), Some(Deployed)),
        release(2, Some("b"), Some(Deployed)),
        release(3, Some("c"), Some(Deployed)),
        release(4, Some("d"), Some(Deployed)),
    ];
    for number in 5..=20 {
        releases.push(release(number, Some("bad"), Some(if number % 2 == 0 { Failed } else { Unchanged })));
    }
    let needs = needs(&record(Some(4), None), &releases, 2, tag_of);
    assert_eq!(needs.manifests, set(&["bad", "c", "d"]));
    assert_eq!((needs.tags.len(), needs.pushed_since), (0, Some(20 * DAY - SKEW)));
}

#[test]
fn what_runs_or_may_be_put_back_is_needed_however_old() {
    let releases: Vec<Release> =
        (1..=9).map(|number| release(number, Some(&format!("d{number}")), Some(Outcome::Deployed))).collect();
    let mut going = release(10, Some("d10"), None);
    going.of = Some(3);
    going.progress = Progress::GoingBack { to: Some(2), outcome: Outcome::Failed, failure: None, until: 0 };
    let mut announcing = going.clone();
    announcing.progress = Progress::Announcing { previous: Some(2), until: 0 };
    for going in [announcing, going.clone()] {
        assert_eq!(named_releases(&record(Some(1), Some(going))), BTreeSet::from([1, 2, 3]));
    }
    let record = record(Some(1), Some(going));
    assert_eq!(needs(&record, &releases, 1, tag_of).manifests, set(&["d1", "d10", "d2", "d3", "d9"]));
}

#[test]
fn a_release_on_its_way_keeps_its_tag_until_its_digest_is_known() {
    let releases = [release(1, Some("a"), Some(Outcome::Deployed))];
    let waiting = record(Some(1), Some(release(2, None, None)));
    let needed = needs(&waiting, &releases, 10, tag_of);
    assert_eq!((needed.manifests, needed.tags), (set(&["a"]), set(&["2"])));
    let known = record(Some(1), Some(release(2, Some("b"), None)));
    let needed = needs(&known, &releases, 10, tag_of);
    assert_eq!((needed.manifests, needed.tags), (set(&["a", "b"]), set(&[])));
}

#[test]
fn tags_stay_that_are_young_needed_or_not_deployed_yet() {
    let repository = Repository {
        tags: BTreeMap::from([
            ("old".to_owned(), tag("a", DAY, &[("a", DAY)])),
            ("runs".to_owned(), tag("b", 2 * DAY, &[("a", DAY), ("b", 2 * DAY), ("y", NOW - 1)])),
            ("asked".to_owned(), tag("c", DAY, &[])),
            ("young".to_owned(), tag("d", NOW - DAY + 1, &[])),
            ("next".to_owned(), tag("e", 50 * DAY, &[])),
            ("left".to_owned(), tag("", 0, &[("f", DAY)])),
            ("leaving".to_owned(), tag("", 0, &[("f", NOW)])),
        ]),
        manifests: ages(&[
            ("a", DAY),
            ("b", DAY),
            ("c", DAY),
            ("d", DAY),
            ("e", DAY),
            ("f", DAY),
            ("g", NOW),
            ("h", 0),
        ]),
        layers: BTreeMap::new(),
        uploads: ages(&[("going-on", NOW - ABANDONED + 1), ("given-up", NOW - ABANDONED)]),
    };
    let needs = Needs { manifests: set(&["b", "elsewhere"]), tags: set(&["asked"]), pushed_since: Some(50 * DAY) };
    let gone = unneeded(&repository, &needs, &set(&["h"]), |_| Digests::new(), NOW);
    assert_eq!(gone.tags, set(&["left", "old"]));
    assert_eq!(gone.past, BTreeSet::from([("runs".to_owned(), "a".to_owned())]));
    assert_eq!(gone.manifests, set(&["a", "f"]), "young and promised ones stay");
    assert_eq!(gone.uploads, set(&["given-up"]));
    // Without an app nothing is needed but what is young.
    let gone = unneeded(&repository, &Needs::default(), &Digests::new(), |_| Digests::new(), NOW);
    assert_eq!(gone.tags, set(&["asked", "left", "next", "old", "runs"]));
    assert_eq!(gone.manifests, set(&["a", "b", "c", "e", "f", "h"]));
    // Of an app that was never deployed every tag is still to be deployed.
    let never = super::needs(&record(None, None), &[], 10, tag_of);
    assert_eq!(unneeded(&repository, &never, &Digests::new(), |_| Digests::new(), NOW).tags, set(&["left"]));
}

#[test]
fn an_index_keeps_what_it_names() {
    let repository = Repository {
        tags: BTreeMap::from([("1".to_owned(), tag("index", DAY, &[]))]),
        manifests: ages(&[("index", DAY), ("amd64", DAY), ("arm64", DAY), ("other", DAY)]),
        ..Repository::default()
    };
    let children = |digest: &str| if digest == "index" { set(&["amd64", "arm64", "index", "gone"]) } else { set(&[]) };
    let needs = Needs { manifests: set(&["index"]), ..Needs::default() };
    assert_eq!(unneeded(&repository, &needs, &Digests::new(), children, NOW).manifests, set(&["other"]));
}

#[test]
fn layers_and_blobs_go_when_nothing_names_them_for_a_day() {
    let layers = ages(&[("named", DAY), ("promised", DAY), ("young", NOW - DAY + 1), ("old", NOW - DAY)]);
    let repository = Repository { layers: layers.clone(), ..Repository::default() };
    assert_eq!(unneeded_layers(&repository, &set(&["named"]), &set(&["promised"]), NOW), set(&["old"]));
    assert_eq!(garbage(&layers, &set(&["named", "promised"]), NOW), set(&["old"]));
}

/// A repository by chance, in which every manifest `mN` names the layers `lN` and `lN+1`.
fn random(rng: &mut fastrand::Rng) -> Repository {
    let mut repository = Repository::default();
    for number in 0..rng.u64(1..12) {
        repository.manifests.insert(format!("m{number}"), rng.u64(..NOW));
        for layer in number..=number + 1 {
            repository.layers.insert(format!("l{layer}"), rng.u64(..NOW));
        }
        for _ in 0..rng.u8(..3) {
            let tag = repository.tags.entry(format!("t{}", rng.u8(..6))).or_default();
            tag.past.insert(format!("m{number}"), rng.u64(..NOW));
            tag.current = Some((format!("m{number}"), rng.u64(..NOW)));
        }
    }
    repository
}

fn named(manifests: impl Iterator<Item = u64>) -> Digests {
    manifests.flat_map(|number| [format!("l{number}"), format!("l{}", number + 1)]).collect()
}

fn number(digest: &str) -> u64 {
    digest[1..].parse().unwrap()
}

#[test]
fn whatever_goes_no_tag_that_stays_misses_anything_and_nothing_needed_or_young_goes() {
    let mut rng = fastrand::Rng::with_seed(11);
    let mut went = 0;
    for _ in 0..3000 {
        let repository = random(&mut rng);
        let mut some = |most: u64| (0..most).filter(|_| rng.bool()).map(|number| format!("m{number}")).collect();
        let (needed, promised): (Digests, Digests) = (some(12), some(3));
        let needs = Needs { manifests: needed.clone(), tags: set(&["t1"]), pushed_since: Some(98 * DAY) };
        let gone = unneeded(&repository, &needs, &promised, |_| Digests::new(), NOW);
        went += gone.manifests.len();
        let stay = repository.manifests.keys().filter(|digest| !gone.manifests.contains(*digest));
        let layers = unneeded_layers(&repository, &named(stay.map(|digest| number(digest))), &promised, NOW);
        for (name, tag) in repository.tags.iter().filter(|(name, _)| !gone.tags.contains(*name)) {
            let (digest, _) = tag.current.as_ref().unwrap();
            assert!(!gone.manifests.contains(digest), "{name} names {digest}: {repository:?} {needs:?}");
            for layer in named(std::iter::once(number(digest))) {
                assert!(!layers.contains(&layer), "{name} needs {layer}: {repository:?} {needs:?}");
            }
        }
        assert!(gone.manifests.is_disjoint(&needed) && gone.manifests.is_disjoint(&promised));
        let young =
            |entries: &BTreeMap<String, u64>, gone: &Digests| gone.iter().any(|one| is_young(entries[one], NOW));
        assert!(!young(&repository.manifests, &gone.manifests) && !young(&repository.layers, &layers));
    }
    assert!(went > 1000, "only {went} manifests went");
}
