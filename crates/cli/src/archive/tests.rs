//! Archives are made here, byte for byte, so that each lie can be told in them.

use std::io::Cursor;

use super::*;

/// Of layers that are plain text in these tests.
pub const PLATFORM: &str = "linux/amd64";

/// One entry of a tar archive, with the padding.
pub fn entry(name: &str, kind: u8, link: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = header(name, kind, link, body.len() as u64);
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn header(name: &str, kind: u8, link: &str, length: u64) -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..107].copy_from_slice(b"0000644");
    header[124..135].copy_from_slice(format!("{length:011o}").as_bytes());
    header[136..147].copy_from_slice(b"00000000000");
    header[156] = kind;
    header[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header[257..263].copy_from_slice(b"ustar\0");
    sign(&mut header);
    header
}

fn sign(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

/// A tar archive of files.
pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes: Vec<u8> = files.iter().flat_map(|(name, body)| entry(name, b'0', "", body)).collect();
    bytes.extend([0; 1024]);
    bytes
}

/// A config of an image with these layers.
pub fn config(architecture: &str, layers: &[&[u8]]) -> Vec<u8> {
    let ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    serde_json::json!({ "os": "linux", "architecture": architecture, "rootfs": { "type": "layers", "diff_ids": ids } })
        .to_string()
        .into_bytes()
}

/// What `docker save` writes of an image with these layers.
pub fn saved(architecture: &str, layers: &[&[u8]]) -> Vec<u8> {
    let config = config(architecture, layers);
    let config_name = format!("{}.json", &digest(&config)[7..]);
    let names: Vec<String> = (0..layers.len()).map(|number| format!("{number}/layer.tar")).collect();
    let manifest = serde_json::json!([{ "Config": config_name, "RepoTags": ["hello:latest"], "Layers": names }]);
    let manifest = manifest.to_string().into_bytes();
    let mut files: Vec<(&str, &[u8])> = vec![(&config_name, &config)];
    files.extend(names.iter().map(String::as_str).zip(layers.iter().copied()));
    files.push(("manifest.json", &manifest));
    tar(&files)
}

struct Layout {
    blobs: Vec<(String, Vec<u8>)>,
    manifests: Vec<serde_json::Value>,
}

impl Layout {
    fn new() -> Self {
        Self { blobs: vec![("oci-layout".to_owned(), b"{}".to_vec())], manifests: Vec::new() }
    }

    fn blob(&mut self, media_type: &str, bytes: &[u8]) -> serde_json::Value {
        let digest = digest(bytes);
        self.blobs.push((format!("blobs/sha256/{}", &digest[7..]), bytes.to_vec()));
        serde_json::json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    fn image(&mut self, architecture: &str, layers: &[&[u8]], media_type: &str) -> serde_json::Value {
        let config = self.blob("application/vnd.oci.image.config.v1+json", &config(architecture, layers));
        let layers: Vec<_> = layers.iter().map(|layer| self.blob(media_type, layer)).collect();
        let manifest =
            serde_json::json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
        let mut descriptor = self.blob(MANIFEST, manifest.to_string().as_bytes());
        descriptor["platform"] = serde_json::json!({ "os": "linux", "architecture": architecture });
        descriptor
    }

    fn tar(&self) -> Vec<u8> {
        let index = serde_json::json!({ "schemaVersion": 2, "manifests": self.manifests }).to_string();
        let mut files: Vec<(&str, &[u8])> =
            self.blobs.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        files.push(("index.json", index.as_bytes()));
        tar(&files)
    }
}

fn image(bytes: Vec<u8>) -> Result<Image, ArchiveError> {
    Archive::open(Cursor::new(bytes))?.image(None, PLATFORM)
}

fn refused(bytes: Vec<u8>) -> String {
    image(bytes).unwrap_err().to_string()
}

#[test]
fn what_docker_saves_is_read() {
    let bytes = saved("amd64", &[b"first layer", b"second"]);
    let mut archive = Archive::open(Cursor::new(bytes)).unwrap();
    let image = archive.image(Some("hello"), PLATFORM).unwrap();
    assert_eq!(image.layers.len(), 2);
    assert!(image.manifest.is_none());
    let mut text = String::new();
    archive.read(image.layers[1].place).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "second");
    assert_eq!(image.layers[1].diff_id, Some(digest(b"second")));
    assert_eq!(image.config_descriptor.digest, digest(&image.config));
}

#[test]
fn a_layout_gives_its_own_manifest_when_its_layers_go_as_they_are() {
    let mut layout = Layout::new();
    let descriptor = layout.image("amd64", &[b"packed"], GZIP_LAYER);
    layout.manifests.push(descriptor.clone());
    let (media_type, manifest) = image(layout.tar()).unwrap().manifest.unwrap();
    assert_eq!((media_type.as_str(), digest(&manifest)), (MANIFEST, descriptor["digest"].as_str().unwrap().to_owned()));
    let mut layout = Layout::new();
    let plain = layout.image("amd64", &[b"plain"], "application/vnd.oci.image.layer.v1.tar");
    layout.manifests.push(plain);
    let image = image(layout.tar()).unwrap();
    assert!(image.manifest.is_none());
    assert_eq!(image.layers[0].compression, Compression::None);
}

