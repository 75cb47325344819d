//! The bake from end to end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use futuswarm_image_format::{FAMILY, ImageFolder, Manifest, file_sha256};
use futuswarm_tools::ToolsTree;
use sha2::{Digest as _, Sha256};

use crate::archive::Archives;
use crate::base::LockPolicy;
use crate::containers::ContainerImage;
use crate::disk::Workshop;
use crate::inputs::Inputs;
use crate::stages::{Event, Stages};
use crate::tree::{Extra, Plan, merge, read_list};
use crate::{Error, assertions, base, containers, disk, glibc, initramfs};

/// The largest payload that an image may have, in bytes.
const PAYLOAD_BUDGET: u64 = 350 << 20;
/// Where the archives of the core containers are in the image.
const CONTAINERS: &str = "usr/share/futuswarm/containers";

/// Where tools and packages come from: what a bake needs a network for when it is not in the cache.
#[derive(Debug)]
pub struct Supplies {
    /// Futuswarm's cache: `$FUTUSWARM_CACHE`.
    pub cache: PathBuf,
    /// Whether `packages.lock` is met, left or rewritten.
    pub lock: LockPolicy,
    /// Mirrors, snapshot archive and the keys they are signed with.
    pub archives: Archives,
    /// The mirror that the tools tree is made from; `None` for mmdebstrap's own choice.
    pub tools_mirror: Option<String>,
}

/// What to bake and where to.
#[derive(Debug)]
pub struct Request {
    /// What the image is a function of.
    pub inputs: Inputs,
    /// What is fetched, not made.
    pub supplies: Supplies,
    /// Folder that gets one folder per image; used when `output` is not given.
    pub images: PathBuf,
    /// The folder of the image itself; nothing is linked as the latest then.
    pub output: Option<PathBuf>,
    /// Revision of the clone, for the manifest.
    pub git_revision: Option<String>,
}

/// The outcome of a bake.
#[derive(Debug)]
pub struct Baked {
    /// An [`ImageFolder`].
    pub dir: PathBuf,
    /// As it stands in that folder.
    pub manifest: Manifest,
    /// Whether it was there already.
    pub cached: bool,
}

/// Bakes, or finds that the image of these inputs is there already.
///
/// The folder appears whole or not at all; what a killed bake left is swept by the next one.
///
/// # Errors
/// See [`Error`].
pub fn bake(request: &Request, report: &mut dyn FnMut(Event<'_>)) -> Result<Baked, Error> {
    let mut stages = Stages::new(report);
    let inputs = &request.inputs;
    let (tools, base) = fetch(&inputs.images, &request.supplies, &mut stages)?;
    let digest = match base.drift.is_empty() {
        true => inputs.digest()?,
        // Other packages are another image.
        false => hex::encode(Sha256::digest(format!("{}\n{}", inputs.digest()?, base.lock.content()))),
    };
    let name = format!("{FAMILY}-{}", &digest[..12]);
    let dir = request.output.clone().unwrap_or_else(|| request.images.join(&name));
    if let Some(manifest) = finished(&dir, &digest) {
        link_latest(request, &dir)?;
        return Ok(Baked { dir, manifest, cached: true });
    }
    let parent = dir.parent().unwrap_or(Path::new(".")).to_owned();
    std::fs::create_dir_all(&parent).map_err(Error::file(&parent))?;
    sweep(&parent);
    let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&parent).map_err(Error::file(&parent))?;
    let manifest = make(request, &tools, &base, unfinished.path(), stages, name, digest)?;
    let work = unfinished.path().join("work");
    std::fs::remove_dir_all(&work).map_err(Error::file(&work))?;
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(Error::file(&dir))?;
    }
    std::fs::rename(unfinished.keep(), &dir).map_err(Error::file(&dir))?;
    link_latest(request, &dir)?;
    Ok(Baked { dir, manifest, cached: false })
}

