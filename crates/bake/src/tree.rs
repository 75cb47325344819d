//! The target's root tree as one tar: the base, less what is not needed, with the overlay and our own files on top.
//!
//! Streams from tar to tar, so nothing is unpacked and no privilege is needed. While it streams it keeps an [`Index`] of
//! everything that the assertions want to know.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tar::{Archive, Builder, EntryType, Header};

use crate::Error;
use crate::inputs::collect;

/// Files up to this size below `etc` and `usr/lib/systemd` are kept in the index.
const KEEP_BELOW: u64 = 64 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    /// A symbolic link and where it points.
    Symlink(String),
    /// A hard link and what it is another name of.
    Hardlink(String),
    /// A device, fifo or socket.
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub kind: Kind,
    /// Permission bits, with setuid and setgid.
    pub mode: u32,
    /// In bytes.
    pub size: u64,
}

/// What is in the tree, by path without a leading slash.
#[derive(Debug, Clone, Default)]
pub struct Index {
    pub entries: BTreeMap<String, Entry>,
    /// Contents of small text files below `etc` and `usr/lib/systemd`.
    pub texts: BTreeMap<String, String>,
}

impl Index {
    /// Follows symbolic links (of the file and of the directories before it) to the entry that `path` means.
    #[must_use]
    pub fn resolve(&self, path: &str) -> Option<(String, &Entry)> {
        let mut rest: Vec<String> = path.split('/').filter(|part| !part.is_empty()).rev().map(str::to_owned).collect();
        let mut done: Vec<String> = Vec::new();
        // The kernel's own limit on links in one path.
        let mut links = 40;
        while let Some(part) = rest.pop() {
            match part.as_str() {
                "." => continue,
                ".." => {
                    done.pop();
                    continue;
                }
                _ => done.push(part),
            }
            if let Some(Entry { kind: Kind::Symlink(target), .. }) = self.entries.get(&done.join("/")) {
                links -= 1;
                if links == 0 {
                    return None;
                }
                if target.starts_with('/') {
                    done.clear();
                } else {
                    done.pop();
                }
                rest.extend(target.split('/').filter(|part| !part.is_empty()).rev().map(str::to_owned));
            }
        }
        let path = done.join("/");
        self.entries.get(&path).map(|entry| (path, entry))
    }
}

/// A file that comes from neither the base nor the overlay.
#[derive(Debug, Clone)]
pub struct Extra {
    /// Path without a leading slash.
    pub path: String,
    pub mode: u32,
    pub source: PathBuf,
}

#[derive(Debug)]
pub struct Plan<'a> {
    pub base: &'a Path,
    /// Directory that mirrors the target tree.
    pub overlay: &'a Path,
    pub extras: &'a [Extra],
    /// Paths that are left out, with everything below them; a trailing `*` matches any end of the last part.
    pub remove: &'a [String],
    /// Modification time of everything that we add, in seconds since 1970.
    pub mtime: u64,
}

/// The removal list: one path per line, comments with `#`.
///
/// # Errors
/// When the file cannot be read.
pub fn read_list(path: &Path) -> Result<Vec<String>, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::file(path))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    Ok(lines.filter(|line| !line.is_empty()).map(|line| line.trim_start_matches('/').to_owned()).collect())
}

/// Whether `path`, or a directory it is in, is on the removal list.
fn is_removed(path: &str, remove: &[String]) -> bool {
    remove.iter().any(|rule| match rule.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => path == rule || path.strip_prefix(rule.as_str()).is_some_and(|rest| rest.starts_with('/')),
    })
}

/// Writes the tree to `output`.
///
/// # Errors
/// When a file cannot be read or written, or a rule of the removal list matches nothing any more.
pub fn merge(plan: &Plan<'_>, output: &Path) -> Result<Index, Error> {
    let added = additions(plan)?;
    let file = File::create(output).map_err(Error::file(output))?;
    let mut writer = Writer { tar: Builder::new(BufWriter::with_capacity(1 << 20, file)), index: Index::default() };
    copy_base(plan, &added, &mut writer, output)?;
    for (path, addition) in &added {
        writer.add(path, addition, plan.mtime)?;
    }
    let mut buffer = writer.tar.into_inner().map_err(Error::file(output))?;
    buffer.flush().map_err(Error::file(output))?;
    Ok(writer.index)
}

