//! What is one test process's own: a state folder, specs with free ports, and the end of what processes that died have left.
//!
//! With a state folder of its own a cluster is nobody else's, whatever its name: network namespaces are named after both.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Below the ports that the kernel gives to outgoing connections, and above those that people choose.
const FIRST_PORT: u16 = 20_000;
/// Ports between two processes that look for free ones at the same time.
const PORTS_OF_A_PROCESS: u16 = 30;
/// How many processes have different ports before the counting begins again.
const PROCESSES: u16 = 400;
/// Names a state folder whose clusters stay when the tests end, so that a long test can be begun in its middle.
const KEPT_VARIABLE: &str = "FUTUSWARM_TESTS_KEEP";
/// The keys under `[local]` of a spec that are ports.
const PORT_KEYS: [&str; 4] = ["api_port", "http_port", "https_port", "ssh_port"];

/// The state folder of this process, made once; the clusters of dead ones are ended first, with the local cloud's `program`.
pub(crate) fn state(program: Option<&Path>) -> &'static Path {
    static STATE: OnceLock<PathBuf> = OnceLock::new();
    STATE.get_or_init(|| {
        if let Some(kept) = kept() {
            std::fs::create_dir_all(&kept).expect("the state folder that is kept");
            return kept;
        }
        // Short, since unix sockets are below it, and on a disk, since the machines' disks are.
        let base = match std::env::var_os(futuswarm_paths::STATE_VARIABLE) {
            Some(state) => PathBuf::from(state).join("t"),
            None => PathBuf::from("/var/tmp/fsw-tests"),
        };
        let own = base.join(std::process::id().to_string());
        for entry in std::fs::read_dir(&base).into_iter().flatten().flatten() {
            if entry.path() == own || !is_alive(&entry.file_name().to_string_lossy()) {
                end(&entry.path(), program);
            }
        }
        std::fs::create_dir_all(&own).expect("a state folder");
        own
    })
}

/// The state folder that outlives this process, if somebody wants one.
pub(crate) fn kept() -> Option<PathBuf> {
    std::env::var_os(KEPT_VARIABLE).filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// Whether the name of a state folder is the id of a process that runs.
fn is_alive(name: &str) -> bool {
    name.parse::<u32>().is_ok_and(|pid| Path::new("/proc").join(pid.to_string()).exists())
}

/// Ends what runs in the state folder of a process that is gone.
fn end(state: &Path, program: Option<&Path>) {
    let Some(program) = program else { return };
    let entries = std::fs::read_dir(state).into_iter().flatten().flatten().map(|entry| entry.path());
    for spec in entries.filter(|path| path.extension().is_some_and(|extension| extension == "toml")) {
        let mut down = Command::new(program);
        down.arg("down").arg("--spec").arg(spec).env(futuswarm_paths::STATE_VARIABLE, state);
        let ended = down.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !ended.is_ok_and(|status| status.success()) {
            // Its folder stays, so that the next run tries again.
            return;
        }
    }
    let _only_disk_space = std::fs::remove_dir_all(state);
}

/// The spec of a cluster of this process: the text of `original` with free ports. The same one each time.
pub(crate) fn spec(state: &Path, name: &str, original: &Path) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let path = state.join(format!("{name}.toml"));
    if !path.exists() {
        let text = std::fs::read_to_string(original).unwrap_or_else(|error| panic!("{}: {error}", original.display()));
        std::fs::write(&path, with_ports(&text, free_ports())).expect("a spec with free ports");
    }
    path
}

/// Four ports that nobody listens on.
fn free_ports() -> [u16; 4] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = (std::process::id() % u32::from(PROCESSES)) as u16 * PORTS_OF_A_PROCESS;
    [(); 4].map(|()| {
        loop {
            let port = FIRST_PORT + (offset + NEXT.fetch_add(1, Ordering::Relaxed)) % (PROCESSES * PORTS_OF_A_PROCESS);
            if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return port;
            }
        }
    })
}

/// A spec with these ports under `[local]`, in the order of [`PORT_KEYS`], instead of those that it may have.
fn with_ports(text: &str, ports: [u16; 4]) -> String {
    let is_port = |line: &str| PORT_KEYS.iter().any(|key| line.trim_start().starts_with(key));
    let (mut out, mut placed) = (String::new(), false);
    for line in text.lines().filter(|line| !is_port(line)) {
        out.push_str(line);
        out.push('\n');
        if line.trim() == "[local]" {
            placed = true;
            for (key, port) in PORT_KEYS.iter().zip(ports) {
                out.push_str(&format!("{key} = {port}\n"));
            }
        }
    }
    assert!(placed, "the spec has a section [local]");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_gets_ports_instead_of_its_own() {
        let text = "cluster = \"local-x\"\n[local]\napi_port = 1\nmemory_mib = 5\nhttp_port = 2\n";
        let expected = "cluster = \"local-x\"\n[local]\napi_port = 7\nhttp_port = 8\nhttps_port = 9\nssh_port = 10\nmemory_mib = 5\n";
        assert_eq!(with_ports(text, [7, 8, 9, 10]), expected);
    }

    #[test]
    fn ports_are_free_and_differ() {
        let [mut one, two] = [free_ports(), free_ports()];
        assert!(one.iter().chain(&two).all(|port| (FIRST_PORT..32_768).contains(port)), "{one:?} {two:?}");
        one.sort_unstable();
        assert!(one[0] != one[1] && one[1] != one[2] && one.iter().all(|port| !two.contains(port)), "{one:?} {two:?}");
    }

    #[test]
    fn only_folders_of_dead_processes_are_ended() {
        assert!(is_alive(&std::process::id().to_string()));
        // Beyond the largest id that Linux gives.
        assert!(!is_alive("4194305") && !is_alive("local-three") && !is_alive(""));
        let state = tempfile::tempdir().unwrap();
        std::fs::write(state.path().join("local-x.toml"), "").unwrap();
        end(state.path(), Some(Path::new("/bin/false")));
        assert!(state.path().exists(), "what could not be ended stays");
        end(state.path(), None);
        assert!(state.path().exists());
        end(state.path(), Some(Path::new("/bin/true")));
        assert!(!state.path().exists());
    }

    #[test]
    fn a_cluster_of_this_process_has_one_spec() {
        let folder = tempfile::tempdir().unwrap();
        let original = folder.path().join("original.toml");
        std::fs::write(&original, "[local]\n").unwrap();
        let path = spec(folder.path(), "local-x", &original);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(spec(folder.path(), "local-x", &original), path);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
