//! What a manifest names: its config and its layers, each of which has to be there as long as it says.

use serde_json::Value;

use super::MOST_BLOBS;
use crate::refusal::Refused;
use crate::registry::Digest;

/// The config or a layer.
#[derive(Debug)]
pub(super) struct Part {
    /// In words.
    what: String,
    pub(super) digest: Digest,
    /// As the manifest says, in bytes.
    size: u64,
}

impl Part {
    /// Compares with what is there; `None` when nothing is.
    ///
    /// # Errors
    /// When it is not what the manifest says: whoever plans with sizes, such as a node that pulls, would plan with wrong ones.
    pub(super) fn check(&self, length: Option<u64>) -> Result<(), Refused> {
        let Self { what, digest, size } = self;
        match length {
            Some(length) if length == *size => Ok(()),
            Some(length) => Err(Refused::usage(format!(
                "the manifest says that {what} ({digest}) has {size} bytes, and it has {length}: nothing was named; make the image again, and push it"
            ))),
            None => Err(Refused::usage(format!(
                "{what} of the manifest ({digest}) is not there: nothing was named; push the image again"
            ))),
        }
    }
}

/// The parts that a manifest of one image names, in its order.
///
/// # Errors
/// When it is none, or names more than any image has.
pub(super) fn parts(manifest: &str) -> Result<Vec<Part>, Refused> {
    let manifest: Value =
        serde_json::from_str(manifest).map_err(|_| Refused::usage("the manifest is no JSON document"))?;
    let layers = manifest["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
    if layers.len() >= MOST_BLOBS {
        return Err(Refused::usage(format!("{} layers are more than any image has", layers.len())));
    }
    let layers = layers.iter().enumerate().map(|(at, layer)| (format!("layer {}", at + 1), layer));
    let all = std::iter::once(("the config".to_owned(), &manifest["config"])).chain(layers);
    let parts = all.map(|(what, descriptor)| {
        let digest = descriptor["digest"].as_str().and_then(Digest::parse);
        match (digest, descriptor["size"].as_u64()) {
            (Some(digest), Some(size)) => Ok(Part { what, digest, size }),
            _ => Err(Refused::usage(format!(
                "{what} of the manifest has no digest, as in `sha256:` and 64 hexadecimal digits, or no size in bytes"
            ))),
        }
    });
    parts.collect()
}
