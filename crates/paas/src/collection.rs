//! Which images in an app's repository nothing needs any more: decided from its releases, from the ages of what is there, and from what
//! pushes count on.
//!
//! A repository serves a blob only while it has a link to it. So links go first, and a blob goes once no repository links to it: whatever
//! stops in between leaves garbage, and never a tag whose blobs are missing.

use std::collections::{BTreeMap, BTreeSet};

use futuswarm_model::{AppRecord, Outcome, Progress, Release};

#[cfg(test)]
mod tests;

/// What is younger stays, in milliseconds: a push may count on it whose lease was lost. So long, too, a blob stays that a push was told
/// of.
pub const YOUNG: u64 = 24 * 3600 * 1000;
/// An upload that nobody has gone on with for so long goes, in milliseconds: as the bucket's own rule for unfinished parts.
pub const ABANDONED: u64 = 7 * YOUNG;
/// So many releases of each app keep their images.
pub const USUAL_KEEP: u32 = 10;
/// By so much the clocks of managers and of S3 may differ, in milliseconds.
const SKEW: u64 = 10 * 60 * 1000;

/// Digests as the registry writes them, `sha256:` and 64 hexadecimal digits.
pub type Digests = BTreeSet<String>;

/// An app's repository as the bucket has it. Times are S3's, in milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repository {
    /// By their names.
    pub tags: BTreeMap<String, Tag>,
    /// Manifests, each with when it was pushed last.
    pub manifests: BTreeMap<String, u64>,
    /// Blobs that it serves, each with when it was pushed last.
    pub layers: BTreeMap<String, u64>,
    /// Uploads, each with when it was gone on with last.
    pub uploads: BTreeMap<String, u64>,
}

/// A tag of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tag {
    /// The manifest that it names, and since when; `None` for what is left of a tag that was being deleted.
    pub current: Option<(String, u64)>,
    /// Manifests that it has named, that one included, each with when it was pushed under this tag.
    pub past: BTreeMap<String, u64>,
}

/// What an app needs of its repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Manifests of its releases.
    pub manifests: Digests,
    /// Tags that a release on its way names whose manifest is not known yet.
    pub tags: BTreeSet<String>,
    /// Tags that were pushed since then stay, in milliseconds since 1970: somebody is about to deploy them. `None` for no tag.
    pub pushed_since: Option<u64>,
}

/// Releases that an app needs whatever their age: the one that runs, the ones that may be put back, and the ones these repeat.
#[must_use]
pub fn named_releases(record: &AppRecord) -> BTreeSet<u64> {
    let mut named: BTreeSet<u64> = record.release.into_iter().collect();
    if let Some(deploying) = &record.deploying {
        named.extend(deploying.release.of);
        named.extend(match &deploying.release.progress {
            Progress::Updating { previous, .. } | Progress::Announcing { previous, .. } => *previous,
            Progress::GoingBack { to, .. } => *to,
            Progress::Preparing | Progress::Ended { .. } => None,
        });
    }
    named
}

/// What an app needs: the images of the last `keep` releases that it ran with, of every later one, and of those that
/// [`named_releases`] names. `releases` has the latest ones and those, in any order; `tag_of` says which tag a release's image is.
pub fn needs(
    record: &AppRecord,
    releases: &[Release],
    keep: u32,
    tag_of: impl Fn(&Release) -> Option<String>,
) -> Needs {
    let named = named_releases(record);
    let on_its_way = record.deploying.as_ref().map(|deploying| &deploying.release);
    let mut latest: BTreeMap<u64, &Release> = releases.iter().map(|release| (release.number, release)).collect();
    latest.extend(on_its_way.map(|release| (release.number, release)));
    let (mut needs, mut ran) = (Needs::default(), 0);
    for (number, release) in latest.iter().rev() {
        if ran < keep || named.contains(number) {
            needs.manifests.extend(release.digest.clone());
        }
        ran += u32::from(matches!(&release.progress, Progress::Ended { outcome: Outcome::Deployed, .. }));
    }
    // Looked up again by whoever carries it on: the tag may be another image until the digest is noted.
    needs.tags.extend(on_its_way.filter(|release| release.digest.is_none()).and_then(tag_of));
    let last = latest.last_key_value().map(|(_, release)| release.created_at);
    needs.pushed_since = Some(last.map_or(0, |at| at.saturating_sub(SKEW)));
    needs
}

