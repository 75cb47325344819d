//! What must be true of a root tree before it becomes an image: the cheap checks that catch most machines that do not boot
//! or share what must be unique.

use std::collections::BTreeSet;
use std::path::Path;

use crate::Error;
use crate::tree::{Index, Kind};

/// Modules that a node needs sooner or later: network adapter of Nitro and of the local cloud, overlay networks, IPVS for
/// services with a virtual address, packet filtering, the verified root, the power button.
const REQUIRED_MODULES: &[&str] = &[
    "ena",
    "virtio_net",
    "overlay",
    "erofs",
    "dm-verity",
    "br_netfilter",
    "vxlan",
    "ip_vs",
    "ip_vs_rr",
    "nf_tables",
    "nft_compat",
    "nft_ct",
    "nft_fib",
    "nft_fib_inet",
    "veth",
    "bridge",
    "xt_conntrack",
    "xt_MASQUERADE",
    "xt_addrtype",
    "button",
    "evdev",
];

/// Paths that must not exist, because every node needs its own.
const FORBIDDEN: &[&str] = &[
    "etc/docker/key.json",
    "var/lib/docker",
    "var/lib/containerd",
    "var/lib/systemd/random-seed",
    "var/lib/cloud/instance",
    "etc/ssh/ssh_host_rsa_key",
    "etc/ssh/ssh_host_ecdsa_key",
    "etc/ssh/ssh_host_ed25519_key",
    "root/.ssh",
    "home/admin/.ssh",
];

/// The last file of the tree, to which `/usr/bin/futuswarm-node` leads: EROFS lays files out in the order of their paths, and what
/// lies behind a file moves when the file's compressed size changes. So a new agent changes its own blocks of a snapshot, and hardly
/// any others.
pub const NODE_BINARY: &str = "usr/vendor/futuswarm-node";
/// What may lie behind it all the same, in bytes.
const MOST_BEHIND: u64 = 64 << 10;

/// Checks the tree; every broken rule is reported, not only the first.
///
/// # Errors
/// [`Error::Assertions`] with one line per broken rule.
pub fn check(index: &Index, kernel: &str, setuid_golden: &Path) -> Result<(), Error> {
    let golden = std::fs::read_to_string(setuid_golden).map_err(Error::file(setuid_golden))?;
    let mut broken = uniqueness(index);
    broken.extend(units(index));
    broken.extend(modules(index, kernel));
    broken.extend(setuid(index, &golden));
    broken.extend(behind_the_node_binary(index));
    if broken.is_empty() { Ok(()) } else { Err(Error::Assertions(broken)) }
}

fn uniqueness(index: &Index) -> Vec<String> {
    let mut broken: Vec<String> = FORBIDDEN
        .iter()
        .filter(|path| index.entries.contains_key(**path))
        .map(|path| format!("/{path} is in the image; it must be made on each node"))
        .collect();
    match index.entries.get("etc/machine-id") {
        Some(entry) if entry.size == 0 => {}
        Some(_) => broken.push("/etc/machine-id is not empty; all nodes would share it".to_owned()),
        None => broken.push("/etc/machine-id is missing; systemd needs the empty file".to_owned()),
    }
    broken
}

/// Nothing large lies behind the file that changes most often.
fn behind_the_node_binary(index: &Index) -> Option<String> {
    let behind = index.entries.range(NODE_BINARY.to_owned()..).skip(1);
    let bytes: u64 = behind.filter(|(_, entry)| entry.kind == Kind::File).map(|(_, entry)| entry.size).sum();
    (bytes > MOST_BEHIND).then(|| {
        format!("{bytes} bytes of files lie behind /{NODE_BINARY} and would be sent again with each new agent; {MOST_BEHIND} may")
    })
}

/// Every unit's programs exist, and every enabled unit does.
fn units(index: &Index) -> Vec<String> {
    let mut broken = Vec::new();
    let masked: BTreeSet<&str> = index
        .entries
        .iter()
        .filter(|(path, entry)| {
            path.starts_with("etc/systemd/system/") && entry.kind == Kind::Symlink("/dev/null".to_owned())
        })
        .filter_map(|(path, _)| path.rsplit('/').next())
        .collect();
    for (path, text) in &index.texts {
        let name = path.rsplit('/').next().unwrap_or_default();
        let is_unit = (path.starts_with("etc/systemd/system/") || path.starts_with("usr/lib/systemd/system/"))
            && (name.ends_with(".service") || name.ends_with(".conf"));
        // A file in /etc hides the one in /usr/lib; a masked unit is never started.
        let hidden = path.starts_with("usr/lib/") && index.entries.contains_key(&format!("etc/systemd/system/{name}"));
        if !is_unit || hidden || masked.contains(name) || text.contains("ConditionPathExists=/etc/initrd-release") {
            continue;
        }
        for program in programs(text) {
            match index.resolve(&program) {
                Some((_, entry)) if entry.mode & 0o111 != 0 => {}
                Some(_) => broken.push(format!("/{path} starts {program}, which is not executable")),
                // Units of Debian that name optional programs guard them with a condition.
                None if text.contains("ConditionFileIsExecutable=") || text.contains("ConditionPathExists=") => {}
                None => broken.push(format!("/{path} starts {program}, which is not in the image")),
            }
        }
    }
    for (path, entry) in &index.entries {
        let Kind::Symlink(target) = &entry.kind else { continue };
        let wants = path.starts_with("etc/systemd/system/") && path.contains(".wants/");
        if wants && target != "/dev/null" && index.resolve(path).is_none() {
            broken.push(format!("/{path} points to {target}, which is not in the image"));
        }
    }
    broken
}

