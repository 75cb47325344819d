//! docker-registry's part of the bucket: which object is what (distribution 2.8, `registry/storage/paths.go`).

use std::collections::BTreeMap;

use futuswarm_model::keys;
use futuswarm_paas::collection::Repository;
use futuswarm_store::Entry;

use super::Digest;

/// Where repositories are, a folder each.
pub(crate) fn repositories() -> String {
    format!("{}docker/registry/v2/repositories/", keys::REGISTRY)
}

/// What everything of a repository begins with, slash included.
pub(crate) fn repository(name: &str) -> String {
    format!("{}{name}/", repositories())
}

/// Where blobs are, those of all repositories.
pub(crate) fn blobs() -> String {
    format!("{}docker/registry/v2/blobs/sha256/", keys::REGISTRY)
}

fn hex(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}

/// The content of a blob.
pub(crate) fn blob(digest: &str) -> String {
    let hex = hex(digest);
    format!("{}{}/{hex}/data", blobs(), hex.get(..2).unwrap_or_default())
}

/// Which manifest a tag names: its content is the digest.
pub(crate) fn current(name: &str, tag: &str) -> String {
    format!("{}_manifests/tags/{tag}/current/link", repository(name))
}

/// That a tag has named a manifest.
pub(crate) fn past(name: &str, tag: &str, digest: &str) -> String {
    format!("{}_manifests/tags/{tag}/index/sha256/{}/link", repository(name), hex(digest))
}

/// That a repository has a manifest.
pub(crate) fn manifest(name: &str, digest: &str) -> String {
    format!("{}_manifests/revisions/sha256/{}/link", repository(name), hex(digest))
}

/// That a repository serves a blob.
pub(crate) fn layer(name: &str, digest: &str) -> String {
    format!("{}_layers/sha256/{}/link", repository(name), hex(digest))
}

/// The digest of a blob's content by its key; `None` for anything else.
pub(crate) fn digest_of_blob(key: &str) -> Option<String> {
    let hex = key.strip_prefix(&blobs())?.strip_suffix("/data")?.split_once('/')?.1;
    digest(hex)
}

fn digest(hex: &str) -> Option<String> {
    Digest::parse(&format!("sha256:{hex}")).map(|digest| digest.as_str().to_owned())
}

/// A repository as it was listed.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    /// Its tags name nothing yet: what they name is in the objects.
    pub(crate) repository: Repository,
    /// When each tag was pushed last, for tags that name anything.
    pub(crate) current: BTreeMap<String, u64>,
    /// All objects of each upload.
    pub(crate) uploads: BTreeMap<String, Vec<String>>,
}

/// What a listing of [`repository`] says. What is not known here is left alone.
pub(crate) fn read(name: &str, entries: &[Entry]) -> Listed {
    let mut listed = Listed::default();
    let folder = repository(name);
    for Entry { key, modified, .. } in entries {
        let Some(rest) = key.strip_prefix(&folder) else { continue };
        let words: Vec<&str> = rest.split('/').collect();
        let repository = &mut listed.repository;
        match words.as_slice() {
            ["_manifests", "tags", tag, "current", "link"] => {
                repository.tags.entry((*tag).to_owned()).or_default();
                listed.current.insert((*tag).to_owned(), *modified);
            }
            ["_manifests", "tags", tag, "index", "sha256", hex, "link"] => {
                let past = digest(hex).map(|digest| (digest, *modified));
                repository.tags.entry((*tag).to_owned()).or_default().past.extend(past);
            }
            ["_manifests", "revisions", "sha256", hex, "link"] => {
                repository.manifests.extend(digest(hex).map(|digest| (digest, *modified)));
            }
            ["_layers", "sha256", hex, "link"] => {
                repository.layers.extend(digest(hex).map(|digest| (digest, *modified)));
            }
            ["_uploads", id, ..] => {
                let last = repository.uploads.entry((*id).to_owned()).or_default();
                *last = (*last).max(*modified);
                listed.uploads.entry((*id).to_owned()).or_default().push(key.clone());
            }
            _ => {}
        }
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn objects_are_where_the_registry_puts_them() {
        let digest = format!("sha256:{HEX}");
        let root = "registry/docker/registry/v2";
        assert_eq!(blob(&digest), format!("{root}/blobs/sha256/e3/{HEX}/data"));
        assert_eq!(digest_of_blob(&blob(&digest)), Some(digest.clone()));
        for key in
            [format!("{root}/blobs/sha256/e3/{HEX}"), format!("{root}/blobs/sha256/e3/abc/data"), current("a", "b")]
        {
            assert_eq!(digest_of_blob(&key), None, "{key}");
        }
        let repository = format!("{root}/repositories/hello");
        assert_eq!(current("hello", "1.0"), format!("{repository}/_manifests/tags/1.0/current/link"));
        assert_eq!(past("hello", "1.0", &digest), format!("{repository}/_manifests/tags/1.0/index/sha256/{HEX}/link"));
        assert_eq!(manifest("hello", &digest), format!("{repository}/_manifests/revisions/sha256/{HEX}/link"));
        assert_eq!(layer("hello", &digest), format!("{repository}/_layers/sha256/{HEX}/link"));
    }

    #[test]
    fn a_listing_is_read_back_and_what_is_strange_is_left_alone() {
        let digest = format!("sha256:{HEX}");
        let upload = format!("{}_uploads/u1", repository("hello"));
        let keys = [
            (current("hello", "1"), 5),
            (past("hello", "1", &digest), 4),
            (past("hello", "2", &digest), 3),
            (manifest("hello", &digest), 2),
            (layer("hello", &digest), 1),
            (format!("{upload}/startedat"), 6),
            (format!("{upload}/hashstates/sha256/100"), 8),
            (format!("{upload}/data"), 7),
            (format!("{}_manifests/revisions/sha256/abc/link", repository("hello")), 1),
            (format!("{}_manifests/revisions/sha256/{HEX}/signatures/sha256/{HEX}/link", repository("hello")), 1),
            (format!("{}notes", repository("hello")), 1),
            (layer("hello-2", &digest), 1),
        ];
        let entry = |(key, modified): &(String, u64)| Entry {
            key: key.clone(),
            etag: String::new(),
            bytes: 71,
            modified: *modified,
        };
        let entries: Vec<Entry> = keys.iter().map(entry).collect();
        let listed = read("hello", &entries);
        assert_eq!(listed.current, BTreeMap::from([("1".to_owned(), 5)]));
        assert_eq!(listed.repository.tags.len(), 2);
        assert_eq!(listed.repository.tags["2"].past, BTreeMap::from([(digest.clone(), 3)]));
        assert_eq!(listed.repository.manifests, BTreeMap::from([(digest.clone(), 2)]));
        assert_eq!(listed.repository.layers, BTreeMap::from([(digest, 1)]));
        assert_eq!(listed.repository.uploads, BTreeMap::from([("u1".to_owned(), 8)]));
        assert_eq!(listed.uploads["u1"].len(), 3);
    }
}
