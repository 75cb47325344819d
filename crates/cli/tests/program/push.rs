//! Images on their way: only what is missing, whole or not at all, carried on after a cut.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};

use flate2::read::GzDecoder;
use futuswarm_cli::archive::digest;
use futuswarm_rpc::message::*;
use futuswarm_rpc::{Channel, Frame};

use crate::archive::saved;
use crate::fake::{Fake, Peer, finish};

/// The fake keeps whole pieces of so many bytes of a layer that is cut, as the cluster does with longer ones.
const PIECE: usize = 500_000;

/// Kept between the connections of a test.
#[derive(Default)]
struct Registry {
    blobs: BTreeMap<String, Vec<u8>>,
    /// Pieces of layers that were cut.
    partial: BTreeMap<String, Vec<u8>>,
    manifests: Vec<(String, String)>,
    /// Uploads are cut after so many bytes, as often as there are numbers.
    cuts: Vec<usize>,
    /// Uploads are refused in this way once all has come, as often as there are entries.
    refusals: Vec<RefusalClass>,
}

type Shared = Arc<Mutex<Registry>>;

fn serve(registry: &Shared, mut peer: Peer) {
    match peer.request() {
        Some(Request::FindBlobs { digests, .. }) => {
            let there = &registry.lock().unwrap().blobs;
            let found = digests.into_iter().filter(|digest| there.contains_key(digest)).collect::<BTreeSet<_>>();
            peer.done(Answer::Blobs(found));
        }
        Some(Request::PutBlob { digest: wanted, length, .. }) => {
            let (mut bytes, cut, refusal) = {
                let mut registry = registry.lock().unwrap();
                let partial = registry.partial.remove(&wanted).unwrap_or_default();
                (partial, registry.cuts.pop(), registry.refusals.pop())
            };
            peer.send(&Event::Ready { offset: bytes.len() as u64 });
            if let Some(class) = refusal {
                while !matches!(peer.next(), Some(Frame::End(Channel::Input)) | None) {}
                return peer.refuse(class, "it was not taken");
            }
            loop {
                match peer.next() {
                    Some(Frame::Chunk(Channel::Input, piece)) => bytes.extend(piece),
                    Some(Frame::End(Channel::Input)) => break,
                    other => panic!("{other:?}"),
                }
                if cut.is_some_and(|cut| bytes.len() >= cut) {
                    bytes.truncate(bytes.len() / PIECE * PIECE);
                    registry.lock().unwrap().partial.insert(wanted, bytes);
                    return peer.end(255);
                }
            }
            assert_eq!((bytes.len() as u64, digest(&bytes)), (length, wanted.clone()));
            registry.lock().unwrap().blobs.insert(wanted, bytes);
            peer.done(Answer::Done(String::new()));
        }
        Some(Request::PutManifest { tag, manifest, .. }) => {
            let named = digest(manifest.as_bytes());
            registry.lock().unwrap().manifests.push((tag, manifest));
            peer.done(Answer::Pushed(named));
        }
        other => panic!("{other:?}"),
    }
}

fn cluster() -> (Fake, Shared) {
    let registry = Shared::default();
    let shared = Arc::clone(&registry);
    (Fake::new(move |peer| serve(&shared, peer)), registry)
}

/// Bytes that gzip makes no shorter.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

#[test]
fn only_a_changed_layer_is_sent_again() {
    let (fake, registry) = cluster();
    let (base, one, other) = (noise(1, 900_000), noise(2, 50_000), noise(3, 60_000));
    let file = fake.work().join("an image.tar");
    std::fs::write(&file, saved(&[&base, &one])).unwrap();
    let words = ["image:push", "hello:1", "--archive", "an image.tar", "--json"];
    let first = fake.run(&words).ended(0).json();
    assert_eq!((&first["app"], &first["layers"]), (&"hello".into(), &2.into()));
    assert!(first["sent_bytes"].as_u64().unwrap() > 950_000 && first["skipped_bytes"] == 0, "{first}");
    {
        let registry = registry.lock().unwrap();
        let (tag, manifest) = &registry.manifests[0];
        assert_eq!((tag.as_str(), first["digest"].as_str().unwrap()), ("1", digest(manifest.as_bytes()).as_str()));
        let manifest: serde_json::Value = serde_json::from_str(manifest).unwrap();
        for (layer, content) in manifest["layers"].as_array().unwrap().iter().zip([&base, &one]) {
            let blob = &registry.blobs[layer["digest"].as_str().unwrap()];
            let mut plain = Vec::new();
            GzDecoder::new(&blob[..]).read_to_end(&mut plain).unwrap();
            assert_eq!((&plain, blob.len() as u64), (content, layer["size"].as_u64().unwrap()));
        }
        assert!(registry.blobs.contains_key(manifest["config"]["digest"].as_str().unwrap()));
    }
    let again = fake.run(&words).ended(0).json();
    assert_eq!((&again["digest"], &again["sent_bytes"]), (&first["digest"], &0.into()));
    assert_eq!(again["skipped_bytes"], first["sent_bytes"]);
    // Without what is remembered of the layers, and by way of standard input, compressed: the same image.
    std::fs::remove_file(fake.home().join("layers.json")).unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&saved(&[&base, &other])).unwrap();
    let third = fake.run_with(&["image:push", "hello:2", "-", "--json"], &packed.finish().unwrap()).ended(0).json();
    let sent = third["sent_bytes"].as_u64().unwrap();
    assert!(sent > 60_000 && (sent as f64) < 60_000.0 * 1.05, "{third}");
    assert_eq!(registry.lock().unwrap().manifests.len(), 3);
}

