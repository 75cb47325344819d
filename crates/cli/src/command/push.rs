//! Sending an image: which of its parts are there already, the others, and then its name.
//!
//! Layers go compressed, as every other tool's: a developer's line is slow, and the nodes' disks are paid for. A layer's compressed form is
//! always the same, and its digest is remembered beside the digest of its content, so that a layer that was sent once is read and hashed
//! again, and not compressed again. (Measured with 200 MiB of /usr/lib on a busy machine, in processor time: hashing 0.2 s; hashing and
//! compressing to 34 % 10 s, which any line below 100 Mbit/s wins back.)

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, BufWriter, Seek as _};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futuswarm_rpc::message::{Answer, Event, Refusal, RefusalClass, Request};
use futuswarm_rpc::{Channel, Frame};
use serde::Serialize;

use super::{Context, show, unexpected};
use crate::archive::{self, Archive, ArchiveError, Compression, Descriptor, GZIP_LAYER, Image, Layer, MANIFEST, Place};
use crate::connection::{Incoming, PATIENCE, Sender};
use crate::failure::{Code, Failure, Result};
use crate::output::{Progress, size};
use cache::Cache;
use quiet::Quiet;

mod cache;
mod quiet;

/// The most bytes that come out of a compressed layer or archive.
pub const LARGEST: u64 = 256 << 30;
/// How often a part is tried while no more of it arrives than before.
const ATTEMPTS: u32 = 5;
/// So many bytes are sent at once: the cluster sees them when all have come, and wants 16 KiB of a layer in each minute.
const CHUNK: usize = 8 << 10;

/// What `image:push --json` prints, which other tools rely on.
#[derive(Debug, Serialize)]
pub struct Pushed {
    app: String,
    /// Of the manifest.
    pub digest: String,
    /// How many it has.
    pub layers: usize,
    /// Over the line, without the protocol's own bytes.
    pub sent_bytes: u64,
    /// Of parts that were there before anything was sent.
    pub skipped_bytes: u64,
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Io(error) => Self::failed(format!("the archive cannot be read: {error}")),
            other => Self::usage(format!("{}; nothing was sent", crate::output::plain(&other.to_string()))),
        }
    }
}

/// A part of an image, ready to be sent.
struct Part {
    descriptor: Descriptor,
    source: Source,
}

enum Source {
    /// So many bytes of the archive.
    Archive(Place),
    /// A file of its own.
    File(File),
    /// What is not in a file, since it is short.
    Bytes(Vec<u8>),
    /// Compressed before, and so probably there already: a layer of the archive.
    Known(Layer),
}

/// Sends an image out of an archive.
pub struct Push<'a> {
    context: &'a Context,
    app: &'a str,
    archive: Archive<BufReader<File>>,
    /// The same file, read at any place.
    file: File,
    cache: Cache,
    progress: Progress,
    begin: Instant,
    sent: u64,
    skipped: u64,
    /// From which bytes on the cluster has wanted the part that is being sent. A new one says that more has arrived; an upload that
    /// cannot go on begins again.
    offsets: BTreeSet<u64>,
    /// Whether the last attempt has found more there than all before it.
    advanced: bool,
}

impl<'a> Push<'a> {
    /// Reads the table of contents of an archive.
    pub fn open(context: &'a Context, app: &'a str, file: File, cache: Cache) -> Result<Self> {
        let failure = |error: std::io::Error| Failure::failed(format!("the archive cannot be read: {error}"));
        let second = file.try_clone().map_err(failure)?;
        let archive = Archive::open(BufReader::new(file))?;
        let progress = Progress::new(context.quiet);
        Ok(Self {
            context,
            app,
            archive,
            file: second,
            cache,
            progress,
            begin: Instant::now(),
            sent: 0,
            skipped: 0,
            offsets: BTreeSet::new(),
            advanced: false,
        })
    }

    fn step(&mut self, text: &str) {
        let elapsed = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.progress.step(text, elapsed, None);
    }