fn copy_base(
    plan: &Plan<'_>,
    added: &BTreeMap<String, Addition>,
    writer: &mut Writer,
    output: &Path,
) -> Result<(), Error> {
    let base = File::open(plan.base).map_err(Error::file(plan.base))?;
    let mut base = Archive::new(BufReader::with_capacity(1 << 20, base));
    let mut used = BTreeSet::new();
    for entry in base.entries().map_err(Error::file(plan.base))? {
        let mut entry = entry.map_err(Error::file(plan.base))?;
        let path = entry.path().map_err(Error::file(plan.base))?.to_string_lossy().into_owned();
        let path = path.trim_start_matches("./").trim_end_matches('/').to_owned();
        let is_directory = entry.header().entry_type().is_dir();
        if let Some(rule) = plan.remove.iter().find(|rule| is_removed(&path, std::slice::from_ref(rule))) {
            used.insert(rule.clone());
            continue;
        }
        // Directories that exist keep their owner and mode; files of ours replace files of the base.
        if path.is_empty() || (added.contains_key(&path) && !is_directory) {
            continue;
        }
        let attributes: Vec<(String, Vec<u8>)> = match entry.pax_extensions().map_err(Error::file(plan.base))? {
            Some(extensions) => extensions
                .flatten()
                .filter_map(|pair| Some((pair.key().ok()?.to_owned(), pair.value_bytes().to_vec())))
                .filter(|(key, _)| key.starts_with("SCHILY.xattr."))
                .collect(),
            None => Vec::new(),
        };
        let attributes = attributes.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        writer.tar.append_pax_extensions(attributes).map_err(Error::file(output))?;
        writer.copy(&path, &mut entry, plan.base)?;
    }
    let unused: Vec<&String> = plan.remove.iter().filter(|rule| !used.contains(*rule)).collect();
    if !unused.is_empty() {
        return Err(Error::Malformed {
            path: "images/node/remove.txt".into(),
            reason: format!("these rules match nothing in the packages any more, delete them: {unused:?}"),
        });
    }
    Ok(())
}

/// Where the content of an addition is, and its mode if that is not the default.
type Addition = (PathBuf, Option<u32>);

fn additions(plan: &Plan<'_>) -> Result<BTreeMap<String, Addition>, Error> {
    let mut files = Vec::new();
    collect(plan.overlay, &mut files)?;
    let mut added: BTreeMap<String, Addition> = BTreeMap::new();
    for path in files {
        let name = path.strip_prefix(plan.overlay).unwrap_or(&path).to_string_lossy().into_owned();
        // Empty directories cannot be kept by git; a .keep file stands for them.
        added.insert(name, (path, None));
    }
    for extra in plan.extras {
        added.insert(extra.path.clone(), (extra.source.clone(), Some(extra.mode)));
    }
    Ok(added)
}

struct Writer {
    tar: Builder<BufWriter<File>>,
    index: Index,
}

impl Writer {
    fn copy<R: std::io::Read>(&mut self, path: &str, entry: &mut tar::Entry<'_, R>, base: &Path) -> Result<(), Error> {
        let mut header = entry.header().clone();
        let mode = header.mode().map_err(Error::file(base))? & 0o7777;
        let size = entry.size();
        let link = entry.link_name().map_err(Error::file(base))?;
        let link = link.map(|link| link.to_string_lossy().into_owned());
        let kind = match header.entry_type() {
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink(link.clone().unwrap_or_default()),
            EntryType::Link => Kind::Hardlink(link.clone().unwrap_or_default().trim_start_matches("./").to_owned()),
            _ => Kind::Other,
        };
        match (&kind, link) {
            (Kind::Symlink(target), _) => self.tar.append_link(&mut header, path, target),
            (Kind::Hardlink(target), _) => self.tar.append_link(&mut header, path, target),
            (Kind::File, _) if size <= KEEP_BELOW && is_indexed(path) => {
                let mut content = Vec::new();
                entry.read_to_end(&mut content).map_err(Error::file(base))?;
                let result = self.tar.append_data(&mut header, path, content.as_slice());
                self.index.texts.insert(path.to_owned(), String::from_utf8_lossy(&content).into_owned());
                result
            }
            _ => self.tar.append_data(&mut header, path, entry),
        }
        .map_err(Error::file(base))?;
        self.index.entries.insert(path.to_owned(), Entry { kind, mode, size });
        Ok(())
    }

    fn add(&mut self, path: &str, addition: &Addition, mtime: u64) -> Result<(), Error> {
        let (source, mode) = addition;
        self.add_parents(path, mtime)?;
        if path.ends_with("/.keep") {
            return Ok(());
        }
        let metadata = source.symlink_metadata().map_err(Error::file(source))?;
        let mut header = header(mtime);
        if metadata.is_symlink() {
            let target = std::fs::read_link(source).map_err(Error::file(source))?.to_string_lossy().into_owned();
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            header.set_size(0);
            self.tar.append_link(&mut header, path, &target).map_err(Error::file(source))?;
            self.index.entries.insert(path.to_owned(), Entry { kind: Kind::Symlink(target), mode: 0o777, size: 0 });
            return Ok(());
        }
        let content = std::fs::read(source).map_err(Error::file(source))?;
        // Only the executable bit of a checkout means anything: umasks differ between machines. A sudoers file must not be
        // readable by everybody.
        let executable = metadata.permissions().mode() & 0o100 != 0;
        let default = if executable { 0o755 } else { 0o644 };
        let mode = mode.unwrap_or(if path.starts_with("etc/sudoers.d/") { 0o440 } else { default });
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        self.tar.append_data(&mut header, path, content.as_slice()).map_err(Error::file(source))?;
        let size = content.len() as u64;
        if is_indexed(path) {
            self.index.texts.insert(path.to_owned(), String::from_utf8_lossy(&content).into_owned());
        }
        self.index.entries.insert(path.to_owned(), Entry { kind: Kind::File, mode, size });
        Ok(())
    }