#[test]
fn of_several_platforms_ours_is_taken_or_theirs_are_told() {
    let mut layout = Layout::new();
    let arm = layout.image("arm64", &[b"arm"], GZIP_LAYER);
    let ours = layout.image("amd64", &[b"amd"], GZIP_LAYER);
    let mut proof = layout.image("unknown", &[b"proof"], GZIP_LAYER);
    proof["annotations"] = serde_json::json!({ "vnd.docker.reference.type": "attestation-manifest" });
    let index = |parts: &[&serde_json::Value]| {
        serde_json::json!({ "schemaVersion": 2, "manifests": parts }).to_string().into_bytes()
    };
    let media_type = "application/vnd.oci.image.index.v1+json";
    let both = layout.blob(media_type, &index(&[&arm, &ours, &proof]));
    let one = layout.blob(media_type, &index(&[&arm, &proof]));
    layout.manifests = vec![both];
    assert_eq!(image(layout.tar()).unwrap().layers[0].digest, Some(digest(b"amd")));
    layout.manifests = vec![one];
    let said = refused(layout.tar());
    assert!(said.contains("for linux/arm64, and not for linux/amd64"), "{said}");
    assert!(!said.contains("unknown"), "{said}");
    assert!(refused(saved("arm64", &[b"x"])).contains("linux/arm64"));
}

/// Counts what is read.
struct Counted {
    inner: Cursor<Vec<u8>>,
    read: std::rc::Rc<std::cell::Cell<usize>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.read.set(self.read.get() + length);
        Ok(length)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.inner.seek(to)
    }
}

#[test]
fn an_index_that_is_named_a_thousand_times_is_read_once() {
    let media_type = "application/vnd.oci.image.index.v1+json";
    let mut layout = Layout::new();
    let mut inner = layout.image("amd64", &[b"packed"], GZIP_LAYER);
    for _ in 0..2 {
        let many: Vec<_> = std::iter::repeat_n(inner, 1000).collect();
        let index = serde_json::json!({ "schemaVersion": 2, "manifests": many }).to_string().into_bytes();
        inner = layout.blob(media_type, &index);
    }
    layout.manifests = vec![inner.clone()];
    let bytes = layout.tar();
    let (length, read) = (bytes.len(), std::rc::Rc::default());
    let mut archive = Archive::open(Counted { inner: Cursor::new(bytes), read: std::rc::Rc::clone(&read) }).unwrap();
    assert_eq!(archive.image(None, PLATFORM).unwrap().layers[0].digest, Some(digest(b"packed")));
    assert!(read.get() < 2 * length, "{} bytes of {length}", read.get());
    layout.manifests = vec![inner; MOST_LAYERS + 1];
    assert!(refused(layout.tar()).contains("too many images"));
}

#[test]
fn lies_about_digests_and_sizes_are_found() {
    let mut layout = Layout::new();
    let descriptor = layout.image("amd64", &[b"packed"], GZIP_LAYER);
    layout.manifests.push(descriptor);
    let good = layout.tar();
    image(good.clone()).unwrap();
    // Each blob in turn: another byte, and one byte less.
    for at in 1..layout.blobs.len() {
        let name = layout.blobs[at].0.clone();
        for change in [0, 1] {
            let before = layout.blobs[at].1.clone();
            match change {
                0 => layout.blobs[at].1[0] ^= 1,
                _ => drop(layout.blobs[at].1.pop()),
            }
            let read = image(layout.tar());
            let is_layer = before == b"packed";
            // The bytes of layers are checked by whoever reads them, which is done before anything is sent.
            assert!(read.is_err() || (is_layer && change == 0), "{name} {change}");
            layout.blobs[at].1 = before;
        }
    }
    let mut bytes = saved("amd64", &[b"x"]);
    let at = bytes.windows(5).position(|window| window == b"linux").unwrap();
    bytes[at] = b'L';
    assert!(refused(bytes).contains("damaged"));
}

#[test]
fn an_archive_that_is_cut_anywhere_is_an_error_and_no_panic() {
    for bytes in [saved("amd64", &[b"first layer", &[7; 3000]]), {
        let mut layout = Layout::new();
        let descriptor = layout.image("amd64", &[&[7; 3000]], GZIP_LAYER);
        layout.manifests.push(descriptor);
        layout.tar()
    }] {
        // The zeros and the padding at the end may be missing.
        let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        for length in (0..last).step_by(97) {
            assert!(image(bytes[..length].to_vec()).is_err(), "cut at {length} of {}", bytes.len());
        }
        image(bytes[..=last].to_vec()).unwrap();
    }
}

#[test]
fn changed_bytes_never_panic() {
    let good = saved("amd64", &[b"first layer", b"second"]);
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..3000 {
        let mut bytes = good.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
            if random.bool() {
                let begin = at / 512 * 512;
                sign(&mut bytes[begin..begin + 512]);
            }
        }
        let _whatever = image(bytes);
    }
}