/// Links of a repository that nothing needs. What is younger than [`YOUNG`] is not among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unneeded {
    /// Tags that go as a whole.
    pub tags: BTreeSet<String>,
    /// Manifests that tags which stay have named before, as tag and digest.
    pub past: BTreeSet<(String, String)>,
    /// Those that no tag which stays and no release names.
    pub manifests: Digests,
    /// Uploads that were given up.
    pub uploads: BTreeSet<String>,
}

/// Whether something written at `modified` may still be on its way into use at `now`.
#[must_use]
pub fn is_young(modified: u64, now: u64) -> bool {
    modified.saturating_add(YOUNG) > now
}

/// What nothing needs of a repository at `now` (milliseconds since 1970, by S3's clock). `promised` are digests that pushes count on;
/// `children` says which manifests a manifest names, as an index of several platforms does.
pub fn unneeded(
    repository: &Repository,
    needs: &Needs,
    promised: &Digests,
    children: impl Fn(&str) -> Digests,
    now: u64,
) -> Unneeded {
    let stays = |name: &String, tag: &Tag| match &tag.current {
        None => tag.past.values().any(|at| is_young(*at, now)),
        Some((digest, at)) => {
            is_young(*at, now)
                || needs.tags.contains(name)
                || needs.manifests.contains(digest)
                || needs.pushed_since.is_some_and(|since| *at >= since)
        }
    };
    let (kept, gone): (Vec<_>, Vec<_>) = repository.tags.iter().partition(|(name, tag)| stays(name, tag));
    let young = repository.manifests.iter().filter(|(_, at)| is_young(**at, now)).map(|(digest, _)| digest.clone());
    let current = kept.iter().filter_map(|(_, tag)| Some(tag.current.as_ref()?.0.clone()));
    let mut open: Vec<String> = young.chain(current).chain(needs.manifests.iter().cloned()).collect();
    open.extend(promised.iter().filter(|digest| repository.manifests.contains_key(*digest)).cloned());
    let mut manifests = Digests::new();
    while let Some(digest) = open.pop() {
        if repository.manifests.contains_key(&digest) && manifests.insert(digest.clone()) {
            open.extend(children(&digest));
        }
    }
    let mut past = BTreeSet::new();
    for (name, tag) in kept {
        let old = tag.past.iter().filter(|(digest, at)| !manifests.contains(*digest) && !is_young(**at, now));
        past.extend(old.map(|(digest, _)| (name.clone(), digest.clone())));
    }
    let abandoned = repository.uploads.iter().filter(|(_, at)| at.saturating_add(ABANDONED) <= now);
    Unneeded {
        tags: gone.into_iter().map(|(name, _)| name.clone()).collect(),
        past,
        uploads: abandoned.map(|(id, _)| id.clone()).collect(),
        manifests: repository.manifests.keys().filter(|digest| !manifests.contains(*digest)).cloned().collect(),
    }
}

/// Links to blobs that no manifest which stays in the repository names.
#[must_use]
pub fn unneeded_layers(repository: &Repository, named: &Digests, promised: &Digests, now: u64) -> Digests {
    let needed = |digest: &String, at: u64| named.contains(digest) || promised.contains(digest) || is_young(at, now);
    repository.layers.iter().filter(|(digest, at)| !needed(digest, **at)).map(|(digest, _)| digest.clone()).collect()
}

/// Blobs that no repository links to and no push counts on; `blobs` has each with when it was written.
#[must_use]
pub fn garbage(blobs: &BTreeMap<String, u64>, used: &Digests, now: u64) -> Digests {
    let is_garbage = |digest: &String, at: u64| !used.contains(digest) && !is_young(at, now);
    blobs.iter().filter(|(digest, at)| is_garbage(digest, **at)).map(|(digest, _)| digest.clone()).collect()
}
