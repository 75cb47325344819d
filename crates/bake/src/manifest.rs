//! What a bake leaves beside the disk: `manifest.json`, what is in it, and `register.json`, how EC2 is told of it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::lock::Package;
use crate::stages::Stage;

/// `manifest.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// Name of the image, a function of its inputs.
    pub name: String,
    /// Digest over all inputs.
    pub inputs_sha256: String,
    /// Revision of the clone, if it is one.
    pub git_revision: Option<String>,
    /// Kernel version.
    pub kernel: String,
    /// The dm-verity root hash that the firmware-loaded image trusts.
    pub root_hash: String,
    /// Digest of `disk.raw`.
    pub disk_sha256: String,
    /// Digest of the EROFS root.
    pub root_sha256: String,
    /// Size of `disk.raw`.
    pub disk_bytes: u64,
    /// Bytes of its 512-byte sectors that are not all zero.
    pub payload_bytes: u64,
    /// Container images inside, by part.
    pub containers: std::collections::BTreeMap<String, String>,
    /// Everything installed.
    pub packages: Vec<Package>,
    /// What is newer than the lock says; an image in which this is not empty is for rehearsals and not for publishing.
    #[serde(default)]
    pub newer_than_lock: Vec<String>,
    /// What took how long.
    pub stages: Vec<Stage>,
}

/// The family of the node images: by this tag an image finds the one before it, of which it then sends only the difference.
const FAMILY: &str = "futuswarm-node";

/// The whole body of a RegisterImage call; only the snapshot id is filled in after the upload.
#[must_use]
pub fn register(manifest: &Manifest) -> Value {
    json!({
        "Name": manifest.name,
        "Description": format!("Futuswarm node, Debian 13, Linux {}", manifest.kernel),
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
                "VolumeSize": manifest.disk_bytes.div_ceil(1 << 30),
                "DeleteOnTermination": true,
            },
        }],
        "TagSpecifications": [{
            "ResourceType": "image",
            "Tags": [
                { "Key": "Name", "Value": manifest.name },
                { "Key": "futuswarm:image", "Value": FAMILY },
                { "Key": "futuswarm:disk-sha256", "Value": manifest.disk_sha256 },
                { "Key": "futuswarm:root-hash", "Value": manifest.root_hash },
            ],
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registration_is_complete() {
        let manifest = Manifest {
            name: "futuswarm-node-0123456789ab".to_owned(),
            inputs_sha256: "00".to_owned(),
            git_revision: None,
            kernel: "6.12.117+deb13-cloud-amd64".to_owned(),
            root_hash: "11".to_owned(),
            disk_sha256: "22".to_owned(),
            root_sha256: "33".to_owned(),
            disk_bytes: 1 << 30,
            payload_bytes: 1,
            containers: std::collections::BTreeMap::new(),
            packages: Vec::new(),
            newer_than_lock: Vec::new(),
            stages: Vec::new(),
        };
        let registration = register(&manifest);
        // With it EC2 starts the image on no instance without a NitroTPM, such as every bare one; nothing in it uses a TPM.
        assert!(registration.get("TpmSupport").is_none(), "{registration}");
        insta::assert_snapshot!(serde_json::to_string_pretty(&registration).unwrap());
    }
}
