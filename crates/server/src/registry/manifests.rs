//! What manifests name. What cannot be read for certain is an error: a blob that it names would be taken for garbage.

use std::collections::BTreeMap;

use futuswarm_paas::collection::Digests;
use futuswarm_store::Bucket;
use futuswarm_vault::DataKeys;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Digest, LONGEST_MANIFEST, layout};
use crate::records::{Error, Records};

/// So many are read before any of them is looked at: each may have some megabytes.
const AT_ONCE: usize = 16;

/// What one manifest names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Named {
    blobs: Digests,
    /// Other manifests, in an index of several platforms.
    manifests: Digests,
}

/// Manifests that were read, by their digests: what one names never changes.
#[derive(Debug, Default)]
pub(crate) struct Manifests(BTreeMap<String, Named>);

impl Manifests {
    /// Reads those that were not read yet; `size` says how long each is.
    ///
    /// # Errors
    /// When the bucket does not answer, or one of them is no manifest.
    pub(crate) async fn read<B: Bucket, K: DataKeys>(
        &mut self,
        records: &Records<B, K>,
        digests: Vec<&String>,
        size: impl Fn(&str) -> Option<u64>,
    ) -> Result<(), Error> {
        let new: Vec<&String> = digests.into_iter().filter(|digest| !self.0.contains_key(*digest)).collect();
        for some in new.chunks(AT_ONCE) {
            for digest in some {
                if size(digest).is_none_or(|bytes| bytes > LONGEST_MANIFEST as u64) {
                    return Err(unreadable(digest, "no manifest is so long"));
                }
            }
            let keys: Vec<String> = some.iter().map(|digest| layout::blob(digest)).collect();
            let bodies = records.read_registry(&keys).await?;
            for (digest, key) in some.iter().zip(&keys) {
                let named = parse(digest, bodies.get(key).map(Vec::as_slice).unwrap_or_default())?;
                self.0.insert((*digest).clone(), named);
            }
        }
        Ok(())
    }

    /// Blobs that a manifest names; none of one that is not there.
    pub(crate) fn blobs(&self, digest: &str) -> Digests {
        self.0.get(digest).map(|named| named.blobs.clone()).unwrap_or_default()
    }

    /// Manifests that a manifest names.
    pub(crate) fn manifests(&self, digest: &str) -> Digests {
        self.0.get(digest).map(|named| named.manifests.clone()).unwrap_or_default()
    }
}

fn unreadable(digest: &str, reason: &str) -> Error {
    Error::Unreadable { key: layout::blob(digest), reason: reason.to_owned() }
}

/// Digests of the blobs that a manifest names; none of what is no manifest.
pub(crate) fn named_blobs(body: &[u8]) -> Vec<String> {
    let manifest: Value = serde_json::from_slice(body).unwrap_or_default();
    named(&manifest).blobs.into_iter().collect()
}

fn parse(digest: &str, body: &[u8]) -> Result<Named, Error> {
    let found: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    if digest.strip_prefix("sha256:") != Some(found.as_str()) {
        return Err(unreadable(digest, "its content is another than its name says"));
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(manifest) if manifest.is_object() => Ok(named(&manifest)),
        _ => Err(unreadable(digest, "it is no manifest")),
    }
}

/// As of images, artifacts and indexes (OCI image specification 1.1), and of Docker's schemas. Digests of another kind than ours name
/// nothing that is collected.
fn named(manifest: &Value) -> Named {
    let digests = |list: &str, field: &str| {
        let entries = manifest[list].as_array().into_iter().flatten();
        let digests = entries.filter_map(|entry| Digest::parse(entry[field].as_str()?));
        digests.map(|digest| digest.as_str().to_owned()).collect::<Vec<_>>()
    };
    let mut blobs: Digests = digests("layers", "digest").into_iter().collect();
    blobs.extend(digests("blobs", "digest"));
    blobs.extend(digests("fsLayers", "blobSum"));
    let config = manifest["config"]["digest"].as_str().and_then(Digest::parse);
    blobs.extend(config.map(|digest| digest.as_str().to_owned()));
    Named { blobs, manifests: digests("manifests", "digest").into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(digit: char) -> String {
        format!("sha256:{}", digit.to_string().repeat(64))
    }

    #[test]
    fn manifests_of_every_kind_name_their_parts() {
        let image = format!(
            r#"{{"config":{{"digest":"{}"}},"layers":[{{"digest":"{}"}},{{"digest":"sha512:00"}},{{}}]}}"#,
            hex('a'),
            hex('b')
        );
        assert_eq!(named_blobs(image.as_bytes()), [hex('a'), hex('b')]);
        let index = format!(r#"{{"manifests":[{{"digest":"{}"}}],"blobs":[{{"digest":"{}"}}]}}"#, hex('c'), hex('d'));
        let named = named(&serde_json::from_str(&index).unwrap());
        assert_eq!((named.manifests, named.blobs), (Digests::from([hex('c')]), Digests::from([hex('d')])));
        let old = format!(r#"{{"fsLayers":[{{"blobSum":"{}"}}]}}"#, hex('e'));
        assert_eq!(named_blobs(old.as_bytes()), [hex('e')]);
        assert_eq!(named_blobs(b"no JSON"), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_what_its_name_says_is_no_manifest_without_layers() {
        let digest = |body: &[u8]| {
            let hex: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
            format!("sha256:{hex}")
        };
        assert_eq!(parse(&digest(b"{}"), b"{}").unwrap(), Named::default());
        for body in [b"[]".as_slice(), b"", b"\"x\"", b"{"] {
            assert!(parse(&digest(body), body).unwrap_err().to_string().contains("no manifest"), "{body:?}");
        }
        assert!(parse(&digest(b"{}"), b"{ }").unwrap_err().to_string().contains("another than its name says"));
    }
}
