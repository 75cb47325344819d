//! Loopback ports: which ones a cloud gets, and who listens on one, for messages.

use crate::config::PORT_KEYS;

/// How far from the usual port a free one is looked for.
const NEARBY: u16 = 1000;

/// A port that a cloud got instead of the usual one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The key of the spec that would set it.
    pub key: &'static str,
    /// The usual port, which is taken.
    pub usual: u16,
    /// The one instead.
    pub port: u16,
}

/// The ports of a cloud that starts: those that its spec sets stay, of the usual ones those that are taken are replaced by the
/// next free ones. Both arrays are in the order of [`PORT_KEYS`].
pub fn choose(ports: [u16; 4], is_set: impl Fn(&str) -> bool, is_free: impl Fn(u16) -> bool) -> ([u16; 4], Vec<Moved>) {
    let (mut chosen, mut moved) = (ports, Vec::new());
    for (index, key) in PORT_KEYS.into_iter().enumerate() {
        let usual = ports[index];
        if is_set(key) || is_free(usual) {
            continue;
        }
        let nearby = (1..=NEARBY).filter_map(|step| usual.checked_add(step));
        // Nothing is free nearby: the daemon says who has the usual one.
        if let Some(port) = nearby.into_iter().find(|port| !chosen.contains(port) && is_free(*port)) {
            chosen[index] = port;
            moved.push(Moved { key, usual, port });
        }
    }
    (chosen, moved)
}

/// Whether nobody listens on a loopback port.
pub fn is_free(port: u16) -> bool {
    std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// ` by NAME (pid N)`, or nothing when it cannot be found out.
pub fn owner(port: u16) -> String {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let text = std::fs::read_to_string(table).ok()?;
        let local = format!(":{port:04X}");
        text.lines().skip(1).find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // 0A is LISTEN.
            (fields.get(1)?.ends_with(&local) && *fields.get(3)? == "0A")
                .then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
        })
    });
    let Some(inode) = inode else { return String::new() };
    let target = format!("socket:[{inode}]");
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        // Besides processes there are links to ourselves.
        if process.file_name().to_string_lossy().parse::<u32>().is_err() {
            continue;
        }
        let holds =
            std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten().any(|descriptor| {
                std::fs::read_link(descriptor.path()).is_ok_and(|link| link.to_string_lossy() == target)
            });
        if holds {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return format!(" by {} (pid {})", name.trim(), process.file_name().to_string_lossy());
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_ports_give_way_and_set_ones_do_not() {
        let usual = [4566, 8080, 8443, 2222];
        let nothing_set = |_: &str| false;
        assert_eq!(choose(usual, nothing_set, |_| true), (usual, Vec::new()));
        let taken = |port: u16| ![4566, 4567, 8443].contains(&port);
        let (ports, moved) = choose(usual, nothing_set, taken);
        assert_eq!(ports, [4568, 8080, 8444, 2222]);
        assert_eq!(moved[0], Moved { key: "api_port", usual: 4566, port: 4568 });
        assert_eq!(moved.len(), 2);
        // A port that was set is refused later by name, not replaced in silence.
        let (ports, moved) = choose(usual, |key| key == "api_port", taken);
        assert_eq!((ports, moved.len()), ([4566, 8080, 8444, 2222], 1));
        // Two keys never get one port.
        assert_eq!(choose([8080, 8080, 8081, 8081], nothing_set, |port| port > 8081).0, [8082, 8083, 8084, 8085]);
        assert_eq!(choose([65_535, 8080, 8443, 2222], nothing_set, |port| port != 65_535).0[0], 65_535);
        assert_eq!(choose(usual, nothing_set, |_| false), (usual, Vec::new()));
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_free() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(port));
        drop(listener);
        assert!(is_free(port));
    }

    #[test]
    fn the_owner_of_a_port_is_named() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(owner(port).contains(&format!("(pid {})", std::process::id())), "{}", owner(port));
        drop(listener);
        assert_eq!(owner(port), "");
    }
}
