//! Seeds that no editor writes: streams of frames, archives of images, sealed documents. They are files in `fuzz/seeds/` like the others,
//! so that a fuzzer finds them there; `tests/seeds.rs` holds those against these.

#[cfg(feature = "documents")]
mod sealed;
mod streams;
pub mod tar;

use futuswarm_cli::archive::{GZIP_LAYER, MANIFEST, digest, gzip_to};
use serde_json::{Value, json};
use tar::Entry;

#[cfg(feature = "documents")]
pub use sealed::{KEY, context, head, sealed, values};

/// Name and content of each seed of a target that is made here; none for targets whose seeds are written by hand.
#[must_use]
pub fn made(target: &str) -> Vec<(&'static str, Vec<u8>)> {
    match target {
        "protocol" => streams::all(),
        "image_archive" => archives(),
        _ => Vec::new(),
    }
}

fn archives() -> Vec<(&'static str, Vec<u8>)> {
    let plain = tar::join(&[Entry::file("app", b"#!/bin/sh\nexec sleep 60\n")]);
    let mut packed = Vec::new();
    let Ok(_) = gzip_to(&plain[..], &mut packed) else { panic!("memory takes everything") };
    let one = saved("amd64", &[&plain], true);
    let mut layout = Layout::default();
    let image = layout.image("amd64", &[&packed], GZIP_LAYER);
    layout.index.push(image);
    let mut plain_layout = Layout::default();
    let image = plain_layout.image("amd64", &[&plain], "application/vnd.oci.image.layer.v1.tar");
    plain_layout.index.push(image);
    vec![
        ("saved", tar::join(&one)),
        ("saved-without-digests", tar::join(&saved("amd64", &[&plain, &packed], false))),
        ("saved-for-arm", tar::join(&saved("arm64", &[&plain], true))),
        ("layout", tar::join(&layout.entries())),
        ("layout-with-plain-layer", tar::join(&plain_layout.entries())),
        ("layout-of-platforms", tar::join(&platforms(&packed).entries())),
        ("names-and-links", names_and_links(&plain)),
    ]
}

fn config(architecture: &str, layers: &[&[u8]]) -> Vec<u8> {
    let ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    json!({ "os": "linux", "architecture": architecture, "rootfs": { "diff_ids": ids } }).to_string().into_bytes()
}

/// What `docker save` writes; without digests nothing but lengths holds the parts together, so that a changed part is still read.
fn saved(architecture: &str, layers: &[&[u8]], digests: bool) -> Vec<Entry> {
    let config = config(architecture, layers);
    let config_name = if digests { format!("{}.json", &digest(&config)[7..]) } else { "config".to_owned() };
    let names: Vec<String> = (0..layers.len()).map(|number| format!("{number}/layer.tar")).collect();
    let row = json!([{ "Config": config_name, "RepoTags": ["hello:latest"], "Layers": names }]).to_string();
    let mut entries = vec![Entry::file("manifest.json", row.as_bytes()), Entry::file(&config_name, &config)];
    entries.extend(names.iter().zip(layers).map(|(name, layer)| Entry::file(name, layer)));
    entries
}

#[derive(Default)]
struct Layout {
    blobs: Vec<Entry>,
    index: Vec<Value>,
}

impl Layout {
    fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        self.blobs.push(Entry::file(&format!("blobs/sha256/{}", &digest[7..]), bytes));
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    fn image(&mut self, architecture: &str, layers: &[&[u8]], media_type: &str) -> Value {
        let config = self.blob("application/vnd.oci.image.config.v1+json", &config(architecture, layers));
        let layers: Vec<Value> = layers.iter().map(|layer| self.blob(media_type, layer)).collect();
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers }).to_string();
        let mut descriptor = self.blob(MANIFEST, manifest.as_bytes());
        descriptor["platform"] = json!({ "os": "linux", "architecture": architecture });
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": "hello" });
        descriptor
    }

    fn entries(self) -> Vec<Entry> {
        let index = json!({ "schemaVersion": 2, "manifests": self.index }).to_string();
        let mut entries = vec![Entry::file("oci-layout", b"{}"), Entry::file("index.json", index.as_bytes())];
        entries.extend(self.blobs);
        entries
    }
}

/// An index with an image for each of two platforms and what proves how one was built.
fn platforms(layer: &[u8]) -> Layout {
    let mut layout = Layout::default();
    let (arm, ours) = (layout.image("arm64", &[layer], GZIP_LAYER), layout.image("amd64", &[layer], GZIP_LAYER));
    let mut proof = layout.image("unknown", &[layer], GZIP_LAYER);
    proof["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest" });
    let index = json!({ "schemaVersion": 2, "manifests": [arm, ours, proof] }).to_string();
    let index = layout.blob("application/vnd.oci.image.index.v1+json", index.as_bytes());
    layout.index.push(index);
    layout
}

/// The same image with a name in a block of its own, pax headers, and a link.
fn names_and_links(layer: &[u8]) -> Vec<u8> {
    let of = |name: &str, kind, link: &str, body: &[u8]| {
        let (name, link) = (name.to_owned(), link.to_owned());
        Entry { name, kind, link, body: body.to_vec() }
    };
    let mut entries = vec![of("pax_global_header", b'g', "", b"17 comment=hello\n")];
    for entry in saved("amd64", &[layer, layer], false) {
        match entry.name.as_str() {
            "config" => {
                entries.push(of("pax", b'x', "", b"15 path=config\n"));
                entries.push(Entry { name: "c".to_owned(), ..entry });
            }
            "0/layer.tar" => {
                entries.push(of("././@LongLink", b'L', "", b"0/layer.tar\0"));
                entries.push(Entry { name: "short".to_owned(), ..entry });
            }
            // As `docker save` once wrote a layer that is there twice.
            "1/layer.tar" => entries.push(of("1/layer.tar", b'2', "../0/layer.tar", b"")),
            _ => entries.push(entry),
        }
    }
    tar::join(&entries)
}