    /// Sends it, and names it.
    pub fn run(mut self, wanted: Option<&str>, platform: &str, tag: &str) -> Result<Pushed> {
        let image = self.archive.image(wanted, platform)?;
        let count = image.layers.len();
        let mut parts = Vec::new();
        for (number, layer) in image.layers.iter().enumerate() {
            self.step(&format!("reading layer {} of {count} ({})", number + 1, size(layer.place.length)));
            parts.push(self.prepare(layer, number + 1)?);
        }
        let config = Part { descriptor: image.config_descriptor.clone(), source: Source::Bytes(image.config.clone()) };
        parts.push(config);
        // Before anything is sent: a push that is given up has compressed for the next one.
        self.cache.save();
        let digests: BTreeSet<String> = parts.iter().map(|part| part.descriptor.digest.clone()).collect();
        let there = self.find(digests.into_iter().collect())?;
        let mut done = BTreeSet::new();
        for (number, part) in parts.iter_mut().enumerate() {
            if !done.insert(part.descriptor.digest.clone()) {
                continue;
            }
            if there.contains(&part.descriptor.digest) {
                self.skipped += part.descriptor.size;
                continue;
            }
            self.materialise(part)?;
            let what =
                if number < count { format!("layer {} of {count}", number + 1) } else { "the config".to_owned() };
            self.send(part, &what)?;
        }
        let (media_type, manifest) = manifest(&image, &parts)?;
        let digest = self.name(tag, media_type, manifest)?;
        self.cache.save();
        self.progress.clear();
        Ok(Pushed {
            app: self.app.to_owned(),
            digest,
            layers: count,
            sent_bytes: self.sent,
            skipped_bytes: self.skipped,
        })
    }

    /// Checks a layer against what the archive says of it, and finds out what it is called in the registry.
    fn prepare(&mut self, layer: &Layer, number: usize) -> Result<Part> {
        let what = format!("layer {number}");
        if layer.compression == Compression::Done {
            let hashed = archive::hash(self.archive.read(layer.place)?).map_err(ArchiveError::from)?;
            complete(&what, hashed.length, layer.place.length)?;
            match (&layer.digest, &layer.diff_id) {
                (Some(wanted), _) => same(&what, &hashed.digest, wanted)?,
                (None, Some(wanted)) => {
                    let inside = archive::gunzip_to(self.archive.read(layer.place)?, std::io::sink(), LARGEST);
                    let inside = inside.map_err(|error| damaged(&what, &error))?;
                    same(&what, &inside.digest, wanted)?;
                }
                (None, None) => {}
            }
            let descriptor = Descriptor::new(&layer.media_type, &hashed.digest, hashed.length);
            return Ok(Part { descriptor, source: Source::Archive(layer.place) });
        }
        let wanted = layer.digest.as_ref().or(layer.diff_id.as_ref()).cloned().unwrap_or_default();
        if let Some((digest, length)) = self.cache.get(&wanted) {
            let hashed = archive::hash(self.archive.read(layer.place)?).map_err(ArchiveError::from)?;
            complete(&what, hashed.length, layer.place.length)?;
            same(&what, &hashed.digest, &wanted)?;
            let descriptor = Descriptor::new(GZIP_LAYER, &digest, length);
            return Ok(Part { descriptor, source: Source::Known(layer.clone()) });
        }
        let (descriptor, file) = self.compress(layer, &what, &wanted)?;
        Ok(Part { descriptor, source: Source::File(file) })
    }

    fn compress(&mut self, layer: &Layer, what: &str, wanted: &str) -> Result<(Descriptor, File)> {
        let failure = |error: std::io::Error| Failure::failed(format!("{what} cannot be compressed: {error}"));
        let mut file = temporary()?;
        let read = self.archive.read(layer.place)?;
        let (plain, packed) = archive::gzip_to(read, BufWriter::new(&mut file)).map_err(failure)?;
        complete(what, plain.length, layer.place.length)?;
        same(what, &plain.digest, wanted)?;
        self.cache.put(wanted, &packed.digest, packed.length);
        Ok((Descriptor::new(GZIP_LAYER, &packed.digest, packed.length), file))
    }

    /// Compresses a layer that was expected to be there and is not.
    fn materialise(&mut self, part: &mut Part) -> Result<()> {
        if let Source::Known(layer) = &part.source {
            let layer = layer.clone();
            let wanted = layer.digest.as_ref().or(layer.diff_id.as_ref()).cloned().unwrap_or_default();
            let (descriptor, file) = self.compress(&layer, "a layer", &wanted)?;
            // Another version of the compressor may have made what was remembered.
            *part = Part { descriptor, source: Source::File(file) };
        }
        Ok(())
    }

    fn find(&mut self, digests: Vec<String>) -> Result<BTreeSet<String>> {
        self.step("asking which parts are there already");
        let request = Request::FindBlobs { app: self.app.to_owned(), digests };
        match self.again(|push| push.context.ask(&request))? {
            Answer::Blobs(there) => Ok(there),
            other => Err(unexpected(&other)),
        }
    }

