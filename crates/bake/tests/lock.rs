//! The package lock against a small signed archive on loopback, on the days on which something is wrong with it.

mod support;

use std::time::{Duration, Instant};

use futuswarm_bake::base::LockPolicy::{AllowNewer, Exact, Update};
use futuswarm_bake::lock::Lock;
use support::server::Fault;
use support::{COPIED, COPIED_LATER, Deb, Key, SNAPSHOT, World, deb};

/// An essential package, one that is asked for, and one that it needs.
fn first() -> Vec<Deb> {
    vec![deb("base", "1").essential(), deb("app", "1.0+a").depends("lib"), deb("lib", "1:2~rc1-1")]
}

fn versions(lock: &Lock) -> Vec<String> {
    lock.package.iter().map(|package| format!("{} {}", package.name, package.version)).collect()
}

#[test]
fn a_lock_names_everything_and_is_met_from_the_mirror_without_an_index() {
    let world = World::new(&first(), &["app"]);
    let lock = world.lock();
    assert_eq!(versions(&lock), ["app 1.0+a", "base 1", "lib 1:2~rc1-1"]);
    assert_eq!(lock.package[2].path, "debian/pool/main/lib/lib_2~rc1-1_all.deb");
    world.server.requests();
    let choice = world.choose(&lock, Exact).unwrap();
    assert_eq!((choice.lock, choice.drift.len()), (lock, 0));
    let requests = world.server.requests();
    assert_eq!(requests.len(), 3, "{requests:?}");
}

#[test]
fn a_version_that_is_gone_is_found_in_the_snapshot_archive() {
    let world = World::new(&first(), &["app"]);
    let lock = world.lock();
    world.copy_to_snapshot(COPIED);
    world.release(&[deb("base", "1").essential(), deb("app", "1.0+b").depends("lib"), deb("lib", "1:2~rc1-1")]);
    world.server.requests();
    for policy in [Exact, AllowNewer] {
        assert_eq!(world.choose(&lock, policy).unwrap().lock, lock);
    }
    let requests = world.server.requests();
    let snapshot: Vec<&String> = requests.iter().filter(|path| path.starts_with("archive/")).collect();
    // The one that is gone and nothing else, under the lock's timestamp and then where that leads; no Release file, which
    // would have expired.
    let path = |timestamp: &str| format!("archive/debian/{timestamp}/pool/main/app/app_1.0+a_all.deb");
    assert_eq!(snapshot, [&path(SNAPSHOT), &path(COPIED)]);
}

#[test]
fn a_package_that_had_just_come_is_in_the_next_copy() {
    let world = World::new(&first(), &["app"]);
    let lock = world.lock();
    world.copy_to_snapshot(COPIED);
    std::fs::remove_dir_all(world.www(&format!("archive/debian/{COPIED}/pool/main/app"))).unwrap();
    world.copy_to_snapshot(COPIED_LATER);
    world.release(&[]);
    assert_eq!(world.choose(&lock, Exact).unwrap().lock, lock);
}

#[test]
fn an_essential_package_newer_than_the_lock_is_named_or_taken_from_the_snapshot_archive() {
    let world = World::new(&first(), &["app"]);
    let lock = world.lock();
    world.copy_to_snapshot(COPIED);
    world.release(&[deb("base", "2").essential(), deb("app", "1.0+a").depends("lib"), deb("lib", "1:2~rc1-1")]);
    // Nobody has it.
    let hidden = world.www("archive-hidden");
    std::fs::rename(world.www("archive"), &hidden).unwrap();
    let refused = world.choose(&lock, Exact).unwrap_err().to_string();
    assert!(refused.contains("1 of its 3 packages: base 1\n"), "{refused}");
    assert!(refused.contains(&world.archives.mirror) && refused.contains(SNAPSHOT), "{refused}");
    assert!(refused.contains("cargo xtask bake --update-lock"), "{refused}");
    let choice = world.choose(&lock, AllowNewer).unwrap();
    assert_eq!(choice.drift, ["base is 2 instead of 1"]);
    assert_eq!(versions(&choice.lock), ["app 1.0+a", "base 2", "lib 1:2~rc1-1"]);
    // The snapshot archive has it.
    std::fs::rename(&hidden, world.www("archive")).unwrap();
    assert_eq!(world.choose(&lock, AllowNewer).unwrap().drift, [""; 0]);
    assert_eq!(world.choose(&lock, Exact).unwrap().lock, lock);
}

