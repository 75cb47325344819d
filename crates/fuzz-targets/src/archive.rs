//! Archives of images, which the command line reads as somebody's tool has written them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::rc::Rc;

use fastrand::Rng;
use futuswarm_cli::archive::{Archive, Compression, Image, Layer, digest, gunzip_to, gzip_to};
use serde_json::json;

use crate::mutate;
use crate::seeds::tar::{self, Entry};

const PLATFORM: &str = "linux/amd64";
/// More than what a layer of these inputs unpacks to, and little enough to be unpacked thousands of times.
const UNPACKED: u64 = 4 << 20;
/// What finding an image may read beside the archive itself.
const CONSTANT: u64 = 8 << 10;

pub(crate) const WORDS: &[&[u8]] = &[
    b"index.json",
    b"oci-layout",
    b"manifest.json",
    b"blobs/sha256/",
    b"sha256:",
    b"\"mediaType\":\"application/vnd.oci.image.index.v1+json\"",
    b"\"size\":18446744073709551615",
    b"\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\"}",
    b"\"annotations\":{\"vnd.docker.reference.type\":\"attestation-manifest\"}",
    b"\"layers\":[]",
    b"\"Layers\":[]",
    b"\"diff_ids\":[]",
    b"../",
    b"./",
    b"ustar\0",
    b"77777777777\0",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"30 path=blobs/sha256/x\n",
    b"21 size=99999999999\n",
    b"\x1f\x8b",
];

/// Counts what is read.
struct Counted<'a> {
    inner: Cursor<&'a [u8]>,
    read: Rc<Cell<u64>>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.read.set(self.read.get() + length as u64);
        Ok(length)
    }
}

impl Seek for Counted<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.inner.seek(to)
    }
}