    fn add_parents(&mut self, path: &str, mtime: u64) -> Result<(), Error> {
        let mut parents: Vec<&str> = path.match_indices('/').map(|(at, _)| &path[..at]).collect();
        parents.retain(|parent| !self.index.entries.contains_key(*parent));
        for parent in parents {
            let mut header = header(mtime);
            header.set_entry_type(EntryType::Directory);
            header.set_mode(0o755);
            header.set_size(0);
            self.tar.append_data(&mut header, parent, std::io::empty()).map_err(Error::file(parent))?;
            let entry = Entry { kind: Kind::Directory, mode: 0o755, size: 0 };
            self.index.entries.insert(parent.to_owned(), entry);
        }
        Ok(())
    }
}

fn header(mtime: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(mtime);
    header
}

fn is_indexed(path: &str) -> bool {
    path.starts_with("etc/") || path.starts_with("usr/lib/systemd/") || path == "usr/lib/os-release"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(dir: &Path) -> PathBuf {
        let path = dir.join("base.tar");
        let mut tar = Builder::new(File::create(&path).unwrap());
        let mut file = |name: &str, content: &str| {
            let mut header = header(7);
            header.set_mode(0o644);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, name, content.as_bytes()).unwrap();
        };
        file("./etc/hostname", "debian");
        file("./usr/bin/ctr", "x");
        file("./usr/lib/firmware/a", "x");
        file("./boot/vmlinuz-6", "x");
        let mut link = header(7);
        link.set_mode(0o777);
        link.set_entry_type(EntryType::Symlink);
        link.set_size(0);
        tar.append_link(&mut link, "./bin", "usr/bin").unwrap();
        tar.finish().unwrap();
        path
    }

    fn names(tar: &Path) -> Vec<String> {
        let mut archive = Archive::new(File::open(tar).unwrap());
        archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn the_overlay_replaces_and_the_list_removes() {
        let dir = tempfile::tempdir().unwrap();
        let base = base(dir.path());
        let overlay = dir.path().join("rootfs");
        std::fs::create_dir_all(overlay.join("etc/docker")).unwrap();
        std::fs::write(overlay.join("etc/hostname"), "node").unwrap();
        std::fs::write(overlay.join("etc/docker/daemon.json"), "{}").unwrap();
        let remove = ["usr/bin/ctr".to_owned(), "boot".to_owned(), "usr/lib/firm*".to_owned()];
        let plan = Plan { base: &base, overlay: &overlay, extras: &[], remove: &remove, mtime: 9 };
        let out = dir.path().join("out.tar");
        let index = merge(&plan, &out).unwrap();
        assert_eq!(names(&out), ["bin", "etc", "etc/docker", "etc/docker/daemon.json", "etc/hostname"]);
        assert_eq!(index.texts["etc/hostname"], "node");
        let first = std::fs::read(&out).unwrap();
        merge(&plan, &out).unwrap();
        assert_eq!(first, std::fs::read(&out).unwrap(), "the same inputs make the same bytes");
    }

    #[test]
    fn a_rule_that_removes_nothing_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let base = base(dir.path());
        let overlay = dir.path().join("rootfs");
        std::fs::create_dir_all(&overlay).unwrap();
        let plan = Plan { base: &base, overlay: &overlay, extras: &[], remove: &["usr/bin/gone".to_owned()], mtime: 9 };
        let message = merge(&plan, &dir.path().join("out.tar")).unwrap_err().to_string();
        assert!(message.contains("usr/bin/gone"), "{message}");
    }

    #[test]
    fn links_are_followed_like_the_kernel_does() {
        let mut index = Index::default();
        let mut put = |path: &str, kind: Kind| {
            index.entries.insert(path.to_owned(), Entry { kind, mode: 0o755, size: 0 });
        };
        put("bin", Kind::Symlink("usr/bin".to_owned()));
        put("usr/bin/sh", Kind::Symlink("../../usr/bin/dash".to_owned()));
        put("usr/bin/dash", Kind::File);
        put("loop", Kind::Symlink("loop".to_owned()));
        assert_eq!(index.resolve("/bin/sh").unwrap().0, "usr/bin/dash");
        assert!(index.resolve("/bin/none").is_none());
        assert!(index.resolve("/loop").is_none());
    }
}
