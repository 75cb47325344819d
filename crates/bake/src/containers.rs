//! Container images of the core containers, as `docker load` archives, written without a registry or an engine.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use crate::Error;

/// User and group that the core containers run as; no account of the host has it.
const USER: &str = "65532:65532";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerImage {
    /// For example `futuswarm/mainpage:0123456789ab`; the tag is a digest of the content.
    pub name: String,
    pub archive: PathBuf,
}

/// The mainpage: one static program.
///
/// # Errors
/// When a file cannot be read or written.
pub fn mainpage(program: &Path, dir: &Path, mtime: u64) -> Result<ContainerImage, Error> {
    let content = std::fs::read(program).map_err(Error::file(program))?;
    let mut layer = Layer::new(mtime);
    layer.file("mainpage", 0o755, &content)?;
    let config = json!({ "Entrypoint": ["/mainpage"], "ExposedPorts": { "8080/tcp": {} }, "User": USER });
    write("mainpage", &layer.finish()?, &config, dir)
}

/// The edge: no program of its own. The agent mounts the node's verified `/usr` into it, so HAProxy is on the disk once.
///
/// # Errors
/// When a file cannot be written.
pub fn edge(dir: &Path, mtime: u64) -> Result<ContainerImage, Error> {
    let mut layer = Layer::new(mtime);
    for dir in ["usr", "etc", "run", "run/futuswarm", "run/futuswarm/edge", "tmp", "var", "var/lib"] {
        layer.directory(dir)?;
    }
    for name in ["bin", "lib", "lib64", "sbin"] {
        layer.link(name, &format!("usr/{name}"))?;
    }
    // The login's container is made of this as well, with another user.
    let users = b"edge:x:65532:65532:edge:/:/usr/sbin/nologin\nlogin:x:65533:65533:login:/:/usr/sbin/nologin\n";
    layer.file("etc/passwd", 0o644, users)?;
    layer.file("etc/group", 0o644, b"edge:x:65532:\nlogin:x:65533:\n")?;
    let config = json!({ "User": USER, "ExposedPorts": { "8080/tcp": {} } });
    write("edge", &layer.finish()?, &config, dir)
}

struct Layer {
    tar: Builder<Vec<u8>>,
    mtime: u64,
}

impl Layer {
    fn new(mtime: u64) -> Self {
        Self { tar: Builder::new(Vec::new()), mtime }
    }

    fn header(&self, kind: EntryType, mode: u32, size: usize) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size as u64);
        header.set_mtime(self.mtime);
        header.set_uid(0);
        header.set_gid(0);
        header
    }

    fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<(), Error> {
        let mut header = self.header(EntryType::Regular, mode, content.len());
        self.tar.append_data(&mut header, path, content).map_err(Error::file(path))
    }

    fn directory(&mut self, path: &str) -> Result<(), Error> {
        let mut header = self.header(EntryType::Directory, 0o755, 0);
        self.tar.append_data(&mut header, path, std::io::empty()).map_err(Error::file(path))
    }

    fn link(&mut self, path: &str, target: &str) -> Result<(), Error> {
        let mut header = self.header(EntryType::Symlink, 0o777, 0);
        self.tar.append_link(&mut header, path, target).map_err(Error::file(path))
    }

    fn finish(self) -> Result<Vec<u8>, Error> {
        self.tar.into_inner().map_err(Error::file("a layer in memory"))
    }
}

fn write(name: &str, layer: &[u8], config: &serde_json::Value, dir: &Path) -> Result<ContainerImage, Error> {
    let layer_digest = hex::encode(Sha256::digest(layer));
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer_digest}")] },
    })
    .to_string();
    let config_digest = hex::encode(Sha256::digest(&config));
    let reference = format!("futuswarm/{name}:{}", &config_digest[..12]);
    let manifest = json!([{
        "Config": format!("{config_digest}.json"),
        "RepoTags": [reference],
        "Layers": [format!("{layer_digest}/layer.tar")],
    }])
    .to_string();
    let archive = dir.join(format!("{name}.tar"));
    let file = File::create(&archive).map_err(Error::file(&archive))?;
    let mut tar = Builder::new(file);
    for (path, content) in [
        (format!("{layer_digest}/layer.tar"), layer),
        (format!("{config_digest}.json"), config.as_bytes()),
        ("manifest.json".to_owned(), manifest.as_bytes()),
    ] {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content).map_err(Error::file(&archive))?;
    }
    tar.finish().map_err(Error::file(&archive))?;
    Ok(ContainerImage { name: reference, archive })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_the_same_for_the_same_content_and_named_by_it() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let program = one.path().join("program");
        std::fs::write(&program, "elf").unwrap();
        let first = mainpage(&program, one.path(), 9).unwrap();
        let second = mainpage(&program, two.path(), 9).unwrap();
        assert_eq!(first.name, second.name);
        assert_eq!(std::fs::read(&first.archive).unwrap(), std::fs::read(&second.archive).unwrap());
        std::fs::write(&program, "another").unwrap();
        assert_ne!(mainpage(&program, two.path(), 9).unwrap().name, first.name);
    }

    #[test]
    fn the_manifest_names_what_is_in_the_archive() {
        let dir = tempfile::tempdir().unwrap();
        let image = edge(dir.path(), 9).unwrap();
        let mut archive = tar::Archive::new(File::open(&image.archive).unwrap());
        let mut contents = std::collections::BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            contents.insert(path, content);
        }
        let manifest: serde_json::Value = serde_json::from_slice(&contents["manifest.json"]).unwrap();
        let config: serde_json::Value =
            serde_json::from_slice(&contents[manifest[0]["Config"].as_str().unwrap()]).unwrap();
        let layer = &contents[manifest[0]["Layers"][0].as_str().unwrap()];
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(layer)));
        assert_eq!(config["rootfs"]["diff_ids"][0], digest);
        assert_eq!(manifest[0]["RepoTags"][0], image.name);
    }
}