/// Programs of all `Exec…=` lines with an absolute path, their prefixes removed; optional ones (`-`) are left out.
fn programs(unit: &str) -> Vec<String> {
    unit.lines()
        .filter_map(|line| {
            let (key, value) = line.split_once('=')?;
            let is_exec =
                ["ExecStart", "ExecStartPre", "ExecStartPost", "ExecReload", "ExecStop"].contains(&key.trim());
            is_exec.then_some(value.trim())
        })
        .filter(|value| !value.starts_with('-'))
        .filter_map(|value| {
            let value = value.trim_start_matches(['@', ':', '+', '!', '|']);
            let program = value.split_ascii_whitespace().next()?;
            (program.starts_with('/') && !program.contains(['$', '%'])).then(|| program.to_owned())
        })
        .collect()
}

fn modules(index: &Index, kernel: &str) -> Vec<String> {
    let prefix = format!("usr/lib/modules/{kernel}/");
    let present: BTreeSet<String> = index
        .entries
        .keys()
        .filter_map(|path| path.strip_prefix(&prefix)?.rsplit('/').next()?.split_once(".ko").map(|(name, _)| name))
        .map(|name| name.replace('-', "_"))
        .collect();
    REQUIRED_MODULES
        .iter()
        .filter(|name| !present.contains(&name.replace('-', "_")))
        .map(|name| format!("the kernel module {name} is not in the image"))
        .collect()
}

/// Every program that runs with more rights than its caller is one that a person has read and accepted.
fn setuid(index: &Index, golden: &str) -> Vec<String> {
    let line = |path: &str, mode: u32| format!("{mode:04o} /{path}");
    let present: BTreeSet<String> = index
        .entries
        .iter()
        .filter(|(_, entry)| entry.kind == Kind::File && entry.mode & 0o6000 != 0)
        .map(|(path, entry)| line(path, entry.mode))
        .collect();
    let accepted: BTreeSet<String> =
        golden.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned).collect();
    let new = present.difference(&accepted).map(|line| format!("{line} is not in images/node/setuid.txt"));
    let gone =
        accepted.difference(&present).map(|line| format!("{line} of images/node/setuid.txt is not in the image"));
    new.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Entry;

    fn good() -> Index {
        let mut index = Index::default();
        let mut put = |path: &str, kind: Kind, mode: u32, size: u64| {
            index.entries.insert(path.to_owned(), Entry { kind, mode, size });
        };
        put("etc/machine-id", Kind::File, 0o444, 0);
        put("usr/bin/agent", Kind::File, 0o755, 1);
        put("usr/bin/sudo", Kind::File, 0o4755, 1);
        put("usr/lib/systemd/system/agent.service", Kind::File, 0o644, 1);
        put(
            "etc/systemd/system/multi-user.target.wants/agent.service",
            Kind::Symlink("/usr/lib/systemd/system/agent.service".to_owned()),
            0o777,
            0,
        );
        for module in REQUIRED_MODULES {
            put(&format!("usr/lib/modules/6/kernel/{module}.ko.xz"), Kind::File, 0o644, 1);
        }
        let unit = "[Service]\nExecStart=+/usr/bin/agent run\nExecStop=-/usr/bin/none\n";
        index.texts.insert("usr/lib/systemd/system/agent.service".to_owned(), unit.to_owned());
        index
    }

    fn broken(change: impl FnOnce(&mut Index)) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let golden = dir.path().join("setuid.txt");
        std::fs::write(&golden, "# accepted\n4755 /usr/bin/sudo\n").unwrap();
        let mut index = good();
        change(&mut index);
        match check(&index, "6", &golden) {
            Ok(()) => Vec::new(),
            Err(Error::Assertions(lines)) => lines,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_good_tree_passes() {
        assert!(broken(|_| {}).is_empty());
    }

    #[test]
    fn every_rule_can_be_broken() {
        type Change = fn(&mut Index);
        let cases: [(Change, &str); 10] = [
            (|i| i.entries.get_mut("etc/machine-id").unwrap().size = 33, "/etc/machine-id is not empty"),
            (|i| drop(i.entries.remove("etc/machine-id")), "/etc/machine-id is missing"),
            (
                |i| {
                    let entry = Entry { kind: Kind::Directory, mode: 0o711, size: 0 };
                    i.entries.insert("var/lib/docker".to_owned(), entry);
                },
                "/var/lib/docker is in the image",
            ),
            (
                |i| {
                    for path in [NODE_BINARY, "usr/wide/load"] {
                        let entry = Entry { kind: Kind::File, mode: 0o644, size: MOST_BEHIND + 1 };
                        i.entries.insert(path.to_owned(), entry);
                    }
                },
                "65537 bytes of files lie behind /usr/vendor/futuswarm-node",
            ),
            (|i| drop(i.entries.remove("usr/bin/agent")), "starts /usr/bin/agent, which is not in the image"),
            (|i| i.entries.get_mut("usr/bin/agent").unwrap().mode = 0o644, "which is not executable"),
            (
                |i| drop(i.entries.remove("usr/lib/systemd/system/agent.service")),
                "points to /usr/lib/systemd/system/agent.service",
            ),
            (
                |i| drop(i.entries.remove("usr/lib/modules/6/kernel/vxlan.ko.xz")),
                "the kernel module vxlan is not in the image",
            ),
            (|i| i.entries.get_mut("usr/bin/agent").unwrap().mode = 0o4755, "4755 /usr/bin/agent is not in"),
            (|i| i.entries.get_mut("usr/bin/sudo").unwrap().mode = 0o755, "4755 /usr/bin/sudo of images"),
        ];
        for (change, reason) in cases {
            let lines = broken(change);
            assert!(lines.iter().any(|line| line.contains(reason)), "{reason}: {lines:?}");
        }
    }
}