    fn name(&mut self, tag: &str, media_type: String, manifest: String) -> Result<String> {
        self.step("naming the image");
        let request = Request::PutManifest {
            app: self.app.to_owned(),
            tag: tag.to_owned(),
            media_type,
            manifest: manifest.clone(),
        };
        let digest = match self.again(|push| push.context.ask(&request))? {
            Answer::Pushed(digest) => digest,
            other => return Err(unexpected(&other)),
        };
        let ours = archive::digest(manifest.as_bytes());
        match digest == ours {
            true => Ok(digest),
            false => Err(Failure::failed(format!(
                "the cluster has named the image {}, and it is {ours}: do not deploy it, and push it again",
                crate::output::plain(&digest)
            ))),
        }
    }

    /// Does something again after a cut, a few times, and as often as more has arrived; all that is sent here can be sent twice.
    fn again<T>(&mut self, mut what: impl FnMut(&mut Self) -> Result<T>) -> Result<T> {
        let mut attempt = 0;
        loop {
            self.advanced = false;
            let failure = match what(self) {
                Err(failure) if failure.cut => failure,
                other => return other,
            };
            attempt = if self.advanced { 1 } else { attempt + 1 };
            if attempt >= ATTEMPTS {
                return Err(failure);
            }
            let ceiling = Duration::from_millis(250).saturating_mul(2_u32.pow(attempt)).min(Duration::from_secs(8));
            self.progress.note(&format!("{failure}; trying again ({attempt} of {})", ATTEMPTS - 1));
            std::thread::sleep(ceiling.mul_f64(0.1 + 0.9 * fastrand::f64()));
        }
    }

    fn send(&mut self, part: &Part, what: &str) -> Result<()> {
        self.offsets.clear();
        self.again(|push| push.send_once(part, what))
    }

    /// Sends what the cluster does not have of a part: it says from which byte on.
    fn send_once(&mut self, part: &Part, what: &str) -> Result<()> {
        let (digest, length) = (part.descriptor.digest.clone(), part.descriptor.size);
        let mut connection = self.context.connect()?;
        let sender = connection.sender();
        sender.message(&Request::PutBlob { app: self.app.to_owned(), digest, length })?;
        let file = match &part.source {
            Source::Archive(place) => Some((&self.file, place.offset)),
            Source::File(file) => Some((file, 0)),
            Source::Bytes(_) | Source::Known(_) => None,
        };
        let file = file.map(|(file, base)| file.try_clone().map(|file| (file, base)));
        let file = file.transpose().map_err(|error| Failure::failed(format!("{what} cannot be read: {error}")))?;
        let bytes = if let Source::Bytes(bytes) = &part.source { bytes.as_slice() } else { &[] };
        let (sent, broken) = (AtomicU64::new(0), AtomicBool::new(false));
        let outcome = std::thread::scope(|scope| -> Result<()> {
            let mut quiet = Quiet::since(Instant::now());
            // Before it is known from where on, nothing is on its way.
            let mut offset = length;
            loop {
                let incoming = connection.within(Duration::from_millis(200))?;
                let heard = incoming.is_some();
                let event = match incoming {
                    Some(Incoming::Event(event)) => Some(*event),
                    _ => None,
                };
                match event {
                    Some(Event::Ready { offset: from }) if from <= length => {
                        offset = from;
                        self.advanced = self.offsets.insert(from);
                        let (sender, file) = (sender.clone(), &file);
                        let (sent, broken) = (&sent, &broken);
                        scope.spawn(move || {
                            let read = |at: u64, buffer: &mut [u8]| match file {
                                Some((file, base)) => file.read_exact_at(buffer, base + at),
                                None => {
                                    let at = usize::try_from(at).unwrap_or(usize::MAX);
                                    let piece = bytes.get(at..at + buffer.len());
                                    piece
                                        .map(|piece| buffer.copy_from_slice(piece))
                                        .ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
                                }
                            };
                            if stream(&sender, from..length, read, sent).is_err() {
                                broken.store(true, Ordering::Relaxed);
                            }
                        });
                    }
                    Some(Event::Ready { offset }) => {
                        return Err(Failure::failed(format!(
                            "the cluster has {offset} bytes of {what}, which has {length}"
                        )));
                    }
                    Some(Event::Done { .. }) => return Ok(()),
                    Some(Event::Failed(refusal)) => {
                        // Ends the thread that may still write.
                        drop(connection);
                        return Err(refused(refusal));
                    }
                    // While bytes are handed over, that is what is shown.
                    Some(event) if offset + sent.load(Ordering::Relaxed) >= length => {
                        show(&event, &mut self.progress);
                    }
                    Some(_) | None => {}
                }
                if broken.load(Ordering::Relaxed) {
                    return Err(Failure::failed(format!("{what} cannot be read any more: has the archive changed?")));
                }
                let so_far = sent.load(Ordering::Relaxed);
                if quiet.has_moved(Instant::now(), so_far, heard) {
                    self.step(&format!("sending {what}: {} of {}", size(offset + so_far), size(length)));
                } else if quiet.lasts(Instant::now()) > PATIENCE {
                    let failure = connection.too_late(PATIENCE);
                    // Ends the thread that cannot write.
                    drop(connection);
                    return Err(failure);
                }
            }
        });
        self.sent += sent.load(Ordering::Relaxed);
        outcome
    }
}

