//! The steps from the kernel's hand-over to systemd's first instruction.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, mount, mount_move};

use crate::{cmdline, device_mapper, identity, partitions, verity};

/// EBS volumes appear within milliseconds; an emulated machine that shares its processor may need seconds.
const DISK_DEADLINE: Duration = Duration::from_secs(60);
const DISK_POLL: Duration = Duration::from_millis(20);
/// Name of the verified device; the same that systemd's own generator uses.
const ROOT_DEVICE: &str = "root";
const SYSROOT: &str = "/sysroot";

/// Runs all steps. Returns only when one failed.
pub fn run() -> Result<Infallible, String> {
    mount_kernel_file_systems()?;
    load_modules()?;
    let cmdline = read("/proc/cmdline")?;
    let root_hash = cmdline::root_hash(&cmdline)?;
    let (_, minor) = open_verified_root(root_hash)?;
    mount_root(&format!("/dev/dm-{minor}"))?;
    // systemd-repart looks here to find the disk behind a root that is an overlay. The kernel makes /dev/dm-N itself;
    // the links in /dev/block come from udev, which has not run yet.
    fs::create_dir_all("/run/systemd").map_err(|error| format!("/run/systemd: {error}"))?;
    symlink(format!("/dev/dm-{minor}"), "/run/systemd/volatile-root")
        .map_err(|error| format!("/run/systemd/volatile-root: {error}"))?;
    name_the_node()?;
    switch_root()
}

fn mount_kernel_file_systems() -> Result<(), String> {
    let strict = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    for (kind, at, flags, data) in [
        ("devtmpfs", "/dev", MountFlags::NOSUID, "mode=0755"),
        ("proc", "/proc", strict, ""),
        ("sysfs", "/sys", strict, ""),
        ("tmpfs", "/run", MountFlags::NOSUID | MountFlags::NODEV, "mode=0755"),
    ] {
        mount_at(kind, kind, at, flags, data)?;
    }
    Ok(())
}

/// Loads `/modules/*.ko` in the order of their names, which the bake made the order of their dependencies.
fn load_modules() -> Result<(), String> {
    let mut files: Vec<PathBuf> = fs::read_dir("/modules")
        .map_err(|error| format!("/modules: {error}"))?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    for path in files {
        let file = fs::File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        match rustix::system::finit_module(file, c"", 0) {
            // A module that finds no hardware of its own (a faster hash, say) is not needed.
            Ok(()) | Err(rustix::io::Errno::NODEV | rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(format!("cannot load the kernel module {}: {error}", path.display())),
        }
    }
    Ok(())
}

fn open_verified_root(root_hash: &str) -> Result<(u32, u32), String> {
    let (root_id, hash_id) = cmdline::partition_ids(root_hash);
    let data = wait_for_partition("root", &root_id)?;
    let hashes = wait_for_partition("hash", &hash_id)?;
    let mut bytes = [0; verity::SUPERBLOCK_LEN];
    let file = fs::File::open(&hashes).map_err(|error| format!("{}: {error}", hashes.display()))?;
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, 0)
        .map_err(|error| format!("{}: {error}", hashes.display()))?;
    let superblock = verity::Superblock::parse(&bytes)?;
    let table = superblock.table(&device_number(&data)?, &device_number(&hashes)?, root_hash);
    let (major, minor) = device_mapper::create(ROOT_DEVICE, "verity", superblock.sectors(), &table)?;
    let node = PathBuf::from(format!("/dev/dm-{minor}"));
    wait("the verified root device", || node.exists().then_some(()))?;
    Ok((major, minor))
}

fn wait_for_partition(what: &str, id: &str) -> Result<PathBuf, String> {
    wait(&format!("the {what} partition {id}"), || partitions::find(id))
}

fn wait<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> Result<T, String> {
    let start = Instant::now();
    loop {
        if let Some(value) = probe() {
            return Ok(value);
        }
        if start.elapsed() > DISK_DEADLINE {
            return Err(format!("{what} did not appear within {} s", DISK_DEADLINE.as_secs()));
        }
        std::thread::sleep(DISK_POLL);
    }
}

fn device_number(node: &Path) -> Result<String, String> {
    let metadata = fs::metadata(node).map_err(|error| format!("{}: {error}", node.display()))?;
    if !metadata.file_type().is_block_device() {
        return Err(format!("{} is not a block device", node.display()));
    }
    let device = metadata.rdev();
    Ok(format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device)))
}

/// The verified root, read-only, under a tmpfs that takes all changes until the node ends.
fn mount_root(device: &str) -> Result<(), String> {
    for dir in ["/lower", "/changes", SYSROOT] {
        fs::create_dir_all(dir).map_err(|error| format!("{dir}: {error}"))?;
    }
    mount_at("erofs", device, "/lower", MountFlags::RDONLY | MountFlags::NODEV, "")?;
    mount_at("tmpfs", "changes", "/changes", MountFlags::NODEV, "mode=0755,size=25%")?;
    for dir in ["/changes/upper", "/changes/work"] {
        fs::create_dir(dir).map_err(|error| format!("{dir}: {error}"))?;
    }
    let layers = "lowerdir=/lower,upperdir=/changes/upper,workdir=/changes/work";
    mount_at("overlay", "root", SYSROOT, MountFlags::NODEV, layers)
}

fn name_the_node() -> Result<(), String> {
    // Without an instance id systemd falls back to a random machine id and the name in the image.
    let Ok(tag) = fs::read_to_string(identity::ASSET_TAG) else { return Ok(()) };
    let Some(instance) = identity::instance_id(&tag) else { return Ok(()) };
    let own_name = format!("127.0.0.1 localhost\n127.0.1.1 {instance}\n::1 localhost ip6-localhost ip6-loopback\n");
    for (file, content) in [
        ("etc/hostname", instance.to_owned()),
        ("etc/machine-id", identity::machine_id(instance)),
        ("etc/hosts", own_name),
    ] {
        let path = Path::new(SYSROOT).join(file);
        fs::write(&path, content + "\n").map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn switch_root() -> Result<Infallible, String> {
    for dir in ["dev", "proc", "sys", "run"] {
        let (from, to) = (format!("/{dir}"), format!("{SYSROOT}/{dir}"));
        mount_move(from.as_str(), to.as_str()).map_err(|error| format!("cannot move {from} to {to}: {error}"))?;
    }
    // Everything that this program still needs is in memory; the initrd's files would stay there for ever.
    for path in ["/modules", "/init"] {
        let _gone = if Path::new(path).is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
    let failed = |step: &str, error: rustix::io::Errno| format!("{step}: {error}");
    rustix::process::chdir(SYSROOT).map_err(|error| failed("cannot enter the new root", error))?;
    mount_move(".", "/").map_err(|error| failed("cannot move the new root", error))?;
    rustix::process::chroot(".").map_err(|error| failed("cannot change to the new root", error))?;
    rustix::process::chdir("/").map_err(|error| failed("cannot enter the new root", error))?;
    let error = std::os::unix::process::CommandExt::exec(&mut std::process::Command::new("/usr/lib/systemd/systemd"));
    Err(format!("cannot start systemd: {error}"))
}

fn mount_at(kind: &str, source: &str, at: &str, flags: MountFlags, data: &str) -> Result<(), String> {
    fs::create_dir_all(at).map_err(|error| format!("{at}: {error}"))?;
    let data = CString::new(data).map_err(|_| format!("mount options of {at} contain a zero byte"))?;
    mount(source, at, kind, flags, data.as_c_str())
        .map_err(|error| format!("cannot mount {kind} {source} at {at}: {error}"))
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}
