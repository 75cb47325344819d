//! What there is of images, what is needed of it, and which objects may be deleted in which order.

use std::collections::BTreeMap;

use futuswarm_model::{PushShare, Release, app_name};
use futuswarm_paas::collection::{self, Digests, Needs, Repository, Unneeded};
use futuswarm_rpc::message::{Collected, CollectedRepository};
use futuswarm_store::Entry;

use crate::clock::Clock as _;
use crate::registry::Digest;
use crate::registry::layout::{self, Listed};
use crate::registry::manifests::Manifests;
use crate::{Control, Error, Platform, images, records};

/// So many releases are looked back to for those that an app ran with: others in between have failed.
const LOOKED_BACK: usize = 200;

/// Which images are meant.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    /// Those of one app; `None` for all.
    pub(super) app: Option<String>,
    /// So many releases keep theirs.
    pub(super) keep: u32,
}

/// What may go.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) collected: Collected,
    /// Keys of objects. Each of these goes before any of the next: tags, manifests and uploads, layers, blobs.
    pub(super) phases: [Vec<String>; 4],
    /// Apps whose pushes are so long over that nothing has to be known of them.
    pub(super) forgotten: Vec<String>,
}

impl Survey {
    pub(super) fn is_empty(&self) -> bool {
        self.phases.iter().all(Vec::is_empty) && self.forgotten.is_empty()
    }
}

/// A blob in the bucket.
struct Blob {
    modified: u64,
    bytes: u64,
}

/// A look at everything that goes on.
struct Surveyor<'a, P: Platform> {
    control: &'a Control<P>,
    scope: &'a Scope,
    /// S3's time, in milliseconds since 1970.
    now: u64,
    manifests: &'a mut Manifests,
    blobs: BTreeMap<String, Blob>,
    /// Digests that pushes count on.
    promised: Digests,
    /// Digests that a repository has after this, or a manifest in one names.
    used: Digests,
    /// Digests that the app's own repository has no more after this.
    dropped: Digests,
    survey: Survey,
}

/// Looks at everything. `now` is S3's time (milliseconds since 1970); `manifests` remembers what was read.
///
/// # Errors
/// When the bucket does not answer, or something in it cannot be read: then nothing can be said of any blob.
pub(super) async fn survey<P: Platform>(
    control: &Control<P>,
    scope: &Scope,
    now: u64,
    manifests: &mut Manifests,
) -> Result<Survey, Error> {
    let (promised, forgotten) = pushes(control.records.push_shares().await?, control.clock.unix_millis());
    // Before the links: what is pushed after this listing is in none of what follows.
    let blobs = control.records.list_registry(&layout::blobs()).await?;
    let blob = |entry: Entry| {
        Some((layout::digest_of_blob(&entry.key)?, Blob { modified: entry.modified, bytes: entry.bytes }))
    };
    let mut surveyor = Surveyor {
        control,
        scope,
        now,
        manifests,
        blobs: blobs.into_iter().filter_map(blob).collect(),
        used: promised.clone(),
        promised,
        dropped: Digests::new(),
        survey: Survey { forgotten, ..Survey::default() },
    };
    for name in control.records.list_registry_folders(&layout::repositories()).await? {
        let entries = control.records.list_registry(&layout::repository(&name)).await?;
        surveyor.repository(&name, layout::read(&name, &entries)).await?;
    }
    Ok(surveyor.end())
}

/// Digests that pushes count on at `now`, by this node's clock, and apps of which nothing is pushed any more.
fn pushes(shares: Vec<PushShare>, now: u64) -> (Digests, Vec<String>) {
    let (mut promised, mut forgotten) = (Digests::new(), Vec::new());
    for share in shares {
        let young = share.blobs.into_iter().filter(|(_, at)| collection::is_young(*at, now));
        let before = promised.len();
        promised.extend(young.map(|(digest, _)| digest));
        if promised.len() == before && !collection::is_young(share.until, now) {
            forgotten.push(share.app);
        }
    }
    (promised, forgotten)
}

