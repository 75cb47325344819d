//! Digests of layers as they were compressed, by the digest of their content. What is lost or wrong in it costs time and nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::home::Home;

/// Names the compressor: another one makes other bytes.
const KIND: &str = "gzip-6-miniz";
/// So many are kept; without order, since most of what is pushed again was pushed lately and is put in again.
const MOST: usize = 4000;
/// A file that is longer is none of ours.
const LONGEST: u64 = 4 << 20;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Document {
    kind: String,
    layers: BTreeMap<String, (String, u64)>,
}

/// What is remembered.
#[derive(Debug)]
pub struct Cache {
    home: Home,
    layers: BTreeMap<String, (String, u64)>,
    changed: bool,
}

impl Cache {
    /// Reads it, if it is there.
    pub fn load(home: &Home) -> Self {
        let file = home.folder.join("layers.json");
        let short = std::fs::metadata(&file).is_ok_and(|data| data.len() <= LONGEST);
        let text = if short { std::fs::read_to_string(&file).unwrap_or_default() } else { String::new() };
        let document: Document = serde_json::from_str(&text).unwrap_or_default();
        let layers = if document.kind == KIND { document.layers } else { BTreeMap::new() };
        Self { home: home.clone(), layers, changed: false }
    }

    /// Digest and length of the compressed layer.
    pub fn get(&self, content: &str) -> Option<(String, u64)> {
        self.layers.get(content).cloned()
    }

    /// Remembers them.
    pub fn put(&mut self, content: &str, digest: &str, length: u64) {
        if self.layers.len() >= MOST {
            self.layers.clear();
        }
        self.layers.insert(content.to_owned(), (digest.to_owned(), length));
        self.changed = true;
    }

    /// Writes what is new. That it cannot be written is nobody's trouble now.
    pub fn save(&self) {
        if !self.changed {
            return;
        }
        let document = Document { kind: KIND.to_owned(), layers: self.layers.clone() };
        if let Ok(text) = serde_json::to_string(&document) {
            let _unsaved = self.home.write(&self.home.folder.join("layers.json"), &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_there_the_next_time_and_nonsense_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home { folder: folder.path().to_owned() };
        let mut cache = Cache::load(&home);
        assert_eq!(cache.get("a"), None);
        cache.put("a", "sha256:b", 3);
        cache.save();
        assert_eq!(Cache::load(&home).get("a"), Some(("sha256:b".to_owned(), 3)));
        for text in ["", "{", r#"{"kind":"zstd","layers":{"a":["sha256:c",4]}}"#] {
            std::fs::write(folder.path().join("layers.json"), text).unwrap();
            assert_eq!(Cache::load(&home).get("a"), None, "{text:?}");
        }
    }
}
