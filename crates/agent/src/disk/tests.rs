//! Which images go from a disk that fills up, and which never do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futuswarm_faults::{Fault, Faults};
use futuswarm_swarm::fake::{Behaviour, FakeEngine, FakeSwarm};
use futuswarm_swarm::faults::FaultyEngine;
use futuswarm_swarm::{ContainerApi as _, ContainerConfig};

use super::decide::UNUSED;
use super::*;

fn usage(used: u64) -> NodeUsage {
    NodeUsage { disk_bytes: 100, disk_free_bytes: 100 - used, ..NodeUsage::default() }
}

fn image(id: &str, references: &[&str], created_at: i64) -> LocalImage {
    let references = references.iter().map(|name| (*name).to_owned()).collect();
    LocalImage { id: id.to_owned(), references, created_at, bytes: 1 }
}

#[test]
fn water_marks_are_of_what_can_be_written() {
    assert!(!is_fuller(&usage(75), HIGH_WATER) && is_fuller(&usage(76), HIGH_WATER));
    assert!(!is_fuller(&NodeUsage::default(), 0), "a disk that was not measured is not full");
    let large = NodeUsage { disk_bytes: u64::MAX, disk_free_bytes: 0, ..NodeUsage::default() };
    assert!(is_fuller(&large, 99));
}

#[test]
fn only_images_of_the_registry_that_nothing_uses_go_the_oldest_first() {
    let ours = "127.0.0.1:5000/hello@sha256:01";
    let images = [
        image("used", &[ours], 1),
        image("fresh", &[ours], 1),
        image("edge", &["futuswarm/edge:1"], 1),
        image("both", &[ours, "somebody/else:1"], 1),
        image("b", &[ours, "127.0.0.1:5000/other@sha256:01"], 5),
        image("a", &[ours], 9),
        image("dangling", &[], 1),
        image("oldest", &[ours], 9),
    ];
    let used = BTreeSet::from(["used".to_owned()]);
    let unused_for = |id: &str| match id {
        "fresh" => UNUSED - Duration::from_secs(1),
        "oldest" => UNUSED * 3,
        "dangling" => UNUSED,
        _ => UNUSED * 2,
    };
    let ids: Vec<&str> = removable(&images, &used, unused_for).iter().map(|image| image.id.as_str()).collect();
    assert_eq!(ids, ["oldest", "b", "a", "dangling"]);
}

/// A disk of which each image takes a tenth, beside what else is on it.
struct SmallDisk {
    engine: FakeEngine,
    rest: u64,
}

impl Machine for SmallDisk {
    async fn measure(&self) -> Result<NodeUsage, Error> {
        Ok(usage(self.rest + 10 * self.engine.list_images().await?.len() as u64))
    }
}

fn reference(number: u32) -> String {
    format!("127.0.0.1:5000/hello@sha256:{number:02}")
}

async fn machine(images: u32) -> (FakeSwarm, FakeEngine) {
    let world = FakeSwarm::new(3);
    let engine = world.machine("i-1", "10.0.0.1");
    engine.load_image(Path::new("edge.tar")).await.unwrap();
    for number in 1..=images {
        world.push(&reference(number), Behaviour::default());
        engine.pull_image(&reference(number), &mut |_| {}).await.unwrap();
    }
    (world, engine)
}

