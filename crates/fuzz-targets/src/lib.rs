//! What is read from outside, as targets for a fuzzer: each takes any bytes, and panics when something does not hold that has to hold
//! for all of them. What was read is written and read again, and is the same; limits are kept; nothing panics and nothing takes more
//! work or memory than its input is long.
//!
//! `fuzz/` hands them to libFuzzer. `tests/bounded.rs` runs them with a fixed number of inputs that are made of the seeds in
//! `fuzz/seeds/`, the same ones at each run, and needs nothing but stable Rust.

mod app_file;
mod archive;
#[cfg(feature = "documents")]
mod documents;
mod dotenv;
mod edge_labels;
mod mutate;
mod protocol;
mod rounds;
pub mod seeds;

use fastrand::Rng;

pub use app_file::app_file;
pub use archive::image_archive;
#[cfg(feature = "documents")]
pub use documents::{document_content, sealed_document};
pub use dotenv::dotenv;
pub use edge_labels::edge_labels;
pub use mutate::{LONGEST, input};
pub use protocol::protocol;
pub use rounds::{Failure, Memory, Rounds, rounds};

/// Makes an input out of a seed with its structure kept whole, so that what is behind checksums and lengths is reached, too.
pub type Rebuild = fn(&mut Rng, &[u8], &[&[u8]]) -> Vec<u8>;

/// Something that is read from outside.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Of its function, of its file in `fuzz/fuzz_targets/`, and of its folder in `fuzz/seeds/`.
    pub name: &'static str,
    /// Panics when something does not hold; says whether the bytes were what they should be, as far as they were read.
    pub run: fn(&[u8]) -> bool,
    /// What the format knows, for inputs that are nearly right.
    pub words: &'static [&'static [u8]],
    /// `None` where a change of any byte leaves the rest readable.
    pub rebuild: Option<Rebuild>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "protocol", run: protocol, words: protocol::WORDS, rebuild: Some(protocol::rebuild) },
    Target { name: "app_file", run: app_file, words: app_file::WORDS, rebuild: None },
    Target { name: "dotenv", run: dotenv, words: dotenv::WORDS, rebuild: None },
    Target { name: "edge_labels", run: edge_labels, words: edge_labels::WORDS, rebuild: None },
    Target { name: "image_archive", run: image_archive, words: archive::WORDS, rebuild: Some(archive::rebuild) },
    #[cfg(feature = "documents")]
    Target {
        name: "sealed_document",
        run: sealed_document,
        words: documents::WORDS,
        rebuild: Some(documents::rebuild),
    },
    #[cfg(feature = "documents")]
    Target { name: "document_content", run: document_content, words: documents::WORDS, rebuild: None },
];

/// Reads a JSON document, and holds that it comes back as it was when it is written; `None` for what is no such document.
fn round_trip<T>(bytes: &[u8]) -> Option<T>
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq,
{
    let read: T = serde_json::from_slice(bytes).ok()?;
    let written = match serde_json::to_vec(&read) {
        Ok(written) => written,
        Err(error) => panic!("what was read cannot be written: {error}"),
    };
    match serde_json::from_slice::<T>(&written) {
        Ok(again) => assert!(again == read, "it comes back otherwise: {}", String::from_utf8_lossy(&written)),
        Err(error) => panic!("what was written cannot be read: {error}: {}", String::from_utf8_lossy(&written)),
    }
    Some(read)
}
