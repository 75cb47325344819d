//! The seeds in `fuzz/seeds/`: each target has some, those that are made here are what is there, and every target can be fuzzed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use futuswarm_fuzz_targets::{LONGEST, TARGETS, seeds};

fn root() -> PathBuf {
    futuswarm_paths::workspace_root().unwrap().join("fuzz")
}

fn files(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn seeds_that_are_made_are_those_in_the_tree() {
    let bless = std::env::var_os("FUTUSWARM_BLESS").is_some();
    for target in TARGETS {
        let folder = root().join("seeds").join(target.name);
        let made = seeds::made(target.name);
        if bless {
            std::fs::create_dir_all(&folder).unwrap();
            for (name, bytes) in &made {
                std::fs::write(folder.join(name), bytes).unwrap();
            }
        }
        for (name, bytes) in &made {
            let path = folder.join(name);
            let there = std::fs::read(&path).unwrap_or_default();
            assert!(there == *bytes, "{}: FUTUSWARM_BLESS=1 writes it as it is made now", path.display());
        }
        if !made.is_empty() {
            let names: BTreeSet<String> = made.iter().map(|(name, _)| (*name).to_owned()).collect();
            assert_eq!(files(&folder), names, "{}", folder.display());
        }
    }
}

#[cfg(feature = "documents")]
#[test]
fn a_sealed_document_is_among_the_seeds_and_opens() {
    let path = root().join("seeds/sealed_document/sealed.json");
    if std::env::var_os("FUTUSWARM_BLESS").is_some() && !path.exists() {
        std::fs::write(&path, seeds::sealed()).unwrap();
    }
    assert!(futuswarm_fuzz_targets::sealed_document(&std::fs::read(&path).unwrap()), "{}", path.display());
    // Of another version of the format, or for another app: neither opens.
    assert!(futuswarm_fuzz_targets::sealed_document(&seeds::sealed()));
}

#[test]
fn every_target_has_seeds_that_it_accepts_and_a_file_that_fuzzes_it() {
    let mut names = BTreeSet::new();
    for target in TARGETS {
        names.insert(target.name.to_owned());
        let folder = root().join("seeds").join(target.name);
        let names_of_seeds = files(&folder);
        let accepted = names_of_seeds.iter().filter(|name| {
            let bytes = std::fs::read(folder.join(name)).unwrap();
            assert!(bytes.len() <= LONGEST, "{name} is longer than any input");
            (target.run)(&bytes)
        });
        assert!(accepted.count() > 0, "{} accepts none of its seeds", target.name);
        let file = root().join("fuzz_targets").join(format!("{}.rs", target.name));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(text.contains(&format!("futuswarm_fuzz_targets::{}(", target.name)), "{}", file.display());
    }
    // None of the AWS SDK is compiled into this without its feature, and the two targets with it.
    if cfg!(feature = "documents") {
        assert_eq!(files(&root().join("seeds")), names);
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        for name in names {
            assert!(manifest.contains(&format!("name = \"{name}\"")), "fuzz/Cargo.toml has no program {name}");
        }
    }
}