#[test]
fn lengths_that_nothing_has_are_refused_before_anything_is_kept() {
    for length in [0o777_7777_7777, 1 << 30] {
        assert!(refused(header("x", b'0', "", length)).contains("cut"), "{length}");
    }
    let mut huge = header("x", b'0', "", 0);
    huge[124..136].copy_from_slice(&[0xff; 12]);
    sign(&mut huge);
    assert!(Archive::open(Cursor::new(huge)).is_err());
    let long_name = [entry("x", b'L', "", &vec![b'a'; 1 << 17]), tar(&[("x", b"")])].concat();
    assert!(refused(long_name).contains("too long"));
    let long = vec![b' '; (LONGEST_DOCUMENT + 1) as usize];
    assert!(refused(tar(&[("manifest.json", &long)])).contains("no such document"));
    assert!(refused(tar(&[("manifest.json", b"[]")])).contains("no such image"));
    assert!(refused(b"".to_vec()).contains("empty"));
    assert!(refused(vec![0; 1024]).contains("nothing in it"));
    assert!(refused(vec![b'x'; 4096]).contains("no tar archive"));
    assert!(refused(tar(&[("hello.txt", b"hi")])).contains("no image"));
}

#[test]
fn long_names_links_and_pax_headers_are_understood() {
    let mut bytes = entry("x", b'L', "", b"./a/very/../long/name\0");
    bytes.extend(entry("short", b'0', "", b"one"));
    bytes.extend(entry("pax", b'x', "", b"17 path=p/a/x\xc3\xa4\n12 size=3\n\n"));
    let mut archive = Archive::open(Cursor::new([bytes.clone(), vec![0; 1024]].concat()));
    assert!(archive.is_err(), "a pax record whose length is wrong");
    let record = |key: &str, value: &str| {
        let rest = format!(" {key}={value}\n");
        let mut length = rest.len() + 1;
        while format!("{length}{rest}").len() != length {
            length += 1;
        }
        format!("{length}{rest}")
    };
    let pax = record("path", "p/ä") + &record("mtime", "1.5");
    let mut bytes = entry("x", b'L', "", b"./a/very/../long/name\0");
    bytes.extend(entry("short", b'0', "", b"one"));
    bytes.extend(entry("pax", b'x', "", pax.as_bytes()));
    bytes.extend(entry("short", b'0', "", b"two"));
    bytes.extend(entry("b/link", b'2', "../a/long/name", b""));
    bytes.extend(entry("hard", b'1', "p/x", b""));
    bytes.extend(entry("loop", b'2', "loop", b""));
    bytes.extend([0; 1024]);
    archive = Archive::open(Cursor::new(bytes));
    let archive = archive.unwrap();
    assert_eq!(archive.place("a/long/name").unwrap().length, 3);
    assert_eq!(archive.place("b/link").unwrap(), archive.place("a/long/name").unwrap());
    assert!(archive.place("p/ä").is_ok() && archive.place("hard").is_err() && archive.place("loop").is_err());
}

#[test]
fn compression_is_always_the_same_and_comes_back() {
    let content = b"layer ".repeat(100_000);
    let (mut one, mut other) = (Vec::new(), Vec::new());
    let (plain, packed) = gzip_to(&content[..], &mut one).unwrap();
    // In other pieces.
    gzip_to(std::io::BufReader::with_capacity(1009, &content[..]), &mut other).unwrap();
    assert_eq!(one, other);
    assert_eq!((plain.digest, plain.length), (digest(&content), 600_000));
    assert_eq!((packed.digest, packed.length), (digest(&one), one.len() as u64));
    let mut back = Vec::new();
    assert_eq!(gunzip_to(&one[..], &mut back, 600_000).unwrap().digest, digest(&content));
    assert_eq!(back, content);
    assert!(gunzip_to(&one[..], std::io::sink(), 599_999).is_err(), "a bomb");
    assert!(gunzip_to(&one[..one.len() - 1], std::io::sink(), 600_000).is_err(), "cut");
}

#[test]
fn a_short_name_is_the_long_one_that_it_stands_for() {
    let layers: [&[u8]; 1] = [b"x"];
    let config = config("amd64", &layers);
    let rows: Vec<_> = ["hello:latest", "docker.io/library/shop:2"]
        .iter()
        .map(|tag| serde_json::json!({ "Config": "c", "RepoTags": [tag], "Layers": ["l"] }))
        .collect();
    let manifest = serde_json::Value::from(rows).to_string();
    let bytes = tar(&[("c", &config), ("l", layers[0]), ("manifest.json", manifest.as_bytes())]);
    let mut archive = Archive::open(Cursor::new(bytes)).unwrap();
    for wanted in ["hello", "shop:2", "docker.io/library/hello:latest"] {
        archive.image(Some(wanted), PLATFORM).unwrap();
    }
    assert!(archive.image(Some("other"), PLATFORM).is_err());
    assert!(archive.image(None, PLATFORM).unwrap_err().to_string().contains("several images"));
}