/// The bytes of an archive.
pub fn image_archive(data: &[u8]) -> bool {
    let read = Rc::default();
    let opened = Archive::open(Counted { inner: Cursor::new(data), read: Rc::clone(&read) });
    let length = data.len() as u64;
    // Headers, and names in blocks of their own.
    assert!(read.get() <= length + CONSTANT, "{} bytes were read of {length}", read.get());
    let Ok(mut archive) = opened else { return false };
    let mut found = false;
    for wanted in [None, Some("hello")] {
        read.set(0);
        let image = archive.image(wanted, PLATFORM);
        // Each document once, and two bytes of each layer.
        assert!(read.get() <= 2 * length + CONSTANT, "{} bytes were read of {length}", read.get());
        match image {
            Ok(image) => {
                check(&mut archive, &image, length);
                found = true;
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    found
}

fn check<R: Read + Seek>(archive: &mut Archive<R>, image: &Image, length: u64) {
    let Image { config, config_descriptor, layers, manifest } = image;
    assert_eq!((config_descriptor.digest.as_str(), config_descriptor.size), (&*digest(config), config.len() as u64));
    assert!(layers.len() <= 1000, "{}", layers.len());
    let mut contents = Vec::new();
    for layer in layers {
        assert!(layer.place.offset.checked_add(layer.place.length).is_some_and(|end| end <= length), "{layer:?}");
        assert!(layer.digest.is_some() || layer.diff_id.is_some(), "{layer:?}");
        assert!(layer.digest.iter().chain(&layer.diff_id).all(|text| is_digest(text)), "{layer:?}");
        let mut bytes = Vec::new();
        let read = archive.read(layer.place).and_then(|mut bytes_of| Ok(bytes_of.read_to_end(&mut bytes)?));
        assert!(read.is_ok() && bytes.len() as u64 == layer.place.length, "{layer:?}: {read:?}");
        contents.push(bytes);
    }
    if manifest.is_some() {
        assert!(layers.iter().all(|layer| layer.compression == Compression::Done && layer.digest.is_some()));
    }
    if let (Some(layer), Some(bytes)) = (layers.first(), contents.first()) {
        unpacked(layer, bytes);
    }
    let Some(written) = written(image, &contents) else { return };
    let again = Archive::open(Cursor::new(written)).and_then(|mut archive| {
        let image = archive.image(None, PLATFORM)?;
        let mut contents = Vec::new();
        for layer in &image.layers {
            let mut bytes = Vec::new();
            archive.read(layer.place)?.read_to_end(&mut bytes)?;
            contents.push(bytes);
        }
        Ok((image, contents))
    });
    match again {
        Ok((again, same)) => {
            assert!(again.config == *config && again.manifest == *manifest && same == contents, "{again:?}");
            let kinds = |image: &Image| image.layers.iter().map(|layer| layer.compression).collect::<Vec<_>>();
            assert_eq!(kinds(&again), kinds(image));
        }
        Err(error) => panic!("what was written cannot be read: {error}: {image:?}"),
    }
}

fn is_digest(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// What a push does with a layer.
fn unpacked(layer: &Layer, bytes: &[u8]) {
    match layer.compression {
        Compression::Done => {
            if let Ok(hashed) = gunzip_to(bytes, std::io::sink(), UNPACKED) {
                assert!(hashed.length <= UNPACKED, "{}", hashed.length);
            }
        }
        Compression::None => {
            let mut packed = Vec::new();
            let Ok((plain, _)) = gzip_to(bytes, &mut packed) else { panic!("memory takes everything") };
            assert_eq!((plain.digest.as_str(), plain.length), (&*digest(bytes), bytes.len() as u64));
            match gunzip_to(&packed[..], std::io::sink(), plain.length) {
                Ok(again) => assert_eq!(again, plain),
                Err(error) => panic!("what was compressed cannot be read: {error}"),
            }
        }
    }
}

/// An archive with the image and nothing else; `None` where it cannot be told: a plain layer of an OCI layout, of which only the digest
/// of its bytes is known.
fn written(image: &Image, layers: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    match &image.manifest {
        Some((media_type, manifest)) => {
            let blob = |digest: &str| format!("blobs/sha256/{}", digest.trim_start_matches("sha256:"));
            let descriptor =
                json!({ "mediaType": media_type, "digest": digest(manifest), "size": manifest.len() as u64 });
            // An index would be looked into in its turn.
            if media_type.contains("image.index") || media_type.contains("manifest.list") {
                return None;
            }
            files.insert("oci-layout".to_owned(), b"{}".to_vec());
            files.insert("index.json".to_owned(), json!({ "manifests": [descriptor] }).to_string().into_bytes());
            for (layer, bytes) in image.layers.iter().zip(layers) {
                files.insert(blob(layer.digest.as_ref()?), bytes.clone());
            }
            // Last: an archive may have a layer of the same name, which is another file there.
            files.insert(blob(&image.config_descriptor.digest), image.config.clone());
            files.insert(blob(&digest(manifest)), manifest.clone());
        }
        None => {
            if image.layers.iter().any(|layer| layer.diff_id.is_none()) {
                return None;
            }
            let names: Vec<String> = (0..layers.len()).map(|number| format!("layer-{number}")).collect();
            let row = json!([{ "Config": "config", "Layers": names }]);
            files.insert("config".to_owned(), image.config.clone());
            files.extend(names.into_iter().zip(layers.iter().cloned()));
            files.insert("manifest.json".to_owned(), row.to_string().into_bytes());
        }
    }
    let entries = files.into_iter().map(|(name, body)| Entry { name, kind: b'0', link: String::new(), body });
    Some(tar::join(&entries.collect::<Vec<_>>()))
}

/// Changes one entry, or the order of all, with headers that add up; and mostly lets names and digests follow what was changed.
pub(crate) fn rebuild(random: &mut Rng, seed: &[u8], words: &[&[u8]]) -> Vec<u8> {
    let mut entries = tar::split(seed);
    if entries.is_empty() {
        return seed.to_vec();
    }
    for _ in 0..random.u8(1..=3) {
        let (at, other) = (random.usize(..entries.len()), random.usize(..entries.len()));
        match random.u8(..12) {
            0 if entries.len() > 1 => drop(entries.remove(at)),
            1 => entries.push(entries[at].clone()),
            2 => entries.swap(at, other),
            3 => {
                let name = entries[other].name.clone();
                entries[at].name = name;
            }
            4 => entries[at].kind = b"0127LKxg5\0"[random.usize(..10)],
            5 => {
                let name = entries[other].name.clone();
                entries[at].link = name;
            }
            _ => {
                let before = digest(&entries[at].body);
                mutate::change(random, &mut entries[at].body, words);
                if random.u8(..4) > 0 {
                    follow(&mut entries, &before, at);
                }
            }
        }
    }
    tar::join(&entries)
}

/// Lets all that names the old digest of an entry name its new one, and all that names the digests of those.
fn follow(entries: &mut [Entry], before: &str, at: usize) {
    let mut renamed = vec![(before.to_owned(), at)];
    // Layers are named by a manifest, and that by an index.
    while let Some((before, at)) = renamed.pop() {
        let (old, new) = (before.trim_start_matches("sha256:"), digest(&entries[at].body));
        let new = new.trim_start_matches("sha256:");
        if old == new {
            continue;
        }
        for (index, entry) in entries.iter_mut().enumerate() {
            entry.name = entry.name.replace(old, new);
            let Ok(text) = std::str::from_utf8(&entry.body) else { continue };
            if index != at && text.contains(old) {
                let before = digest(&entry.body);
                entry.body = text.replace(old, new).into_bytes();
                renamed.push((before, index));
            }
        }
    }
}
