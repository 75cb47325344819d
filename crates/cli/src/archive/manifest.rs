//! Which image is in an archive: its config, its layers, and its manifest if it has one of its own.

use std::collections::BTreeSet;
use std::io::{Read, Seek};

use serde::{Deserialize, Serialize};

use super::{Archive, ArchiveError, MOST_LAYERS, Place, digest};

/// Media type of a manifest that is made here.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Media type of a layer that is compressed here.
pub const GZIP_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// An index within an index within an index is nobody's.
const DEEPEST_INDEX: usize = 3;

/// A part of an image, as an OCI manifest has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// As in the OCI image specification; empty where a writer has left it out.
    #[serde(default)]
    pub media_type: String,
    /// `sha256:…`.
    pub digest: String,
    /// In bytes.
    pub size: u64,
    #[serde(default, skip_serializing)]
    platform: Option<Platform>,
    #[serde(default, skip_serializing)]
    annotations: std::collections::BTreeMap<String, serde_json::Value>,
}

impl Descriptor {
    /// Of something that was made or measured here.
    #[must_use]
    pub fn new(media_type: &str, digest: &str, size: u64) -> Self {
        let (platform, annotations) = (None, std::collections::BTreeMap::new());
        Self { media_type: media_type.to_owned(), digest: digest.to_owned(), size, platform, annotations }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
}

impl Platform {
    fn text(&self) -> String {
        format!("{}/{}", self.os, self.architecture)
    }
}

/// How a layer is stored in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// A plain tar.
    None,
    /// As it goes into a registry.
    Done,
}

/// A layer of an image in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Where its bytes are.
    pub place: Place,
    /// How they are stored.
    pub compression: Compression,
    /// What it is called when it goes as it is.
    pub media_type: String,
    /// What the bytes have to hash to; `None` where only the content is known.
    pub digest: Option<String>,
    /// What the plain tar has to hash to; `None` where a digest of the bytes is known.
    pub diff_id: Option<String>,
}

/// An image in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its config, byte for byte; its digest was checked.
    pub config: Vec<u8>,
    /// What a manifest says of it.
    pub config_descriptor: Descriptor,
    /// From the lowest one.
    pub layers: Vec<Layer>,
    /// Media type and manifest, byte for byte, when the archive has one that names every layer as it is.
    pub manifest: Option<(String, Vec<u8>)>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    media_type: Option<String>,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// A row of the `manifest.json` of `docker save`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(flatten)]
    platform: Platform,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<String>,
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8], name: &str) -> Result<T, ArchiveError> {
    serde_json::from_slice(bytes).map_err(|error| ArchiveError::Image(format!("{name} cannot be read: {error}")))
}

/// The 64 digits of a SHA-256 digest: what is something else must not become a part of a path.
fn digits(digest: &str) -> Result<&str, ArchiveError> {
    digest
        .strip_prefix("sha256:")
        .filter(|digits| {
            digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        })
        .ok_or_else(|| ArchiveError::Image(format!("{digest:?} is no digest (sha256: and 64 hexadecimal digits)")))
}

/// Finds the image.
pub fn image<R: Read + Seek>(
    archive: &mut Archive<R>,
    wanted: Option<&str>,
    platform: &str,
) -> Result<Image, ArchiveError> {
    if archive.has("index.json") && archive.has("oci-layout") {
        return layout(archive, wanted, platform);
    }
    if archive.has("manifest.json") {
        return saved(archive, wanted, platform);
    }
    Err(ArchiveError::Image(
        "there is no image in the archive: neither an OCI layout (index.json) nor what `docker save` writes (manifest.json)".to_owned(),
    ))
}

/// A blob of an OCI layout that is a document; its digest is checked.
fn blob<R: Read + Seek>(
    archive: &mut Archive<R>,
    descriptor: &Descriptor,
    what: &str,
) -> Result<Vec<u8>, ArchiveError> {
    let place = blob_place(archive, descriptor, what)?;
    let bytes = archive.document(place, what)?;
    let found = digest(&bytes);
    match found == descriptor.digest {
        true => Ok(bytes),
        false => Err(ArchiveError::Digest { what: what.to_owned(), found, wanted: descriptor.digest.clone() }),
    }
}

fn blob_place<R: Read + Seek>(
    archive: &Archive<R>,
    descriptor: &Descriptor,
    what: &str,
) -> Result<Place, ArchiveError> {
    let place = archive.place(&format!("blobs/sha256/{}", digits(&descriptor.digest)?))?;
    match place.length == descriptor.size {
        true => Ok(place),
        false => Err(ArchiveError::Image(format!(
            "{what} has {} bytes, and the archive says that it has {}: it is cut or damaged",
            place.length, descriptor.size
        ))),
    }
}

