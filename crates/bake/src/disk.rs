//! From the root tree's tar to a GPT disk: EROFS, its dm-verity tree, the unified kernel image, the EFI system partition.
//!
//! All ids are derived from content, so the same inputs give the same bytes.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use futuswarm_image_format::{BLOCK_SIZE, BlockIndex, ZERO_BLOCK};
use futuswarm_tools::ToolsTree;
use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::run::{run, run_with_input};

const SECTOR: u64 = 512;
const MIB: u64 = 1 << 20;
/// Room for the unified kernel image of today (17 MiB) three times over.
const ESP_BYTES: u64 = 64 * MIB;
/// Volumes are sized in GiB; a volume cannot be smaller than its snapshot.
const DISK_STEP: u64 = 1 << 30;
/// The partition table's own room at both ends.
const TABLE_BYTES: u64 = MIB;

// Discoverable Partitions Specification, https://uapi-group.org/specifications/specs/discoverable_partitions_specification/
const TYPE_ESP: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
const TYPE_ROOT: &str = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709";
const TYPE_ROOT_VERITY: &str = "2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5";

/// The kernel command line, less the root hash.
///
/// * `console=`: EC2's GetConsoleOutput reads the first serial port; `quiet` because that port is slow.
/// * `systemd.gpt_auto=0`: mounts are listed in `/etc/fstab`, nothing is guessed from the disk.
/// * `systemd.condition_needs_update=no`: what "first boot after an update" would make was made at bake time.
/// * `panic=10 oops=panic`: a node in an unknown state starts again; the cluster goes on without it meanwhile.
const CMDLINE: &str = "console=tty0 console=ttyS0,115200n8 quiet loglevel=4 net.ifnames=0 systemd.gpt_auto=0 \
                       systemd.condition_needs_update=no random.trust_cpu=on panic=10 oops=panic";

/// Programs of the tools tree and a folder for intermediate files.
#[derive(Debug)]
pub struct Workshop<'a> {
    pub tools: &'a ToolsTree,
    pub dir: &'a Path,
    /// Timestamp of everything, in seconds since 1970.
    pub epoch: u64,
}

/// The root file system with what verifies it.
#[derive(Debug, Clone)]
pub struct Root {
    pub image: PathBuf,
    /// dm-verity's hash tree, in a file of its own.
    pub hashes: PathBuf,
    /// The root hash, 64 hexadecimal digits.
    pub root_hash: String,
}

/// A UUID from a digest of `parts`.
#[must_use]
pub fn derived_uuid(parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("\n"));
    let mut bytes: [u8; 16] = std::array::from_fn(|index| digest[index]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80; // version 8: made by the application
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    uuid_text(&hex::encode(bytes))
}

fn uuid_text(hex: &str) -> String {
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32])
}

