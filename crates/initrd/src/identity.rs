//! The node's host name and machine id, from the EC2 instance id in the firmware tables.
//!
//! Nitro shows the instance id as the board's asset tag, so it is known before there is a network. Both names are then the
//! same at every start of the instance, and the journal stays one.

use sha2::{Digest as _, Sha256};

/// Where Nitro puts the instance id.
pub const ASSET_TAG: &str = "/sys/class/dmi/id/board_asset_tag";

/// The instance id, if the asset tag is one.
pub fn instance_id(asset_tag: &str) -> Option<&str> {
    let id = asset_tag.trim();
    let hex = id.strip_prefix("i-")?;
    let is_hex = hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    ((8..=17).contains(&hex.len()) && is_hex).then_some(id)
}

/// The machine id of an instance: 32 hexadecimal digits, as machine-id(5) wants.
pub fn machine_id(instance_id: &str) -> String {
    let digest = Sha256::new().chain_update("futuswarm machine id of ").chain_update(instance_id).finalize();
    let mut bytes: [u8; 16] = std::array::from_fn(|index| digest[index]);
    // Version 4, variant DCE: what systemd itself would make.
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_instance_id_is_taken() {
        assert_eq!(instance_id("i-0123456789abcdef0\n"), Some("i-0123456789abcdef0"));
        for tag in ["", "Not Specified", "i-", "i-../../etc", "i-0123456789ABCDEF0", "ami-0123456789abcdef0"] {
            assert_eq!(instance_id(tag), None, "{tag}");
        }
    }

    #[test]
    fn a_machine_id_is_stable_and_differs_between_instances() {
        let id = machine_id("i-0123456789abcdef0");
        assert_eq!(id, machine_id("i-0123456789abcdef0"));
        assert_ne!(id, machine_id("i-0123456789abcdef1"));
        assert_eq!((id.len(), &id[12..13]), (32, "4"));
    }
}