impl<P: Platform> Surveyor<'_, P> {
    async fn repository(&mut self, name: &str, mut listed: Listed) -> Result<(), Error> {
        if self.scope.app.as_deref().is_some_and(|app| app != name) {
            let Repository { layers, manifests, .. } = listed.repository;
            self.used.extend(layers.into_keys().chain(manifests.into_keys()));
            return Ok(());
        }
        self.read_tags(name, &mut listed).await?;
        let repository = &listed.repository;
        let there: Vec<&String> =
            repository.manifests.keys().filter(|digest| self.blobs.contains_key(*digest)).collect();
        self.manifests
            .read(&self.control.records, there, |digest| self.blobs.get(digest).map(|blob| blob.bytes))
            .await?;
        let needs = self.needs(name).await?;
        let children = |digest: &str| self.manifests.manifests(digest);
        let unneeded = collection::unneeded(repository, &needs, &self.promised, children, self.now);
        let (mut named, mut broken) = (Digests::new(), Vec::new());
        for digest in repository.manifests.keys().filter(|digest| !unneeded.manifests.contains(*digest)) {
            named.insert(digest.clone());
            named.extend(self.manifests.blobs(digest));
            broken.extend((!self.blobs.contains_key(digest)).then(|| format!("{name}@{digest}")));
        }
        // Nobody knows what a manifest names that is not there. It may be brought back, and then it should find its layers.
        let layers = match broken.is_empty() {
            true => collection::unneeded_layers(repository, &named, &self.promised, self.now),
            false => Digests::new(),
        };
        self.survey.collected.broken.append(&mut broken);
        self.used.extend(repository.layers.keys().filter(|digest| !layers.contains(*digest)).cloned());
        self.used.extend(named);
        self.note(name, &listed, &unneeded, &layers);
        self.dropped.extend(unneeded.manifests);
        self.dropped.extend(layers);
        Ok(())
    }

    /// What each tag names is in its object.
    async fn read_tags(&self, name: &str, listed: &mut Listed) -> Result<(), Error> {
        let keys: Vec<String> = listed.current.keys().map(|tag| layout::current(name, tag)).collect();
        let contents = self.control.records.read_registry(&keys).await?;
        for (tag, modified) in &listed.current {
            let key = layout::current(name, tag);
            let text = contents.get(&key).map(|content| String::from_utf8_lossy(content).trim().to_owned());
            let digest = text.as_deref().and_then(Digest::parse);
            let reason = "it names no manifest".to_owned();
            let digest = digest.ok_or(records::Error::Unreadable { key, reason })?;
            if let Some(tag) = listed.repository.tags.get_mut(tag) {
                tag.current = Some((digest.as_str().to_owned(), *modified));
            }
        }
        Ok(())
    }

    /// What the app needs that the repository is of; nothing where there is none.
    async fn needs(&self, name: &str) -> Result<Needs, Error> {
        let records = &self.control.records;
        if app_name(name).is_err() {
            return Ok(Needs::default());
        }
        let Some(record) = records.app(name).await? else { return Ok(Needs::default()) };
        let mut releases = match records.releases(name, LOOKED_BACK.max(self.scope.keep as usize)).await {
            // Removed since its record was read.
            Err(records::Error::NoApp(_)) => return Ok(Needs::default()),
            releases => releases?,
        };
        for number in collection::named_releases(&record) {
            if !releases.iter().any(|release| release.number == number) {
                releases.extend(records.release(name, number).await?);
            }
        }
        let tag = |release: &Release| images::reference(name, &release.image).ok().map(str::to_owned);
        let mut needs = collection::needs(&record, &releases, self.scope.keep, tag);
        // An image may be asked for by its digest, too.
        needs.manifests.extend(needs.tags.iter().filter(|tag| Digest::parse(tag).is_some()).cloned());
        Ok(needs)
    }

    /// Notes which objects of a repository may go.
    fn note(&mut self, name: &str, listed: &Listed, unneeded: &Unneeded, layers: &Digests) {
        let Survey { collected, phases: [tags, manifests, links, _], .. } = &mut self.survey;
        for tag in &unneeded.tags {
            tags.extend(listed.current.contains_key(tag).then(|| layout::current(name, tag)));
            let past = listed.repository.tags.get(tag).into_iter().flat_map(|tag| tag.past.keys());
            manifests.extend(past.map(|digest| layout::past(name, tag, digest)));
        }
        manifests.extend(unneeded.past.iter().map(|(tag, digest)| layout::past(name, tag, digest)));
        manifests.extend(unneeded.manifests.iter().map(|digest| layout::manifest(name, digest)));
        manifests.extend(unneeded.uploads.iter().filter_map(|id| listed.uploads.get(id)).flatten().cloned());
        links.extend(layers.iter().map(|digest| layout::layer(name, digest)));
        if *unneeded != Unneeded::default() || !layers.is_empty() {
            collected.repositories.push(CollectedRepository {
                repository: name.to_owned(),
                tags: unneeded.tags.clone(),
                images: unneeded.manifests.clone(),
                layers: layers.len() as u64,
                uploads: unneeded.uploads.len() as u64,
            });
        }
    }

    fn end(self) -> Survey {
        let Self { scope, now, blobs, used, dropped, mut survey, .. } = self;
        let times: BTreeMap<String, u64> = blobs.iter().map(|(digest, blob)| (digest.clone(), blob.modified)).collect();
        let mut garbage = collection::garbage(&times, &used, now);
        if scope.app.is_some() {
            // What is nobody's, and was not this app's just now, is the admins' to clear away.
            garbage.retain(|digest| dropped.contains(digest));
            survey.forgotten.clear();
        }
        let collected = &mut survey.collected;
        collected.keep = scope.keep;
        for (digest, blob) in &blobs {
            let (count, bytes) = match garbage.contains(digest) {
                true => (&mut collected.blobs, &mut collected.bytes),
                false => (&mut collected.kept_blobs, &mut collected.kept_bytes),
            };
            *count += 1;
            *bytes += blob.bytes;
        }
        survey.phases[3] = garbage.iter().map(|digest| layout::blob(digest)).collect();
        survey
    }
}