impl Workshop<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The EROFS image of a root tree.
    ///
    /// # Errors
    /// When mkfs.erofs fails.
    pub fn erofs(&self, tar: &Path) -> Result<PathBuf, Error> {
        let image = self.path("root.erofs");
        let mut command = self.tools.command("mkfs.erofs")?;
        command
            // 64 KiB clusters: the best trade between size and what a small read has to unpack.
            .args(["--tar=f", "-zlz4hc,3", "-C65536", "--quiet"])
            .arg(format!("-T{}", self.epoch))
            .arg(format!("-U{}", derived_uuid(&["futuswarm root file system"])))
            .arg(&image)
            .arg(tar);
        run("mkfs.erofs", &mut command)?;
        Ok(image)
    }

    /// The hash tree over the root.
    ///
    /// # Errors
    /// When veritysetup fails.
    pub fn verity(&self, image: PathBuf) -> Result<Root, Error> {
        let hashes = self.path("root.verity");
        // A fixed salt keeps bakes repeatable; its job, to spoil precomputed collisions, it does all the same.
        let salt = hex::encode(Sha256::digest("futuswarm verity salt"));
        let mut command = self.tools.command("veritysetup")?;
        command
            .args(["format", "--hash=sha256", "--data-block-size=4096", "--hash-block-size=4096"])
            .arg(format!("--salt={salt}"))
            .arg(format!("--uuid={}", derived_uuid(&["futuswarm hash tree"])))
            .arg(&image)
            .arg(&hashes);
        let output = run("veritysetup", &mut command)?;
        let output = String::from_utf8_lossy(&output);
        let root_hash = output.lines().find_map(|line| line.strip_prefix("Root hash:")).map(str::trim);
        let root_hash = root_hash.filter(|hash| hash.len() == 64).ok_or_else(|| Error::Program {
            program: "veritysetup".to_owned(),
            status: "success".to_owned(),
            tail: "no root hash in its output".to_owned(),
        })?;
        Ok(Root { image, hashes, root_hash: root_hash.to_owned() })
    }

    /// The unified kernel image: kernel, initrd and a command line that names the root hash.
    ///
    /// # Errors
    /// When ukify fails.
    pub fn uki(&self, kernel: &[u8], version: &str, initrd: &[u8], os: &str, hash: &str) -> Result<PathBuf, Error> {
        let uki = self.path("futuswarm.efi");
        let file = |name: &str, content: &[u8]| {
            let path = self.path(name);
            std::fs::write(&path, content).map_err(Error::file(&path)).map(|()| path)
        };
        let stub = self.tools.root().join("usr/lib/systemd/boot/efi/linuxx64.efi.stub");
        let mut os_release = std::ffi::OsString::from("@");
        os_release.push(file("os-release", os.as_bytes())?);
        let mut command = self.tools.python("ukify")?;
        command
            .arg("build")
            .arg("--linux")
            .arg(file("vmlinuz", kernel)?)
            .arg("--initrd")
            .arg(file("initrd", initrd)?)
            .arg("--cmdline")
            .arg(format!("roothash={hash} {CMDLINE}"))
            .arg("--uname")
            .arg(version)
            .arg("--os-release")
            .arg(os_release)
            .arg("--stub")
            .arg(stub)
            .arg("--output")
            .arg(&uki)
            .env("SOURCE_DATE_EPOCH", self.epoch.to_string());
        run("ukify", &mut command)?;
        Ok(uki)
    }

    /// The EFI system partition with the image where firmware looks without any boot entry.
    ///
    /// # Errors
    /// When the image does not fit or a tool fails.
    pub fn esp(&self, uki: &Path) -> Result<PathBuf, Error> {
        let esp = self.path("esp.img");
        let file = File::create(&esp).map_err(Error::file(&esp))?;
        file.set_len(ESP_BYTES).map_err(Error::file(&esp))?;
        let epoch = self.epoch.to_string();
        let mut format = self.tools.command("mkfs.vfat")?;
        format.args(["--invariant", "-F32", "-s1", "-nESP", "-iF5A0F5A0"]).arg(&esp);
        run("mkfs.vfat", format.env("SOURCE_DATE_EPOCH", &epoch))?;
        let mut directories = self.tools.command("mmd")?;
        directories.arg("-i").arg(&esp).args(["::EFI", "::EFI/BOOT"]);
        run("mmd", directories.env("SOURCE_DATE_EPOCH", &epoch).env("MTOOLS_SKIP_CHECK", "1"))?;
        let mut copy = self.tools.command("mcopy")?;
        copy.arg("-i").arg(&esp).arg(uki).arg("::EFI/BOOT/BOOTX64.EFI");
        run("mcopy", copy.env("SOURCE_DATE_EPOCH", &epoch).env("MTOOLS_SKIP_CHECK", "1"))?;
        Ok(esp)
    }

    /// The whole disk, sparse, and its size in bytes.
    ///
    /// # Errors
    /// When a file cannot be read or written, or sfdisk fails.
    pub fn disk(&self, esp: &Path, root: &Root, disk: &Path) -> Result<u64, Error> {
        let size = |path: &Path| std::fs::metadata(path).map(|meta| meta.len()).map_err(Error::file(path));
        let (root_id, hash_id) = (uuid_text(&root.root_hash[..32]), uuid_text(&root.root_hash[32..]));
        let parts = [
            ("ESP", TYPE_ESP, derived_uuid(&["futuswarm ESP", &root.root_hash]), esp),
            ("root", TYPE_ROOT, root_id, root.image.as_path()),
            ("root-verity", TYPE_ROOT_VERITY, hash_id, root.hashes.as_path()),
        ];
        let mut script =
            format!("label: gpt\nlabel-id: {}\nfirst-lba: 2048\n", derived_uuid(&["futuswarm disk", &root.root_hash]));
        let mut offset = TABLE_BYTES;
        let mut copies = Vec::new();
        for (name, kind, id, path) in parts {
            let bytes = size(path)?.next_multiple_of(MIB);
            script.push_str(&format!(
                "start={}, size={}, type={kind}, uuid={id}, name=\"{name}\"\n",
                offset / SECTOR,
                bytes / SECTOR
            ));
            copies.push((path, offset));
            offset += bytes;
        }
        let total = (offset + TABLE_BYTES).next_multiple_of(DISK_STEP);
        let mut file = File::create(disk).map_err(Error::file(disk))?;
        file.set_len(total).map_err(Error::file(disk))?;
        let mut table = self.tools.command("sfdisk")?;
        table.args(["--quiet", "--no-reread", "--no-tell-kernel"]).arg(disk);
        run_with_input("sfdisk", &mut table, script.as_bytes())?;
        for (path, offset) in copies {
            copy_sparse(path, &mut file, offset).map_err(Error::file(disk))?;
        }
        file.sync_all().map_err(Error::file(disk))?;
        Ok(total)
    }
}

