//! The floor of `cargo xtask bench boot`: the same number of machines of the same size, from a bare Debian without a boot
//! loader, verification, metadata, configuration or credentials, whose addresses and manager are written into a script.
//!
//! Nothing of a cluster is used but the hypervisor's settings, so that what differs is what the platform costs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futuswarm_tools::ToolsTree;
use sha2::{Digest as _, Sha256};

use crate::child::{self, args};
use crate::config::{Accel, CloudConfig};
use crate::error::{Error, Result, file};
use crate::network::Network;
use crate::qemu::Hypervisor;

const PACKAGES: &str =
    "linux-image-cloud-amd64,systemd,systemd-sysv,udev,kmod,iproute2,iptables,docker.io,docker-cli,busybox,curl";
const SCRIPT: &str = include_str!("naive/join.sh");
const UNIT: &str = include_str!("naive/naive-join.service");
/// What the manager writes to its serial console when it sees every machine.
const READY: &str = "naive-join-is-ready";
/// Downloading and unpacking packages.
const BOOTSTRAP_DEADLINE: Duration = Duration::from_secs(900);
/// Making a file system and overlays.
const DISK_DEADLINE: Duration = Duration::from_secs(120);
/// Several times what a loaded machine with two processors needs under software emulation.
const JOIN_DEADLINE: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(100);

/// A bare machine's kernel and root file system.
struct Bare {
    kernel: PathBuf,
    disk: PathBuf,
}

/// Boots as many bare machines as the spec asks for; returns the seconds from power-on until all are Ready in one Swarm.
///
/// # Errors
/// When the image cannot be made, or the machines do not join in time.
pub async fn naive_join(spec: &Path, accel: Accel) -> Result<f64> {
    let config = CloudConfig::load(spec, accel)?;
    let tools = ToolsTree::locate()?;
    let cache = futuswarm_paths::cache_dir()?;
    let bare = image(&cache).await?;
    let mut hypervisor = Hypervisor::new(&tools, accel, config.memory_mib, config.cpus)?;
    hypervisor.choose_accel(&cache.join("accel")).await;
    let network = Network::named(&futuswarm_local_api::place::network_namespace(&cache.join("floor"), "floor"));
    // An earlier run that was ended by force may have left it.
    network.destroy().await?;
    let dir = cache.join("floor").join(format!("run.{}", std::process::id()));
    std::fs::create_dir_all(&dir).map_err(file("cannot create", &dir))?;
    let joined = join(&hypervisor, &network, &bare, &dir, config.machines).await;
    let destroyed = network.destroy().await;
    let removed = std::fs::remove_dir_all(&dir).map_err(file("cannot remove", &dir));
    let seconds = joined?;
    destroyed.and(removed).map(|()| seconds)
}