async fn names(engine: &FakeEngine) -> Vec<String> {
    engine.list_images().await.unwrap().into_iter().flat_map(|image| image.references).collect()
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fills_up_is_emptied_to_the_low_water_mark() {
    let (world, engine) = machine(6).await;
    let mut disk = Disk::new(engine.clone(), SmallDisk { engine: engine.clone(), rest: 0 });
    assert_eq!(disk.round().await.unwrap().usage.unwrap().disk_free_bytes, 30, "70 % are not too much");
    tokio::time::advance(UNUSED).await;
    // The seventh and the eighth come later, and a container is made of the first.
    for number in [7, 8] {
        world.push(&reference(number), Behaviour::default());
        engine.pull_image(&reference(number), &mut |_| {}).await.unwrap();
    }
    let container = ContainerConfig {
        name: "run-1".to_owned(),
        image: reference(1),
        command: Vec::new(),
        mounts: Vec::new(),
        writable: Vec::new(),
        ports: Vec::new(),
        network: "bridge".to_owned(),
        memory_bytes: 1,
        log_megabytes: None,
        environment: Vec::new(),
        user: None,
    };
    engine.create_container(&container).await.unwrap();
    let state = disk.round().await.unwrap();
    assert_eq!((state.usage.unwrap().disk_free_bytes, state.reason), (40, None));
    let left = names(&engine).await;
    let kept = [reference(1), reference(7), reference(8), "edge".to_owned()];
    assert!(left.len() == 6 && kept.iter().all(|name| left.contains(name)), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_stays_full_says_so_and_loses_nothing_that_is_needed() {
    let (_world, engine) = machine(1).await;
    let mut disk = Disk::new(engine.clone(), SmallDisk { engine: engine.clone(), rest: 80 });
    let state = disk.round().await.unwrap();
    assert!(state.reason.unwrap().contains("no image is left"), "the one is too young to go");
    tokio::time::advance(UNUSED).await;
    assert_eq!(disk.round().await.unwrap().reason, None, "it went, and the next round says whether that was enough");
    assert_eq!(names(&engine).await, ["edge"]);
    assert!(disk.round().await.unwrap().reason.unwrap().contains("75 % full"));
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_does_not_answer_costs_a_round_and_no_image_that_is_used() {
    let (_world, engine) = machine(4).await;
    let script = [Fault::None, Fault::None, Fault::None, Fault::Fail, Fault::None, Fault::None, Fault::Lose];
    let faulty = FaultyEngine::new(engine.clone(), Faults::script(script));
    let mut disk = Disk::new(faulty, SmallDisk { engine: engine.clone(), rest: 30 });
    assert!(disk.round().await.is_ok());
    tokio::time::advance(UNUSED).await;
    assert!(disk.round().await.unwrap_err().to_string().contains("container ls"), "nothing is known to be unused");
    assert_eq!(names(&engine).await.len(), 5);
    assert!(disk.round().await.unwrap_err().to_string().contains("image rm"), "the answer was lost");
    let state = disk.round().await.unwrap();
    assert_eq!((state.usage.unwrap().disk_free_bytes, state.reason), (30, None), "what was removed is gone");
}

/// A disk that cannot be measured while it is broken.
struct Fragile {
    disk: SmallDisk,
    broken: Arc<AtomicBool>,
}

impl Machine for Fragile {
    async fn measure(&self) -> Result<NodeUsage, Error> {
        match self.broken.load(Ordering::Relaxed) {
            true => Err(files::Error::new(Path::new(DOCKER), "input/output error").into()),
            false => self.disk.measure().await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_is_told_and_tried_again() {
    let (_world, engine) = machine(1).await;
    let faulty = FaultyEngine::new(engine.clone(), Faults::script([Fault::Fail]));
    let broken = Arc::new(AtomicBool::new(false));
    let machine = Fragile { disk: SmallDisk { engine, rest: 0 }, broken: Arc::clone(&broken) };
    let (sender, mut state) = watch::channel(State::default());
    let _keeping = tokio::spawn(keep(faulty, machine, sender));
    for _ in 0..2 {
        // The engine is away at first, which is no news; what was measured is.
        state.changed().await.unwrap();
        assert_eq!(*state.borrow_and_update(), State { usage: Some(usage(20)), reason: None });
    }
    broken.store(true, Ordering::Relaxed);
    state.changed().await.unwrap();
    let told = state.borrow_and_update().clone();
    assert!(told.usage.is_none() && told.reason.unwrap().starts_with("the disk: /var/lib/docker: "));
    broken.store(false, Ordering::Relaxed);
    state.changed().await.unwrap();
    assert_eq!(state.borrow().reason, None);
}

#[test]
fn the_kernel_is_read_as_it_writes() {
    let text = "MemTotal:        4027060 kB\nMemFree:          199316 kB\nMemAvailable:    3050344 kB\nBuffers: 1 kB\n";
    assert_eq!(memory(text), Some((4_027_060 << 10, 3_050_344 << 10)));
    assert_eq!(memory("MemTotal: 1 kB\n"), None);
    assert_eq!(load("0.52 1.58 0.59 1/389 28392\n"), Some(520));
    assert_eq!(load("12.03 "), Some(12_030));
    for text in ["", "1", "a.00", "1.5"] {
        assert_eq!(load(text), None, "{text}");
    }
}

#[tokio::test]
async fn a_machine_that_has_no_engine_says_what_is_missing() {
    match ThisMachine.measure().await {
        // On a machine with Docker.
        Ok(usage) => {
            assert!(usage.disk_bytes > 0 && usage.memory_bytes > 0 && usage.disk_free_bytes <= usage.disk_bytes)
        }
        Err(error) => assert!(error.to_string().contains("/var/lib/docker"), "{error}"),
    }
}