fn layout<R: Read + Seek>(
    archive: &mut Archive<R>,
    wanted: Option<&str>,
    platform: &str,
) -> Result<Image, ArchiveError> {
    let place = archive.place("index.json")?;
    let index: Index = parse(&archive.document(place, "index.json")?, "index.json")?;
    check_length(&index)?;
    let named = |descriptor: &Descriptor, key: &str| {
        descriptor.annotations.get(key).and_then(|name| name.as_str()).map(str::to_owned)
    };
    let names = |descriptor: &Descriptor| -> Vec<String> {
        ["io.containerd.image.name", "org.opencontainers.image.ref.name"]
            .iter()
            .filter_map(|key| named(descriptor, key))
            .collect()
    };
    let mut candidates: Vec<Descriptor> = index.manifests;
    if let Some(wanted) = wanted {
        let matching = |descriptor: &Descriptor| names(descriptor).iter().any(|name| same_name(name, wanted));
        if candidates.iter().any(matching) {
            candidates.retain(matching);
        }
    }
    // One image under several names is one image.
    candidates.sort_by(|a, b| a.digest.cmp(&b.digest));
    candidates.dedup_by(|a, b| a.digest == b.digest);
    let mut search = Search { platform, found: Vec::new(), others: Vec::new(), seen: BTreeSet::new() };
    for candidate in candidates {
        search.manifests(archive, candidate, 0)?;
    }
    let Search { found, mut others, .. } = search;
    let descriptor = match &found[..] {
        [one] => one.clone(),
        [] if others.is_empty() => return Err(ArchiveError::Image("there is no image in the archive".to_owned())),
        [] => {
            others.sort();
            others.dedup();
            return Err(ArchiveError::Image(format!(
                "the image is for {}, and not for {platform}: build it with `docker build --platform {platform}`",
                others.join(", ")
            )));
        }
        several => {
            return Err(ArchiveError::Image(format!(
                "there are {} images in the archive: save one alone",
                several.len()
            )));
        }
    };
    from_manifest(archive, &descriptor, platform)
}

/// Collects the manifests for a platform, and the platforms of others.
struct Search<'a> {
    platform: &'a str,
    found: Vec<Descriptor>,
    others: Vec<String>,
    /// Digests of indexes that were looked into: one that is named a thousand times, in one that is named a thousand times, would be read
    /// a million times.
    seen: BTreeSet<String>,
}

impl Search<'_> {
    fn manifests<R: Read + Seek>(
        &mut self,
        archive: &mut Archive<R>,
        descriptor: Descriptor,
        depth: usize,
    ) -> Result<(), ArchiveError> {
        let is_index = descriptor.media_type.contains("image.index") || descriptor.media_type.contains("manifest.list");
        if !is_index {
            // What proves how an image was built is listed as if it were one.
            let is_attestation = descriptor.annotations.contains_key("vnd.docker.reference.type");
            match &descriptor.platform {
                _ if is_attestation => {}
                Some(other) if other.text() != self.platform => self.others.push(other.text()),
                _ if self.found.iter().any(|known| known.digest == descriptor.digest) => {}
                _ => self.found.push(descriptor),
            }
            return Ok(());
        }
        if depth >= DEEPEST_INDEX {
            return Err(ArchiveError::Image("the archive has indexes within indexes, which no image has".to_owned()));
        }
        if !self.seen.insert(descriptor.digest.clone()) {
            return Ok(());
        }
        let bytes = blob(archive, &descriptor, "an index")?;
        let index: Index = parse(&bytes, "an index")?;
        check_length(&index)?;
        for inner in index.manifests {
            // Archives made for one platform leave the blobs of others out, and still name them.
            let there = archive.has(&format!("blobs/sha256/{}", digits(&inner.digest)?));
            let fits = inner.platform.as_ref().is_none_or(|its| its.text() == self.platform);
            match (there, fits) {
                (false, false) => self.others.extend(inner.platform.as_ref().map(Platform::text)),
                _ => self.manifests(archive, inner, depth + 1)?,
            }
        }
        Ok(())
    }
}

fn check_length(index: &Index) -> Result<(), ArchiveError> {
    match index.manifests.len() > MOST_LAYERS {
        true => Err(ArchiveError::Image("an index has too many images".to_owned())),
        false => Ok(()),
    }
}

