//! Images as a bake leaves them, with a disk of the test's own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use futuswarm_image_format::{FAMILY, ImageFolder, Manifest};
use sha2::{Digest as _, Sha256};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A folder with a disk, its manifest and its registration; gone when this is dropped.
pub struct Image {
    dir: PathBuf,
    folder: String,
}

impl Image {
    /// The family of all such images.
    pub const FAMILY: &str = FAMILY;

    /// An image called `name` with this disk.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn new(name: &str, disk: &[u8]) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("futuswarm-image.{}.{number}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder for an image");
        let digest = format!("{:x}", Sha256::digest(disk));
        let folder = ImageFolder::new(&dir);
        std::fs::write(folder.disk(), disk).expect("the disk of an image");
        let (root_hash, disk_bytes) = (digest.clone(), disk.len() as u64);
        let about =
            Manifest { name: name.to_owned(), disk_sha256: digest, root_hash, disk_bytes, ..Manifest::default() };
        folder.write(&about, None).expect("the files of an image");
        Self { folder: dir.display().to_string(), dir }
    }

    /// Its folder, as an argument.
    #[must_use]
    pub fn folder(&self) -> &str {
        &self.folder
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.dir);
    }
}