#[test]
fn a_layer_that_is_remembered_and_gone_is_made_again() {
    let (fake, registry) = cluster();
    std::fs::write(fake.work().join("i.tar"), saved(&[&noise(1, 10_000)])).unwrap();
    let words = ["image:push", "hello", "--archive", "i.tar", "--json"];
    let first = fake.run(&words).ended(0).json();
    registry.lock().unwrap().blobs.clear();
    assert_eq!(fake.run(&words).ended(0).json(), first);
}

#[test]
fn an_upload_that_is_cut_goes_on_where_it_was() {
    let (fake, registry) = cluster();
    registry.lock().unwrap().cuts = vec![1_500_000, 700_000, 1];
    std::fs::write(fake.work().join("i.tar"), saved(&[&noise(1, 2_000_000)])).unwrap();
    let said = fake.run(&["image:push", "hello", "--archive", "i.tar", "--json"]).ended(0).says("trying again");
    let sent = said.json()["sent_bytes"].as_u64().unwrap();
    // What was in flight at each cut may have been sent for nothing.
    assert!((2_000_000..4_500_000).contains(&sent), "{sent}");
    assert_eq!(said.json()["skipped_bytes"], 0, "nothing was there before");
    assert_eq!(registry.lock().unwrap().manifests.len(), 1);
    registry.lock().unwrap().blobs.clear();
    registry.lock().unwrap().cuts = vec![1; 20];
    fake.run(&["image:push", "hello:2", "--archive", "i.tar"]).ended(7);
    assert_eq!(registry.lock().unwrap().manifests.len(), 1, "nothing is named that is not whole");
}

#[test]
fn an_upload_that_came_too_slowly_or_met_a_registry_that_is_away_is_sent_again() {
    let (fake, registry) = cluster();
    std::fs::write(fake.work().join("i.tar"), saved(&[&noise(1, 10_000)])).unwrap();
    let words = ["image:push", "hello", "--archive", "i.tar"];
    registry.lock().unwrap().refusals = vec![RefusalClass::Unavailable, RefusalClass::TimedOut];
    fake.run(&words).ended(0).says("it was not taken; trying again");
    assert_eq!(registry.lock().unwrap().manifests.len(), 1);
    registry.lock().unwrap().blobs.clear();
    registry.lock().unwrap().refusals = vec![RefusalClass::TimedOut; 20];
    fake.run(&words).ended(6);
    // What would be refused for ever is tried once.
    registry.lock().unwrap().refusals = vec![RefusalClass::Denied; 20];
    fake.run(&words).ended(3);
    let registry = registry.lock().unwrap();
    assert_eq!((registry.refusals.len(), registry.manifests.len()), (19, 1));
}

#[test]
fn a_line_that_drops_again_and_again_gets_a_layer_there_while_more_of_it_arrives() {
    let (fake, registry) = cluster();
    // More cuts than there are attempts; each time another piece is there.
    registry.lock().unwrap().cuts = (1..=7).rev().map(|piece| piece * PIECE + 100_000).collect();
    std::fs::write(fake.work().join("i.tar"), saved(&[&noise(1, 8 * PIECE)])).unwrap();
    let said =
        fake.run(&["image:push", "hello", "--archive", "i.tar", "--json"]).ended(0).says("trying again (1 of 4)");
    assert!(!said.stderr.contains("trying again (2 of 4)"), "{}", said.stderr);
    let registry = registry.lock().unwrap();
    assert_eq!((registry.manifests.len(), registry.cuts.len()), (1, 0));
}