#[test]
fn a_dependency_that_was_added_is_new() {
    let world = World::new(&first(), &["app"]);
    let lock = world.lock();
    let today = [deb("base", "1").essential(), deb("app", "1.1").depends("lib, more"), deb("lib", "1:2~rc1-1")];
    world.release(&[today.as_slice(), &[deb("more", "3").depends("most"), deb("most", "4")]].concat());
    assert!(world.choose(&lock, Exact).is_err());
    let choice = world.choose(&lock, AllowNewer).unwrap();
    assert_eq!(choice.drift, ["app is 1.1 instead of 1.0+a", "more 3 is new", "most 4 is new"]);
    // The lock takes it up, with the time of today.
    let updated = world.choose(&lock, Update).unwrap().lock;
    assert_eq!(versions(&updated), ["app 1.1", "base 1", "lib 1:2~rc1-1", "more 3", "most 4"]);
    assert!(updated.snapshot.as_str() > SNAPSHOT);
    assert_eq!(world.choose(&updated, Exact).unwrap().lock, updated);
}

#[test]
fn a_package_that_was_withdrawn_is_missing_or_named() {
    let mut world = World::new(&first(), &["app"]);
    let lock = world.lock();
    world.copy_to_snapshot(COPIED);
    // What it was needed for does without.
    world.release(&[deb("base", "1").essential(), deb("app", "1.1")]);
    std::fs::rename(world.www("archive"), world.www("archive-hidden")).unwrap();
    let choice = world.choose(&lock, AllowNewer).unwrap();
    assert_eq!(choice.drift, ["app is 1.1 instead of 1.0+a", "lib 1:2~rc1-1 is missing"]);
    // What is asked for by name has no successor.
    world.release(&[deb("base", "1").essential()]);
    for policy in [AllowNewer, Update] {
        let error = world.choose(&lock, policy).unwrap_err().to_string();
        assert!(error.contains("Debian has no package app any more"), "{error}");
    }
    std::fs::rename(world.www("archive-hidden"), world.www("archive")).unwrap();
    assert_eq!(world.choose(&lock, Exact).unwrap().lock, lock);
    // The list names what the lock does not know: not silently left out, under any policy.
    world.asked.push("tool".to_owned());
    for policy in [Exact, AllowNewer] {
        let error = world.choose(&lock, policy).unwrap_err().to_string();
        assert!(error.contains("packages.toml asks for tool, which it does not have"), "{error}");
    }
}