fn copy_sparse(from: &Path, to: &mut File, mut offset: u64) -> std::io::Result<()> {
    let mut from = File::open(from)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        for block in buffer[..count].chunks(4096) {
            if block.iter().any(|byte| *byte != 0) {
                to.seek(SeekFrom::Start(offset))?;
                to.write_all(block)?;
            }
            offset += block.len() as u64;
        }
    }
}

/// What one reading of a whole disk gives.
#[derive(Debug, PartialEq, Eq)]
pub struct Measure {
    /// In hexadecimal.
    pub sha256: String,
    /// Bytes of its sectors (512 bytes) that are not all zero.
    pub payload_bytes: u64,
    pub blocks: BlockIndex,
}

///
/// # Errors
/// When it cannot be read.
pub fn measure(disk: &Path) -> Result<Measure, Error> {
    let mut file = File::open(disk).map_err(Error::file(disk))?;
    let mut hash = Sha256::new();
    let (mut payload_bytes, mut blocks) = (0, Vec::new());
    let mut block = vec![0; BLOCK_SIZE];
    loop {
        let mut count = 0;
        while count < BLOCK_SIZE {
            match file.read(&mut block[count..]).map_err(Error::file(disk))? {
                0 => break,
                more => count += more,
            }
        }
        if count == 0 {
            return Ok(Measure { sha256: hex::encode(hash.finalize()), payload_bytes, blocks: blocks.into() });
        }
        hash.update(&block[..count]);
        let zero = [0_u8; SECTOR as usize];
        let sectors = block[..count].chunks(zero.len()).filter(|sector| *sector != &zero[..sector.len()]);
        let content = sectors.count() as u64 * SECTOR;
        payload_bytes += content;
        block[count..].fill(0);
        // Most of a disk is holes, and their digest is known.
        blocks.push(if content == 0 { *ZERO_BLOCK } else { Sha256::digest(&block).into() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_counts_sectors_that_hold_something() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk");
        let mut bytes = vec![0; 4096];
        bytes[0] = 1;
        bytes[600] = 1;
        bytes[601] = 1;
        std::fs::write(&disk, &bytes).unwrap();
        let measure = measure(&disk).unwrap();
        assert_eq!(measure.payload_bytes, 1024);
        assert_eq!(measure.sha256, hex::encode(Sha256::digest(&bytes)));
        bytes.resize(BLOCK_SIZE, 0);
        assert_eq!(measure.blocks.as_bytes(), Sha256::digest(&bytes).as_slice(), "the last block counts as filled up");
    }

    #[test]
    fn every_block_has_its_digest() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk");
        let blocks = [vec![0; BLOCK_SIZE], vec![1; BLOCK_SIZE], vec![2; BLOCK_SIZE]];
        std::fs::write(&disk, blocks.concat()).unwrap();
        let expected: Vec<u8> = blocks.iter().flat_map(Sha256::digest).collect();
        assert_eq!(measure(&disk).unwrap().blocks.as_bytes(), expected);
    }

    #[test]
    fn copies_land_where_they_belong() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let mut content = vec![0; 10_000];
        content[5000] = 7;
        content[9999] = 8;
        std::fs::write(&from, &content).unwrap();
        let mut file = File::create(&to).unwrap();
        file.set_len(20_000).unwrap();
        copy_sparse(&from, &mut file, 4096).unwrap();
        assert_eq!(&std::fs::read(&to).unwrap()[4096..14_096], content.as_slice());
    }

    #[test]
    fn uuids_depend_on_every_part() {
        assert_ne!(derived_uuid(&["a", "b"]), derived_uuid(&["a", "c"]));
        assert_eq!(derived_uuid(&["a"]).len(), 36);
    }
}