/// A refusal of an upload. A line that stalled and a registry that did not answer may do better next time, as after a cut.
fn refused(refusal: Refusal) -> Failure {
    let cut = matches!(refusal.class, RefusalClass::TimedOut | RefusalClass::Unavailable);
    Failure { cut, ..refusal.into() }
}

/// Sends a range as chunks. An error is one of reading; a line that is cut is seen by whoever reads from it.
fn stream(
    sender: &Sender,
    range: std::ops::Range<u64>,
    read: impl Fn(u64, &mut [u8]) -> std::io::Result<()>,
    sent: &AtomicU64,
) -> std::io::Result<()> {
    let mut at = range.start;
    while at < range.end {
        let length = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(CHUNK);
        let mut piece = vec![0; length];
        read(at, &mut piece)?;
        if sender.frame(&Frame::Chunk(Channel::Input, piece)).is_err() {
            return Ok(());
        }
        at += length as u64;
        sent.fetch_add(length as u64, Ordering::Relaxed);
    }
    // Whoever counts bytes needs no end, and whoever does not needs one.
    let _nobody = sender.frame(&Frame::End(Channel::Input));
    Ok(())
}

/// The archive's own manifest, or one that names the parts as they were sent.
fn manifest(image: &Image, parts: &[Part]) -> Result<(String, String)> {
    if let Some((media_type, bytes)) = &image.manifest {
        let text = String::from_utf8(bytes.clone());
        let text = text.map_err(|_| Failure::usage("the manifest in the archive is no text; nothing was named"))?;
        return Ok((media_type.clone(), text));
    }
    let layers: Vec<&Descriptor> = parts[..image.layers.len()].iter().map(|part| &part.descriptor).collect();
    let document = serde_json::json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": image.config_descriptor, "layers": layers,
    });
    Ok((MANIFEST.to_owned(), document.to_string()))
}

fn complete(what: &str, length: u64, wanted: u64) -> Result<()> {
    match length == wanted {
        true => Ok(()),
        false => {
            Err(Failure::usage(format!("{what} is cut: {length} of its {wanted} bytes are there; nothing was sent")))
        }
    }
}

fn same(what: &str, found: &str, wanted: &str) -> Result<()> {
    match found == wanted {
        true => Ok(()),
        false => {
            let (what, found, wanted) = (what.to_owned(), found.to_owned(), wanted.to_owned());
            Err(ArchiveError::Digest { what, found, wanted }.into())
        }
    }
}

fn damaged(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(Code::Usage, format!("{what} cannot be decompressed: {error}; nothing was sent"))
}

/// A file without a name, that is gone when it is closed.
pub fn temporary() -> Result<File> {
    tempfile::tempfile().map_err(|error| {
        Failure::failed(format!(
            "cannot write in {}: {error}; TMPDIR names another folder",
            std::env::temp_dir().display()
        ))
    })
}

/// An archive that may be compressed as a whole, as one that is not.
pub fn unpacked(mut file: File) -> Result<File> {
    let mut magic = [0; 2];
    let failure = |error: std::io::Error| Failure::failed(format!("the archive cannot be read: {error}"));
    let is_gzip = file.read_at(&mut magic, 0).map_err(failure)? == 2 && magic == [0x1f, 0x8b];
    if !is_gzip {
        return Ok(file);
    }
    file.rewind().map_err(failure)?;
    let mut plain = temporary()?;
    let unpacked = archive::gunzip_to(BufReader::new(file), BufWriter::new(&mut plain), LARGEST);
    unpacked.map_err(|error| damaged("the archive", &error))?;
    Ok(plain)
}

/// Where digests of compressed layers are remembered.
pub fn remembered(home: &crate::home::Home) -> Cache {
    Cache::load(home)
}
