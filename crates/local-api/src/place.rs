//! Where a local cloud is on this machine: its state folder, what is found in it, and the names that are derived from it.

use std::path::{Path, PathBuf};

/// Variable in the environment of a local cloud's daemon and all its children: the cluster's state folder. Whoever looks for
/// leftovers finds them by it.
pub const CLUSTER_VARIABLE: &str = "FUTUSWARM_LOCAL_CLUSTER";

/// The folder of a cluster below the state folder `state` (`futuswarm_paths::state_dir`).
#[must_use]
pub fn cluster_dir(state: &Path, cluster: &str) -> PathBuf {
    state.join("local").join(cluster)
}

/// The daemon's control socket in a cluster's folder.
#[must_use]
pub fn control_socket(dir: &Path) -> PathBuf {
    dir.join("control.sock")
}

/// The file in a cluster's folder that describes the running cloud ([`crate::CloudInfo`]); there once everything answers.
#[must_use]
pub fn cloud_info(dir: &Path) -> PathBuf {
    dir.join("cloud.json")
}

/// The folder with the folders of the virtual machines, by instance id.
#[must_use]
pub fn machines(dir: &Path) -> PathBuf {
    dir.join("vms")
}

/// The serial console's log in a virtual machine's folder.
#[must_use]
pub fn console_log(machine: &Path) -> PathBuf {
    machine.join("console.log")
}

/// The network namespace of a local cluster: the machine has one set of names for them, and two state folders may both have a
/// cluster of one name. `dir` is the cluster's own folder.
#[must_use]
pub fn network_namespace(dir: &Path, cluster: &str) -> String {
    // FNV-1a, 64 bits: it only has to differ, and stay the same for ever.
    let hash = dir
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("fsw-{cluster}-{:06x}", hash >> 40)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_of_one_name_have_namespaces_of_their_own() {
        let of = |dir: &str| network_namespace(Path::new(dir), "local");
        assert_eq!(of("/root/.local/state/futuswarm/local/local"), "fsw-local-0c7fba");
        assert_ne!(of("/a/local/local"), of("/b/local/local"));
    }
}
