//! The initrd: our first process and the few kernel modules that it loads, as a cpio archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use futuswarm_tools::ToolsTree;
use tar::Archive;

use crate::Error;
use crate::run::run_with_input;

/// Modules that open the root. Debian's cloud kernel has NVMe, ext4 and virtio's transport built in. The fast SHA-256 makes
/// dm-verity cheap; without it the kernel falls back to portable code.
const MODULES: &[&str] = &["sha256-ssse3", "dm-verity", "erofs", "overlay"];

/// Kernel, its version, and the modules of the initrd, from the base tar.
#[derive(Debug)]
pub struct Kernel {
    /// For example `6.12.117+deb13-cloud-amd64`.
    pub version: String,
    pub image: Vec<u8>,
    /// File names and contents (still compressed) in the order in which they must be loaded.
    pub modules: Vec<(String, Vec<u8>)>,
}

/// Takes the kernel and the modules out of the base tar.
///
/// # Errors
/// When the base has no kernel or lacks a module.
pub fn kernel(base: &Path) -> Result<Kernel, Error> {
    let malformed = |reason: String| Error::Malformed { path: base.to_owned(), reason };
    let mut image = None;
    let mut dependencies = None;
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let file = File::open(base).map_err(Error::file(base))?;
    let mut archive = Archive::new(BufReader::with_capacity(1 << 20, file));
    for entry in archive.entries().map_err(Error::file(base))? {
        let mut entry = entry.map_err(Error::file(base))?;
        let path = entry.path().map_err(Error::file(base))?.to_string_lossy().trim_start_matches("./").to_owned();
        let relevant = path.starts_with("boot/vmlinuz-")
            || (path.starts_with("usr/lib/modules/") && (path.ends_with(".ko.xz") || path.ends_with("/modules.dep")));
        if !relevant || !entry.header().entry_type().is_file() {
            continue;
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(Error::file(base))?;
        if let Some(version) = path.strip_prefix("boot/vmlinuz-") {
            image = Some((version.to_owned(), content));
        } else if path.ends_with("/modules.dep") {
            dependencies = Some(String::from_utf8_lossy(&content).into_owned());
        } else {
            let name = path.splitn(5, '/').nth(4).unwrap_or_default().to_owned();
            files.insert(name, content);
        }
    }
    let (version, image) = image.ok_or_else(|| malformed("there is no kernel in boot/".to_owned()))?;
    let dependencies = dependencies.ok_or_else(|| malformed("there is no modules.dep".to_owned()))?;
    let order = load_order(&dependencies, MODULES).map_err(malformed)?;
    let modules = order
        .into_iter()
        .map(|name| {
            let content = files.remove(&name).ok_or_else(|| malformed(format!("the module {name} is missing")))?;
            Ok((name, content))
        })
        .collect::<Result<_, Error>>()?;
    Ok(Kernel { version, image, modules })
}

/// Files of `modules` and what they need, each after its needs.
fn load_order(modules_dep: &str, modules: &[&str]) -> Result<Vec<String>, String> {
    let needs: BTreeMap<&str, Vec<&str>> = modules_dep
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(file, needs)| (file, needs.split_ascii_whitespace().collect()))
        .collect();
    let mut order: Vec<String> = Vec::new();
    for module in modules {
        let file = needs
            .keys()
            .find(|file| file.rsplit('/').next().and_then(|name| name.split('.').next()) == Some(module))
            .ok_or_else(|| format!("the kernel has no module {module}"))?;
        // modules.dep lists all needs, the deepest last.
        let chain = needs[file].iter().rev().chain(std::iter::once(file));
        for file in chain {
            if !order.iter().any(|known| known == file) {
                order.push((*file).to_owned());
            }
        }
    }
    Ok(order)
}

/// Builds the initrd. It is not compressed: the modules are small and unpacking costs boot time.
///
/// # Errors
/// When a module cannot be unpacked.
pub fn build(kernel: &Kernel, init: &Path, tools: &ToolsTree) -> Result<Vec<u8>, Error> {
    let mut cpio = Cpio::default();
    cpio.directory("dev");
    // The kernel opens the console before the first process can mount anything.
    cpio.character_device("dev/console", 5, 1);
    cpio.directory("modules");
    for (index, (name, compressed)) in kernel.modules.iter().enumerate() {
        let content = run_with_input("xz", tools.command("xz")?.args(["-dc"]), compressed)?;
        let file = name.rsplit('/').next().unwrap_or(name).trim_end_matches(".xz");
        cpio.file(&format!("modules/{index:02}-{file}"), 0o644, &content);
    }
    cpio.file("init", 0o755, &std::fs::read(init).map_err(Error::file(init))?);
    Ok(cpio.finish())
}

/// A writer of the "newc" format that the kernel reads: `Documentation/driver-api/early-userspace/buffer-format.rst`.
#[derive(Default)]
struct Cpio {
    bytes: Vec<u8>,
    inode: u32,
}

impl Cpio {
    fn directory(&mut self, path: &str) {
        self.entry(path, 0o040_755, (0, 0), &[]);
    }

    fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entry(path, 0o100_000 | mode, (0, 0), content);
    }

    fn character_device(&mut self, path: &str, major: u32, minor: u32) {
        self.entry(path, 0o020_600, (major, minor), &[]);
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.inode += 1;
        let (size, name) = (content.len(), path.len() + 1);
        let fields = [
            // Inode, mode, uid, gid, links, mtime, size, device (2), represented device (2), name length, checksum.
            self.inode as usize,
            mode as usize,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            device.0 as usize,
            device.1 as usize,
            name,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        let len = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(len, 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.inode = 0;
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_come_after_what_they_need_and_only_once() {
        let modules_dep = "kernel/md/dm-verity.ko.xz: kernel/md/dm-bufio.ko.xz kernel/md/dm-mod.ko.xz\n\
                           kernel/md/dm-bufio.ko.xz: kernel/md/dm-mod.ko.xz\nkernel/md/dm-mod.ko.xz:\n\
                           kernel/fs/overlay.ko.xz:\n";
        let order = load_order(modules_dep, &["dm-verity", "overlay", "dm-bufio"]).unwrap();
        let order: Vec<&str> = order.iter().map(|file| file.rsplit('/').next().unwrap()).collect();
        assert_eq!(order, ["dm-mod.ko.xz", "dm-bufio.ko.xz", "dm-verity.ko.xz", "overlay.ko.xz"]);
        assert_eq!(load_order(modules_dep, &["erofs"]).unwrap_err(), "the kernel has no module erofs");
    }

    #[test]
    fn a_cpio_has_the_kernels_layout() {
        let mut cpio = Cpio::default();
        cpio.file("init", 0o755, b"abc");
        let bytes = cpio.finish();
        assert_eq!(&bytes[..14], b"07070100000001");
        assert_eq!(&bytes[14..22], b"000081ed");
        assert_eq!(&bytes[110..115], b"init\0");
        assert_eq!(&bytes[116..120], b"abc\0");
        assert_eq!(bytes.len() % 4, 0);
        assert!(bytes.windows(10).any(|window| window == b"TRAILER!!!"));
    }
}
