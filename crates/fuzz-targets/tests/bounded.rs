//! Every target with so many inputs, the same ones at each run. With `FUTUSWARM_FUZZ_SEED` and `FUTUSWARM_FUZZ_INPUTS` others and more;
//! with `FUTUSWARM_FUZZ_FIRST` the one again that has failed.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use futuswarm_fuzz_targets::{Memory, TARGETS, rounds};
use futuswarm_output::println;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The memory of this process is one for all of its threads: one target at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Inputs of each target.
const INPUTS: u64 = 20_000;
const SEED: u64 = 11;

struct Measured;

impl Memory for Measured {
    fn begin(&self) -> usize {
        MEMORY.reset_peak_usage();
        MEMORY.current_usage()
    }

    fn most(&self) -> usize {
        MEMORY.peak_usage()
    }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, which is no number")))
}

fn seeds(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    // The order of a folder is nobody's, and which input has which number depends on it.
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn hold(name: &str) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let root = futuswarm_paths::workspace_root().unwrap();
    let seeds = seeds(&root.join("fuzz/seeds").join(name));
    let seed = number("FUTUSWARM_FUZZ_SEED").unwrap_or(SEED);
    let first = number("FUTUSWARM_FUZZ_FIRST").unwrap_or(0);
    let last = first + number("FUTUSWARM_FUZZ_INPUTS").unwrap_or(INPUTS);
    match rounds(target, &seeds, seed, first..last, &Measured) {
        Ok(counted) => {
            println!("{name}: inputs {first} to {} of seed {seed}: {counted:?}", last - 1);
            // Whoever only refuses, or takes everything, has tested little.
            if last - first >= INPUTS {
                let few = (last - first) / 200;
                assert!(counted.accepted >= few, "only {} inputs were accepted", counted.accepted);
                assert!(counted.refused >= few, "only {} inputs were refused", counted.refused);
            }
        }
        Err(failure) => {
            let kept = std::env::temp_dir().join(format!("futuswarm-fuzz-{name}-{seed}-{}", failure.number));
            std::fs::write(&kept, &failure.input).unwrap();
            panic!(
                "{failure}\nit is kept in {}\nagain: FUTUSWARM_FUZZ_SEED={seed} FUTUSWARM_FUZZ_FIRST={} FUTUSWARM_FUZZ_INPUTS=1 cargo test -p futuswarm-fuzz-targets --test bounded {name}",
                kept.display(),
                failure.number
            );
        }
    }
}

#[test]
fn protocol() {
    hold("protocol");
}

#[test]
fn app_file() {
    hold("app_file");
}

#[test]
fn dotenv() {
    hold("dotenv");
}

#[test]
fn edge_labels() {
    hold("edge_labels");
}

#[test]
fn image_archive() {
    hold("image_archive");
}

#[cfg(feature = "documents")]
#[test]
fn sealed_document() {
    hold("sealed_document");
}

#[cfg(feature = "documents")]
#[test]
fn document_content() {
    hold("document_content");
}
