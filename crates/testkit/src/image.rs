//! Images as a bake leaves them, with a disk of the test's own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A folder with a disk, its manifest and its registration; gone when this is dropped.
pub struct Image {
    dir: PathBuf,
    folder: String,
}

impl Image {
    /// The family of all such images.
    pub const FAMILY: &str = "futuswarm-node";

    /// An image called `name` with this disk.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn new(name: &str, disk: &[u8]) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("futuswarm-image.{}.{number}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder for an image");
        let digest: String = Sha256::digest(disk).iter().map(|byte| format!("{byte:02x}")).collect();
        let write = |file: &str, content: &[u8]| std::fs::write(dir.join(file), content).expect("a file of an image");
        write("disk.raw", disk);
        let manifest = json!({ "name": name, "disk_sha256": digest, "disk_bytes": disk.len() });
        write("manifest.json", manifest.to_string().as_bytes());
        write("register.json", register(name, &digest, disk.len()).to_string().as_bytes());
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

/// What `crates/bake/src/manifest.rs` writes.
fn register(name: &str, digest: &str, bytes: usize) -> Value {
    json!({
        "Name": name,
        "Description": "an image of a test",
        "Architecture": "x86_64",
        "VirtualizationType": "hvm",
        "RootDeviceName": "/dev/xvda",
        "EnaSupport": true,
        "SriovNetSupport": "simple",
        "BootMode": "uefi",
        "ImdsSupport": "v2.0",
        "BlockDeviceMappings": [{
            "DeviceName": "/dev/xvda",
            "Ebs": {
                "SnapshotId": Value::Null,
                "VolumeType": "gp3",
                "VolumeSize": bytes.div_ceil(1 << 30),
                "DeleteOnTermination": true,
            },
        }],
        "TagSpecifications": [{
            "ResourceType": "image",
            "Tags": [
                { "Key": "Name", "Value": name },
                { "Key": "futuswarm:image", "Value": Image::FAMILY },
                { "Key": "futuswarm:disk-sha256", "Value": digest },
            ],
        }],
    })
}