#[test]
fn a_mirror_that_is_down_is_replaced_by_the_snapshot_archive_and_else_ends_soon() {
    let mut world = World::new(&first(), &["app"]);
    let lock = world.lock();
    world.copy_to_snapshot(COPIED);
    let down = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    world.archives.mirror = format!("http://{down}/debian");
    world.archives.security = format!("http://{down}/debian-security");
    assert_eq!(world.choose(&lock, Exact).unwrap().lock, lock);
    std::fs::remove_dir_all(world.cache()).unwrap();
    world.archives.snapshot = format!("http://{down}");
    let begin = Instant::now();
    let exact = world.choose(&lock, Exact).unwrap_err().to_string();
    assert!(exact.contains("3 of its 3 packages"), "{exact}");
    let newer = world.choose(&lock, AllowNewer).unwrap_err().to_string();
    assert!(newer.contains("today's packages cannot be taken instead: apt-get update failed"), "{newer}");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[test]
fn an_index_that_another_key_has_signed_is_not_believed() {
    let world = World::new(&first(), &["app"]);
    let lock = world.lock();
    let forged = [deb("base", "1").essential(), deb("app", "6.6").depends("lib"), deb("lib", "1:2~rc1-1")];
    let publish = |key: &Key| {
        world.release(&[]);
        world.publish_signed("debian", "trixie", &forged, key, "Mon, 01 Jan 2096 00:00:00 UTC");
    };
    publish(&Key::new());
    for policy in [Exact, AllowNewer, Update] {
        let error = world.choose(&lock, policy).unwrap_err().to_string();
        assert!(policy == Exact || error.contains("apt-get update failed"), "{error}");
    }
    // It was the key, and nothing else.
    publish(&world.key);
    assert_eq!(world.choose(&lock, AllowNewer).unwrap().drift, ["app is 6.6 instead of 1.0+a"]);
    // An old index, of a time when the packages had their holes, is not played back.
    world.publish_signed("debian", "trixie", &forged, &world.key, "Thu, 01 Jan 2026 00:00:01 UTC");
    assert!(world.choose(&lock, Update).is_err());
}

#[test]
fn a_truncated_index_or_package_is_as_good_as_none() {
    let world = World::new(&first(), &["app"]);
    let lock = world.lock();
    world.copy_to_snapshot(COPIED);
    // Cut short by the mirror's disk: whole as a file, another than the signed one.
    let index = world.www("debian/dists/trixie/main/binary-amd64/Packages");
    let whole = std::fs::read(&index).unwrap();
    std::fs::write(&index, &whole[..whole.len() / 2]).unwrap();
    assert!(world.choose(&lock, Update).is_err());
    // No index is needed for what is locked.
    assert_eq!(world.choose(&lock, Exact).unwrap().lock, lock);
    std::fs::write(&index, &whole).unwrap();
    // Cut short on the way, at every attempt.
    world.server.fault("binary-amd64/Packages", Fault::Truncated);
    assert!(world.choose(&lock, Update).is_err());
    // A package that is cut short at the mirror is taken from the snapshot archive.
    std::fs::remove_dir_all(world.cache()).unwrap();
    let package = world.www("debian/pool/main/app/app_1.0+a_all.deb");
    let bytes = std::fs::read(&package).unwrap();
    std::fs::write(&package, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(world.choose(&lock, Exact).unwrap().lock, lock);
}

#[test]
fn an_index_that_names_what_is_not_there_is_told_from_a_lock_that_is_old() {
    let world = World::new(&first(), &["app"]);
    let lock = world.lock();
    world.release(&[deb("base", "1").essential(), deb("app", "1.1").depends("lib"), deb("lib", "1:2~rc1-1")]);
    std::fs::remove_dir_all(world.www("debian/pool/main/app")).unwrap();
    let error = world.choose(&lock, Update).unwrap_err().to_string();
    assert!(error.contains("names what it does not serve: app 1.1; the mirror is being changed"), "{error}");
}

#[test]
fn a_server_that_fails_for_a_moment_is_asked_again() {
    let world = World::new(&first(), &["app"]);
    let lock = world.lock();
    world.server.fault("app_1.0+a_all.deb", Fault::Status(503, 2));
    assert_eq!(world.choose(&lock, Exact).unwrap().lock, lock);
}

#[test]
fn another_content_under_a_locked_version_is_refused_by_every_policy() {
    let world = World::new(&first(), &["app"]);
    let lock = world.lock();
    let other = deb("app", "1.0+a").depends("lib").content("another");
    world.release(&[deb("base", "1").essential(), other, deb("lib", "1:2~rc1-1")]);
    for policy in [Exact, AllowNewer, Update] {
        let error = world.choose(&lock, policy).unwrap_err().to_string();
        assert!(error.contains("app 1.0+a"), "{error}");
        assert!(policy == Exact || error.contains("another content than the locked one"), "{error}");
    }
}

#[test]
fn a_lock_whose_packages_are_in_the_cache_needs_no_network() {
    let world = World::new(&first(), &["app"]);
    let old = world.lock();
    world.choose(&old, Exact).unwrap();
    world.release(&[deb("base", "1").essential(), deb("app", "1.1").depends("lib"), deb("lib", "1:2~rc1-1")]);
    let new = world.lock();
    world.choose(&new, Exact).unwrap();
    world.server.stop();
    for lock in [&old, &new] {
        for policy in [Exact, AllowNewer] {
            assert_eq!(&world.choose(lock, policy).unwrap().lock, lock);
        }
    }
    // What was damaged in the cache is noticed, and is then missing.
    let damaged = world.cache().join(format!("{}.deb", old.package[0].sha256));
    std::fs::write(&damaged, "damaged").unwrap();
    let error = world.choose(&old, Exact).unwrap_err().to_string();
    assert!(error.contains("1 of its 3 packages: app 1.0+a"), "{error}");
    assert!(!damaged.exists());
}

#[test]
fn a_lock_that_is_made_anew_and_says_the_same_keeps_its_time() {
    let world = World::new(&first(), &["app"]);
    let lock = world.lock();
    assert_eq!(world.choose(&lock, Update).unwrap().lock, lock);
}

#[test]
fn packages_that_stood_in_do_so_again_from_the_cache_until_the_locked_ones_are_here() {
    let world = World::new(&first(), &["app"]);
    let lock = world.lock();
    let today = [deb("base", "2").essential(), deb("app", "1.0+a").depends("lib"), deb("lib", "1:2~rc1-1")];
    world.release(&today);
    let newer = world.choose(&lock, AllowNewer).unwrap();
    assert_eq!(newer.drift, ["base is 2 instead of 1"]);
    // Nobody is asked, and nobody could be.
    world.server.requests();
    assert_eq!(world.again(&newer, &lock).as_ref(), Some(&newer));
    assert_eq!(world.server.requests(), [""; 0]);
    // One of them is gone from the cache.
    let package = world.cache().join(format!("{}.deb", newer.lock.package[1].sha256));
    let bytes = std::fs::read(&package).unwrap();
    std::fs::remove_file(&package).unwrap();
    assert_eq!(world.again(&newer, &lock), None);
    std::fs::write(&package, bytes).unwrap();
    assert_eq!(world.again(&newer, &lock).as_ref(), Some(&newer));
    // The locked ones have come back: the lock is met before anything stands in for it.
    world.release(&first());
    assert_eq!(world.choose(&lock, Exact).unwrap().lock, lock);
    assert_eq!(world.again(&newer, &lock), None);
}