/// Brings what a bake of the image in `images` needs from elsewhere into the cache: its programs need not be compiled for that.
///
/// # Errors
/// See [`Error`].
pub fn prepare(images: &Path, supplies: &Supplies, report: &mut dyn FnMut(Event<'_>)) -> Result<(), Error> {
    fetch(images, supplies, &mut Stages::new(report)).map(|_| ())
}

fn fetch(images: &Path, supplies: &Supplies, stages: &mut Stages<'_>) -> Result<(ToolsTree, base::Base), Error> {
    let tools = stages.run_long("tools", |tell| {
        let cached = ToolsTree::locate().is_ok();
        let tools =
            ToolsTree::ensure(supplies.tools_mirror.as_deref(), &mut || tell("mmdebstrap makes the tools tree, once"));
        tools.map(|tools| (tools, cached)).map_err(Error::from)
    })?;
    let Supplies { cache, lock, archives, .. } = supplies;
    let base = stages.run_long("packages", |tell| base::base(images, *lock, archives, cache, tell))?;
    Ok((tools, base))
}

fn make(
    request: &Request,
    tools: &ToolsTree,
    base: &base::Base,
    out: &Path,
    mut stages: Stages<'_>,
    name: String,
    digest: String,
) -> Result<Manifest, Error> {
    let inputs = &request.inputs;
    let epoch = inputs.package_list()?.source_date_epoch;
    let work = out.join("work");
    std::fs::create_dir(&work).map_err(Error::file(&work))?;
    let workshop = Workshop { tools, dir: &work, epoch };

    let images = stages.run("containers", || {
        let mainpage = containers::mainpage(&inputs.mainpage_binary, &work, epoch)?;
        let edge = containers::edge(&work, epoch)?;
        Ok::<_, Error>((BTreeMap::from([("mainpage".to_owned(), mainpage), ("edge".to_owned(), edge)]), false))
    })?;
    let tar = work.join("root.tar");
    let (index, kernel) = stages.run("tree", || {
        let extras = extras(inputs, &images, &work)?;
        let remove = read_list(&inputs.images.join("remove.txt"))?;
        let overlay = inputs.overlay();
        let plan = Plan { base: &base.tar, overlay: &overlay, extras: &extras, remove: &remove, mtime: epoch };
        let index = merge(&plan, &tar)?;
        let kernel = initramfs::kernel(&base.tar)?;
        glibc::check(&inputs.node_binary, &base.lock)?;
        assertions::check(&index, &kernel.version, &inputs.images.join("setuid.txt"))?;
        Ok::<_, Error>(((index, kernel), false))
    })?;
    let image = stages.run("erofs", || workshop.erofs(&tar).map(|image| (image, false)))?;
    let root = stages.run("verity", || workshop.verity(image).map(|root| (root, false)))?;
    let esp = stages.run("boot", || {
        let initrd = initramfs::build(&kernel, &inputs.init_binary, tools)?;
        let os_release = index.texts.get("usr/lib/os-release").map_or("", String::as_str);
        let uki = workshop.uki(&kernel.image, &kernel.version, &initrd, os_release, &root.root_hash)?;
        workshop.esp(&uki).map(|esp| (esp, false))
    })?;
    let folder = ImageFolder::new(out);
    let disk = folder.disk();
    let disk_bytes = stages.run("disk", || workshop.disk(&esp, &root, &disk).map(|bytes| (bytes, false)))?;
    let measure = stages.run("measure", || disk::measure(&disk).map(|measure| (measure, false)))?;
    let payload_bytes = measure.payload_bytes;
    if payload_bytes > PAYLOAD_BUDGET {
        let (has, may) = (payload_bytes >> 20, PAYLOAD_BUDGET >> 20);
        return Err(Error::Assertions(vec![format!("the payload is {has} MiB, its budget is {may} MiB")]));
    }
    let manifest = Manifest {
        name,
        inputs_sha256: digest,
        git_revision: request.git_revision.clone(),
        kernel: kernel.version,
        root_sha256: file_sha256(&root.image)?,
        root_hash: root.root_hash,
        disk_sha256: measure.sha256,
        disk_bytes,
        payload_bytes,
        containers: images.into_iter().map(|(part, image)| (part, image.name)).collect(),
        packages: base.lock.package.clone(),
        newer_than_lock: base.drift.clone(),
        stages: stages.into_done(),
    };
    folder.write(&manifest, Some(&measure.blocks))?;
    Ok(manifest)
}

/// Mounted into tasks whose app is asked over HTTP how it is (`futuswarm_swarm::PlatformMount`).
const PROBE: &str = "usr/lib/futuswarm/probe";

/// Our own files that are not in the overlay: the node binary, the probe, the containers and the list of them.
fn extras(inputs: &Inputs, images: &BTreeMap<String, ContainerImage>, work: &Path) -> Result<Vec<Extra>, Error> {
    let names: BTreeMap<&String, &String> = images.iter().map(|(part, image)| (part, &image.name)).collect();
    let index = work.join("index.json");
    let text = serde_json::to_string_pretty(&names)
        .map_err(|error| Error::Malformed { path: index.clone(), reason: error.to_string() })?;
    std::fs::write(&index, text + "\n").map_err(Error::file(&index))?;
    let mut extras = vec![
        Extra { path: assertions::NODE_BINARY.to_owned(), mode: 0o755, source: inputs.node_binary.clone() },
        Extra { path: PROBE.to_owned(), mode: 0o755, source: inputs.probe_binary.clone() },
        Extra { path: format!("{CONTAINERS}/index.json"), mode: 0o644, source: index },
    ];
    extras.extend(images.iter().map(|(part, image)| Extra {
        path: format!("{CONTAINERS}/{part}.tar"),
        mode: 0o644,
        source: image.archive.clone(),
    }));
    Ok(extras)
}

fn finished(dir: &Path, digest: &str) -> Option<Manifest> {
    let folder = ImageFolder::new(dir);
    let manifest = folder.manifest().ok()?;
    let disk = std::fs::metadata(folder.disk()).ok()?;
    (manifest.inputs_sha256 == digest && disk.len() == manifest.disk_bytes).then_some(manifest)
}

/// Prefix of folders that are being made.
const UNFINISHED: &str = ".unfinished-";

fn sweep(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let abandoned = entry.file_name().to_string_lossy().starts_with(UNFINISHED)
            // Another bake may be at work; a finished or killed one has not touched its folder for long.
            && entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok())
                .is_some_and(|age| age.as_secs() > 3600);
        if abandoned {
            // Only disk space is at stake.
            let _left = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn link_latest(request: &Request, dir: &Path) -> Result<(), Error> {
    if request.output.is_some() {
        return Ok(());
    }
    let Some(name) = dir.file_name() else { return Ok(()) };
    let latest = request.images.join("latest");
    let temporary = request.images.join(format!(".latest.{}", std::process::id()));
    let _stale = std::fs::remove_file(&temporary);
    std::os::unix::fs::symlink(name, &temporary).map_err(Error::file(&temporary))?;
    std::fs::rename(&temporary, &latest).map_err(Error::file(&latest))
}