fn from_manifest<R: Read + Seek>(
    archive: &mut Archive<R>,
    descriptor: &Descriptor,
    platform: &str,
) -> Result<Image, ArchiveError> {
    let bytes = blob(archive, descriptor, "the manifest")?;
    let manifest: Manifest = parse(&bytes, "the manifest")?;
    if manifest.layers.len() > MOST_LAYERS {
        return Err(ArchiveError::Image(format!(
            "the image has {} layers: at most {MOST_LAYERS}",
            manifest.layers.len()
        )));
    }
    let config = blob(archive, &manifest.config, "the config")?;
    check_platform(&parse(&config, "the config")?, platform)?;
    let mut layers = Vec::new();
    for (number, layer) in manifest.layers.iter().enumerate() {
        if layer.media_type.contains("foreign") || layer.media_type.contains("nondistributable") {
            return Err(ArchiveError::Image(format!("layer {} is not in the archive but somewhere else", number + 1)));
        }
        let place = blob_place(archive, layer, &format!("layer {}", number + 1))?;
        let plain = layer.media_type.ends_with(".tar") || layer.media_type.ends_with("diff");
        layers.push(Layer {
            place,
            compression: if plain { Compression::None } else { Compression::Done },
            media_type: layer.media_type.clone(),
            digest: Some(layer.digest.clone()),
            diff_id: None,
        });
    }
    let media_type = manifest.media_type.unwrap_or_else(|| match descriptor.media_type.is_empty() {
        true => MANIFEST.to_owned(),
        false => descriptor.media_type.clone(),
    });
    // What is compressed here has another digest than the manifest says.
    let as_it_is = layers.iter().all(|layer| layer.compression == Compression::Done);
    let manifest_bytes = as_it_is.then_some((media_type, bytes));
    let config_descriptor = Descriptor::new(CONFIG, &manifest.config.digest, manifest.config.size);
    Ok(Image { config, config_descriptor, layers, manifest: manifest_bytes })
}

fn check_platform(config: &Config, platform: &str) -> Result<(), ArchiveError> {
    let its = config.platform.text();
    match its == platform {
        true => Ok(()),
        false => Err(ArchiveError::Image(format!(
            "the image is for {its}, and not for {platform}: build it with `docker build --platform {platform}`"
        ))),
    }
}

fn saved<R: Read + Seek>(
    archive: &mut Archive<R>,
    wanted: Option<&str>,
    platform: &str,
) -> Result<Image, ArchiveError> {
    let place = archive.place("manifest.json")?;
    let mut rows: Vec<Saved> = parse(&archive.document(place, "manifest.json")?, "manifest.json")?;
    let tags = |row: &Saved| row.repo_tags.clone().unwrap_or_default();
    if let Some(wanted) = wanted.filter(|_| rows.len() > 1) {
        rows.retain(|row| tags(row).iter().any(|tag| same_name(tag, wanted)));
    }
    let row = match (rows.pop(), rows.is_empty()) {
        (Some(row), true) => row,
        (None, _) => return Err(ArchiveError::Image("there is no such image in the archive".to_owned())),
        (Some(last), false) => {
            let names: Vec<String> = rows.iter().chain([&last]).flat_map(tags).collect();
            return Err(ArchiveError::Image(format!(
                "there are several images in the archive ({}): save one alone",
                names.join(", ")
            )));
        }
    };
    let place = archive.place(&row.config)?;
    let config = archive.document(place, "the config")?;
    let found = digest(&config);
    // Its name is its digest, where it has one.
    let said = row.config.trim_end_matches(".json").rsplit('/').next().unwrap_or_default();
    if said.len() == 64 && found != format!("sha256:{said}") {
        return Err(ArchiveError::Digest { what: "the config".to_owned(), found, wanted: format!("sha256:{said}") });
    }
    let parsed: Config = parse(&config, "the config")?;
    check_platform(&parsed, platform)?;
    let ids = parsed.rootfs.diff_ids;
    if ids.len() != row.layers.len() || ids.len() > MOST_LAYERS {
        return Err(ArchiveError::Image(format!(
            "the config has {} layers, and the archive {}",
            ids.len(),
            row.layers.len()
        )));
    }
    let mut layers = Vec::new();
    for (name, id) in row.layers.iter().zip(ids) {
        digits(&id)?;
        let place = archive.place(name)?;
        let mut magic = Vec::new();
        archive.read(place)?.take(2).read_to_end(&mut magic)?;
        let compressed = magic == [0x1f, 0x8b];
        layers.push(Layer {
            place,
            compression: if compressed { Compression::Done } else { Compression::None },
            media_type: GZIP_LAYER.to_owned(),
            digest: None,
            diff_id: Some(id),
        });
    }
    let config_descriptor = Descriptor::new(CONFIG, &found, config.len() as u64);
    Ok(Image { config, config_descriptor, layers, manifest: None })
}

/// Whether a full name is what somebody means by a short one: `hello` is `docker.io/library/hello:latest`.
fn same_name(full: &str, short: &str) -> bool {
    let whole = |name: &str| {
        let name = name.strip_prefix("docker.io/").unwrap_or(name);
        let name = name.strip_prefix("library/").unwrap_or(name);
        let last = name.rsplit('/').next().unwrap_or(name);
        if last.contains([':', '@']) { name.to_owned() } else { format!("{name}:latest") }
    };
    whole(full) == whole(short)
}