async fn join(hypervisor: &Hypervisor, network: &Network, bare: &Bare, dir: &Path, machines: u32) -> Result<f64> {
    network.create().await?;
    let mut disks = Vec::new();
    for number in 0..machines {
        network.add_tap(&tap(number)).await?;
        let disk = dir.join(format!("{number}.qcow2"));
        hypervisor.overlay(&bare.disk, &disk).await?;
        disks.push(disk);
    }
    let console = |number: u32| dir.join(format!("{number}.log"));
    let started = Instant::now();
    let mut processes = Vec::new();
    for (number, disk) in (0..machines).zip(&disks) {
        let kernel_arguments = format!(
            "root=/dev/nvme0n1 rw console=ttyS0 quiet net.ifnames=0 naive.number={number} naive.machines={machines} {}",
            hypervisor.kernel_arguments()
        );
        let mac = format!("02:79:00:00:01:{number:02x}");
        let mut argv = hypervisor.bare_argv(disk, &tap(number), &mac);
        argv.extend(args(["-kernel"]));
        argv.push(bare.kernel.clone().into());
        argv.extend(args(["-append", &kernel_arguments]));
        argv.extend(args(["-serial"]));
        argv.push(format!("file:{}", console(number).display()).into());
        let spawned = child::command(&argv, Some(&network.path())).stdout(std::process::Stdio::null()).spawn();
        processes.push(
            spawned
                .map_err(|error| Error::Command { command: child::command_line(&argv), detail: error.to_string() })?,
        );
    }
    loop {
        let text = std::fs::read(console(0)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        if text.contains(READY) {
            return Ok(started.elapsed().as_secs_f64());
        }
        let ended = processes.iter_mut().any(|process| process.try_wait().is_ok_and(|ended| ended.is_some()));
        if ended || started.elapsed() > JOIN_DEADLINE {
            let last = text.trim().lines().last().unwrap_or("nothing").to_owned();
            return Err(Error::Config(format!(
                "the bare machines formed no Swarm within {} s{}; the manager's console ends with: {last}",
                started.elapsed().as_secs(),
                if ended { ", because one of them ended" } else { "" }
            )));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn tap(number: u32) -> String {
    format!("naive{number}")
}

/// The bare image, from the cache or made now.
async fn image(cache: &Path) -> Result<Bare> {
    let mut hash = Sha256::new();
    for part in [PACKAGES, SCRIPT, UNIT] {
        hash.update(part);
    }
    let dir = cache.join("floor").join(&hex::encode(hash.finalize())[..16]);
    let bare = Bare { kernel: dir.join("vmlinuz"), disk: dir.join("disk.raw") };
    if bare.disk.exists() {
        return Ok(bare);
    }
    let unfinished = dir.with_extension(format!("unfinished.{}", std::process::id()));
    let root = unfinished.join("root");
    std::fs::create_dir_all(&root).map_err(file("cannot create", &root))?;
    let made = build(&root, &unfinished).await;
    let made = made.and_then(|()| std::fs::remove_dir_all(&root).map_err(file("cannot remove", &root)));
    match made.and_then(|()| std::fs::rename(&unfinished, &dir).map_err(file("cannot rename to", &dir))) {
        Ok(()) => Ok(bare),
        Err(error) => {
            // The error is what matters; what is left over is only disk space.
            let _left = std::fs::remove_dir_all(&unfinished);
            Err(error)
        }
    }
}

async fn build(root: &Path, dir: &Path) -> Result<()> {
    let mut argv = args([
        "env",
        "INITRD=No",
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        "--aptopt=APT::Install-Recommends \"false\"",
        &format!("--include={PACKAGES}"),
        "trixie",
    ]);
    argv.push(root.into());
    child::run(&argv, None, BOOTSTRAP_DEADLINE).await?;
    let write = |path: &str, text: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = root.join(path);
        std::fs::write(&path, text)
            .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)))
            .map_err(file("cannot write", &path))
    };
    write("usr/local/sbin/naive-join", SCRIPT, 0o755)?;
    write("etc/systemd/system/naive-join.service", UNIT, 0o644)?;
    // A known machine id spares the first boot's setting of every unit's default.
    write("etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0o644)?;
    let wants = root.join("etc/systemd/system/multi-user.target.wants/naive-join.service");
    std::os::unix::fs::symlink("../naive-join.service", &wants).map_err(file("cannot link", &wants))?;
    let boot = root.join("boot");
    let kernel = std::fs::read_dir(&boot)
        .map_err(file("cannot read", &boot))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"vmlinuz-")))
        .ok_or_else(|| Error::Config("the bare image has no kernel".to_owned()))?;
    std::fs::copy(&kernel, dir.join("vmlinuz")).map_err(file("cannot copy", &kernel))?;
    let mut argv = args(["mke2fs", "-q", "-t", "ext4", "-d"]);
    argv.push(root.into());
    argv.push(dir.join("disk.raw").into());
    argv.push("4G".into());
    child::run(&argv, None, DISK_DEADLINE).await.map(|_| ())
}