#[test]
fn a_layer_that_is_there_twice_is_counted_once() {
    let (fake, registry) = cluster();
    let (base, own) = (noise(1, 100_000), noise(2, 50_000));
    std::fs::write(fake.work().join("i.tar"), saved(&[&base, &own, &base])).unwrap();
    let words = ["image:push", "hello", "--archive", "i.tar", "--json"];
    let first = fake.run(&words).ended(0).json();
    let sum: usize = registry.lock().unwrap().blobs.values().map(Vec::len).sum();
    assert_eq!((&first["sent_bytes"], &first["skipped_bytes"]), (&sum.into(), &0.into()));
    let again = fake.run(&words).ended(0).json();
    assert_eq!((&again["sent_bytes"], &again["skipped_bytes"]), (&0.into(), &sum.into()));
    // Of a layer that was cut, what has arrived was sent all the same.
    registry.lock().unwrap().blobs.clear();
    registry.lock().unwrap().cuts = vec![1];
    let cut = fake.run(&words).ended(0).json();
    assert!(cut["sent_bytes"].as_u64().unwrap() >= sum as u64 && cut["skipped_bytes"] == 0, "{cut}");
}

#[test]
fn what_is_said_while_a_layer_is_under_way_is_shown_once_it_was_handed_over() {
    let fake = Fake::new(|mut peer| match peer.request() {
        Some(Request::FindBlobs { .. }) => peer.done(Answer::Blobs(BTreeSet::new())),
        Some(Request::PutBlob { .. }) => {
            peer.send(&Event::Ready { offset: 0 });
            while !matches!(peer.next(), Some(Frame::End(Channel::Input)) | None) {}
            peer.send(&Event::Progress { text: "takes the layer".to_owned(), elapsed: 15_000, limit: None });
            peer.done(Answer::Done(String::new()));
        }
        Some(Request::PutManifest { manifest, .. }) => peer.done(Answer::Pushed(digest(manifest.as_bytes()))),
        other => panic!("{other:?}"),
    });
    std::fs::write(fake.work().join("i.tar"), saved(&[&noise(1, 10_000)])).unwrap();
    fake.run(&["image:push", "hello", "--archive", "i.tar"]).ended(0).says("takes the layer (15 s)");
}

#[test]
fn what_is_damaged_is_refused_before_anything_is_sent() {
    let (fake, registry) = cluster();
    let good = saved(&[&noise(1, 10_000), &noise(2, 10_000)]);
    let layer = good.windows(16).position(|window| window == &noise(2, 16)[..]).unwrap();
    let mut altered = good.clone();
    altered[layer + 5000] ^= 1;
    let cut = good[..layer + 5000].to_vec();
    let mut other = good.clone();
    let at = other.windows(5).position(|window| window == b"amd64").unwrap();
    other[at..at + 5].copy_from_slice(b"arm64");
    for (name, bytes, part) in [
        ("altered", altered, "is damaged"),
        ("cut", cut, "cut"),
        ("config", other, "damaged"),
        ("text", b"hello".to_vec(), "cut"),
        ("empty", Vec::new(), "empty"),
    ] {
        std::fs::write(fake.work().join(name), bytes).unwrap();
        fake.run(&["image:push", "hello", "--archive", name]).ended(2).says(part);
    }
    fake.run(&["image:push", "hello", "--archive", "gone"]).ended(2);
    fake.run(&["image:push", "hello", "--archive", "."]).ended(2).says("is no file");
    fake.run(&["image:push", "hello:-x", "--archive", "cut"]).ended(2).says("no tag");
    let registry = registry.lock().unwrap();
    assert!(registry.blobs.is_empty() && registry.manifests.is_empty());
}

#[test]
fn an_image_comes_from_the_engine_on_this_machine() {
    let (fake, registry) = cluster();
    let socket = tempfile::tempdir().unwrap();
    let path = socket.path().join("docker.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let archive = saved(&[&noise(1, 100_000)]);
    std::thread::spawn(move || {
        for answer in [Some(archive), None] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 4096];
            let length = stream.read(&mut asked).unwrap();
            let asked = String::from_utf8_lossy(&asked[..length]).into_owned();
            match answer {
                Some(archive) => {
                    assert!(asked.starts_with("GET /images/shop/hello:1/get HTTP/1.1\r\n"), "{asked}");
                    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
                    for piece in archive.chunks(30_000) {
                        stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).unwrap();
                        stream.write_all(piece).unwrap();
                        stream.write_all(b"\r\n").unwrap();
                    }
                    stream.write_all(b"0\r\n\r\n").unwrap();
                }
                None => {
                    assert!(asked.starts_with("GET /images/hello:latest/get"), "{asked}");
                    let body = r#"{"message":"No such image"}"#;
                    write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
                }
            }
        }
    });
    let push = |words: &[&str]| {
        let mut command = fake.command(words);
        command.env("DOCKER_HOST", format!("unix://{}", path.display()));
        finish(command, b"")
    };
    push(&["image:push", "hello:1", "shop/hello:1"]).ended(0);
    push(&["image:push", "hello"]).ended(4).says("No such image");
    assert_eq!(registry.lock().unwrap().manifests.len(), 1);
    let mut command = fake.command(&["image:push", "hello"]);
    command.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    finish(command, b"").ended(1).says("--archive FILE");
}
