//! Every check of the machine and of a running local cloud. None stops the others; each failure has one remedy.

use std::path::Path;
use std::time::Duration;

use futuswarm_local_api::CloudInfo;
use futuswarm_local_api::http::{self, Endpoint};
use futuswarm_tools::{ToolsTree, emulator};
use serde::Serialize;

use crate::child::{self, args};
use crate::config::{Accel, CloudConfig, PORT_KEYS};
use crate::daemon;
use crate::memory;
use crate::state_dir::StateDir;

/// Image, tools tree, emulator, and the machines' growing disks.
const NEEDED_DISK_MIB: u64 = 6 * 1024;
/// For an answer of the API that does no work worth waiting for.
const API_DEADLINE: Duration = Duration::from_secs(10);

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Good,
    /// Not as good as it could be; nothing fails because of it.
    Note,
    /// Something will fail because of it.
    Bad,
}

/// A line of the report.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// How it is.
    pub outcome: Outcome,
    /// What was found.
    pub found: String,
    /// What to do about it; empty when nothing is to be done.
    pub remedy: String,
}

fn good(name: &'static str, found: impl Into<String>) -> Check {
    Check { name, outcome: Outcome::Good, found: found.into(), remedy: String::new() }
}

fn bad(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Check {
    Check { name, outcome: Outcome::Bad, found: found.into(), remedy: remedy.into() }
}

fn note(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Check {
    Check { name, outcome: Outcome::Note, found: found.into(), remedy: remedy.into() }
}

/// Runs all checks; with `before_start` only those that must hold before anything is begun.
pub async fn run(spec: &Path, before_start: bool) -> Vec<Check> {
    let mut checks =
        vec![rights(), tun(), program("mmdebstrap", "mmdebstrap"), program("ip", "iproute2"), namespaces().await];
    let (config, state_dir) = match super::open(spec, Accel::Auto) {
        Ok(opened) => opened,
        Err(error) => {
            checks.push(bad("cluster spec", error.to_string(), format!("correct {}", spec.display())));
            return checks;
        }
    };
    checks.push(good("cluster spec", format!("{}: {} machines", config.cluster, config.machines)));
    let running = matches!(state_dir.daemon_lock(), Ok(None));
    checks.push(disk());
    checks.push(memory(&config, running));
    // A cloud that runs may have others than the usual ones.
    let used: Option<CloudConfig> = crate::state_dir::read_json(&state_dir.config()).ok().flatten().filter(|_| running);
    let ports = used.as_ref().unwrap_or(&config).ports();
    for (port, key) in ports.into_iter().zip(PORT_KEYS) {
        checks.push(port_check(port, key, config.set_ports.contains(key), running));
    }
    if !before_start {
        checks.extend([acceleration(), tools_tree(), emulator_environment()]);
        checks.extend(cloud(&state_dir, running).await);
    }
    checks
}

fn rights() -> Check {
    match rustix::process::geteuid().is_root() {
        true => good("rights", "running as root"),
        false => bad(
            "rights",
            "not running as root",
            "the local cloud makes a network namespace and taps: run the command with sudo",
        ),
    }
}

fn tun() -> Check {
    match std::fs::File::options().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => good("taps", "/dev/net/tun can be opened"),
        Err(error) => bad(
            "taps",
            format!("/dev/net/tun: {error}"),
            "load the kernel module with `modprobe tun`; in a container, give it the device /dev/net/tun",
        ),
    }
}

fn program(program: &'static str, package: &str) -> Check {
    let path = std::env::var_os("PATH").unwrap_or_default();
    match std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
    {
        Some(path) => good(program, path.display().to_string()),
        None => bad(program, "is not installed", format!("apt-get install {package}")),
    }
}

/// Namespaces may be forbidden even to root, inside a container.
async fn namespaces() -> Check {
    let deadline = std::time::Duration::from_secs(20);
    match child::run(&args(["unshare", "--net", "--mount", "true"]), None, deadline).await {
        Ok(_) => good("namespaces", "network and mount namespaces can be made"),
        Err(error) => bad(
            "namespaces",
            error.to_string(),
            "allow them: `sysctl -w kernel.unprivileged_userns_clone=1 user.max_net_namespaces=1000`; in a container, run it with --privileged",
        ),
    }
}

fn disk() -> Check {
    let (Ok(cache), Ok(state)) = (futuswarm_paths::cache_dir(), futuswarm_paths::state_dir()) else {
        return bad("disk space", "neither HOME nor FUTUSWARM_CACHE and FUTUSWARM_STATE are set", "set HOME");
    };
    let mut least = (u64::MAX, cache.clone());
    for dir in [cache, state] {
        let existing = dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
        match rustix::fs::statvfs(existing) {
            Ok(stat) => {
                let free = (stat.f_bavail * stat.f_frsize) >> 20;
                if free < least.0 {
                    least = (free, dir);
                }
            }
            Err(error) => {
                return bad("disk space", format!("{}: {error}", existing.display()), "make the folder readable");
            }
        }
    }
    let (free, dir) = least;
    match free >= NEEDED_DISK_MIB {
        true => good("disk space", format!("{} GiB free for {}", free >> 10, dir.display())),
        false => bad(
            "disk space",
            format!("{free} MiB free for {}, {NEEDED_DISK_MIB} MiB are needed", dir.display()),
            "make room, or set FUTUSWARM_CACHE and FUTUSWARM_STATE to folders on a larger disk",
        ),
    }
}

fn memory(config: &CloudConfig, running: bool) -> Check {
    let (total, free) = memory::total_and_available();
    memory_of(total, free, config, running)
}

fn memory_of(total: u64, free: u64, config: &CloudConfig, running: bool) -> Check {
    let own = memory::translation_buffer(total) + memory::PER_MACHINE_MIB;
    let needed = u64::from(config.machines) * (u64::from(config.memory_mib) + own);
    let there = format!("{free} of {total} MiB are available");
    match running || free >= needed {
        true if running => good("memory", there),
        true => good("memory", format!("{there}, {} machines take {needed} MiB", config.machines)),
        false => bad(
            "memory",
            format!("{there}, {} machines need {needed} MiB", config.machines),
            "close something, or lower memory_mib under [local] or the counts in the cluster spec",
        ),
    }
}

fn port_check(port: u16, key: &'static str, is_set: bool, running: bool) -> Check {
    let name = match key {
        "api_port" => "port of the AWS API",
        "http_port" => "port of the balancer",
        "ssh_port" => "port of SSH",
        _ => "TLS port of the balancer",
    };
    if running {
        return good(name, format!("{port}, used by the local cloud that runs"));
    }
    match daemon::check_port(port, key) {
        Ok(()) => good(name, format!("{port} is free")),
        Err(error) if is_set => {
            bad(name, error.to_string(), format!("set {key} under [local] in the cluster spec to a free port"))
        }
        Err(_) => note(
            name,
            format!("{port} of 127.0.0.1 is in use{}", crate::ports::owner(port)),
            format!("nothing; the next free port is used, or the one that {key} under [local] sets"),
        ),
    }
}

fn acceleration() -> Check {
    let probed = futuswarm_paths::cache_dir().ok().and_then(|cache| std::fs::read_to_string(cache.join("accel")).ok());
    match (Path::new("/dev/kvm").exists(), probed.as_deref().map(str::trim)) {
        (true, Some("kvm")) => good("acceleration", "KVM works"),
        (true, Some(_)) => {
            note("acceleration", "/dev/kvm is there, but guests do not boot in it: software emulation is used", "")
        }
        (true, None) => note("acceleration", "/dev/kvm is there and was not tried yet", ""),
        (false, _) => note(
            "acceleration",
            "no /dev/kvm: machines are emulated in software; three are Ready after about two minutes",
            "use a machine with virtualisation to be faster",
        ),
    }
}

fn tools_tree() -> Check {
    match ToolsTree::locate() {
        Ok(tools) => good("tools tree", tools.root().display().to_string()),
        Err(error) => note("tools tree", error.to_string(), "nothing; the first bake makes it"),
    }
}

fn emulator_environment() -> Check {
    let Ok(cache) = futuswarm_paths::cache_dir() else {
        return bad("AWS emulator", "there is no cache folder", "set HOME");
    };
    match emulator::installed(&cache) {
        Some(_) => good("AWS emulator", emulator::dir(&cache).display().to_string()),
        None => note("AWS emulator", "is not installed yet", "nothing; the first deployment installs it"),
    }
}

/// What runs, and what should not.
async fn cloud(state_dir: &StateDir, running: bool) -> Vec<Check> {
    let netns = Path::new("/run/netns").join(state_dir.netns());
    let mut checks = Vec::new();
    let again = "`cargo xtask destroy-cluster --local` removes it";
    if !running {
        checks.push(note("local cloud", "does not run", "start it with `cargo xtask deploy-cluster --local`"));
        checks.push(match netns.exists() {
            true => bad("leftovers", format!("the network namespace {} has no daemon", state_dir.netns()), again),
            false => good("leftovers", "none"),
        });
        return checks;
    }
    let info: Option<CloudInfo> = crate::state_dir::read_json(&state_dir.cloud()).ok().flatten();
    let Some(info) = info else {
        checks.push(note("local cloud", "is starting", "wait a moment"));
        return checks;
    };
    let address = info.api_endpoint.trim_start_matches("http://");
    let answered = http::exchange(Endpoint::Tcp(address), "GET", "/", b"", API_DEADLINE);
    checks.push(match answered {
        Ok(_) => good("AWS API", info.api_endpoint.clone()),
        Err(error) => bad("AWS API", error.to_string(), format!("start again: {again}")),
    });
    checks.push(match state_dir.client().machines().map_err(state_dir.failed()) {
        Ok(machines) => {
            let dead: Vec<&str> = machines
                .iter()
                .filter(|machine| !Path::new(&format!("/proc/{}", machine.pid)).exists())
                .map(|machine| machine.instance.as_str())
                .collect();
            match dead.is_empty() {
                true => good("machines", format!("{} run", machines.len())),
                false => {
                    note("machines", format!("{} just ended", dead.join(", ")), "nothing; their group replaces them")
                }
            }
        }
        Err(error) => bad("machines", error.to_string(), format!("start again: {again}")),
    });
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_a_failure_only_where_the_spec_sets_it() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let check = |is_set, running| port_check(port, "http_port", is_set, running);
        let failed = check(true, false);
        assert_eq!(failed.outcome, Outcome::Bad);
        assert!(failed.found.contains(&format!("(pid {})", std::process::id())), "{}", failed.found);
        assert!(failed.remedy.contains("set http_port under [local]"), "{}", failed.remedy);
        let noted = check(false, false);
        assert_eq!(noted.outcome, Outcome::Note);
        assert!(noted.found.contains(&format!("(pid {})", std::process::id())), "{}", noted.found);
        assert_eq!(check(true, true).outcome, Outcome::Good);
        drop(listener);
        // A child that another test starts at this moment has the socket, too, until it executes its program.
        let free = || (check(true, false).outcome == Outcome::Good).then_some(());
        let wait = |_: &u32| std::thread::sleep(std::time::Duration::from_millis(50));
        assert!((0..100).inspect(wait).find_map(|_| free()).is_some(), "{:?}", check(true, false));
    }

    #[test]
    fn memory_is_told_with_what_the_machines_need() {
        let text = include_str!("../../../../clusters/local.toml");
        let config = CloudConfig::parse("x.toml", text, Accel::Tcg).unwrap();
        let short = memory_of(7900, 5000, &config, false);
        assert_eq!(short.outcome, Outcome::Bad);
        assert_eq!(short.found, "5000 of 7900 MiB are available, 3 machines need 6519 MiB");
        assert_eq!(memory_of(24000, 20000, &config, false).outcome, Outcome::Good);
        assert_eq!(memory_of(7900, 1000, &config, true).outcome, Outcome::Good);
    }
}
