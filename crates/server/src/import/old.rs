//! The old tool's bucket and key, as they are read: page by page, sixteen objects at once, each with its own retries, and no longer than
//! a deadline for all of them.

use std::fmt::Display;
use std::time::Duration;

use futures_util::future::join_all;
use futuswarm_aws::SdkConfig;
use futuswarm_model::ImportSource;
use futuswarm_retry::{Failure, Policy, retry};
use futuswarm_store::{ForeignBucket as _, Listed, Reading, S3Bucket};
use futuswarm_vault::{KmsVault, LegacyKeys as _, LegacyObject};
use tokio::time::Instant;

use super::DOCKER_SECRETS;
use super::decide::{Found, Opened, Place};
use crate::client::Client;
use crate::old_tool::OldTool;
use crate::refusal::Refused;

/// One call, with what is tried again of it.
const CALLS: Policy = Policy {
    first: Duration::from_millis(100),
    cap: Duration::from_secs(2),
    total: Duration::from_secs(30),
    attempt: Duration::from_secs(20),
};
/// Reading all objects; what is not read by then is not taken.
const DEADLINE: Duration = Duration::from_secs(300);
/// So many objects are read at once: S3 and KMS take far more.
const AT_ONCE: usize = 16;
/// The most objects of one service: a config of that many keys would be too large for any task.
const MOST_OBJECTS: usize = 5000;
/// The longest object in bytes: a value that fits here (500 KiB), twice in base64, and some room.
const LONGEST_OBJECT: u64 = 1 << 20;

/// The old tool's bucket and key on AWS, with the manager's own rights.
pub(crate) struct OldBuckets {
    sdk: SdkConfig,
}

impl OldBuckets {
    pub(crate) fn new(sdk: SdkConfig) -> Self {
        Self { sdk }
    }
}

impl OldTool for OldBuckets {
    type Bucket = S3Bucket;
    type Keys = KmsVault;

    fn bucket(&self, name: &str, region: &str) -> S3Bucket {
        S3Bucket::new(&futuswarm_aws::in_region(&self.sdk, region), name)
    }

    fn keys(&self, region: &str) -> KmsVault {
        KmsVault::new(&futuswarm_aws::in_region(&self.sdk, region))
    }
}

/// Whose objects are wanted.
pub(super) struct Wanted {
    /// The old service, without slashes at its ends.
    pub(super) prefix: String,
    /// Without a slash.
    pub(super) environment: String,
}

/// An object of a listing.
pub(super) struct Candidate {
    listed: Listed,
    place: Place,
    name: String,
}

/// One old bucket.
pub(super) struct Old<T: OldTool> {
    bucket: T::Bucket,
    keys: T::Keys,
    source: ImportSource,
}

impl<T: OldTool> Old<T> {
    pub(super) fn new(tool: &T, source: &ImportSource) -> Self {
        let region = source.region();
        Self { bucket: tool.bucket(&source.bucket, region), keys: tool.keys(region), source: source.clone() }
    }

    /// All objects of a service: those of the environment, and the Docker secrets. Marks of folders are none.
    pub(super) async fn list(&self, wanted: &Wanted) -> Result<Vec<Candidate>, Refused> {
        let mut all = Vec::new();
        if wanted.environment != DOCKER_SECRETS {
            self.list_folder(wanted, &wanted.environment, Place::Environment, &mut all).await?;
        }
        self.list_folder(wanted, DOCKER_SECRETS, Place::DockerSecrets, &mut all).await?;
        Ok(all)
    }

    async fn list_folder(
        &self,
        wanted: &Wanted,
        environment: &str,
        place: Place,
        all: &mut Vec<Candidate>,
    ) -> Result<(), Refused> {
        let folder = format!("{}/{environment}/", wanted.prefix);
        let mut after = None;
        loop {
            let page =
                again(&folder, futuswarm_store::Error::is_transient, || self.bucket.page(&folder, after.as_deref()));
            let page = page.await.map_err(|reason| {
                Refused::unavailable(format!(
                    "the old bucket cannot be listed: {reason}; nothing was changed; `[import]` of the cluster's specification lets managers read it, and a bucket or key of another account has to let them, too"
                ))
            })?;
            for listed in page.objects {
                let Some(name) = listed.key.strip_prefix(&folder).map(str::to_owned) else { continue };
                if !name.is_empty() && !name.ends_with('/') {
                    all.push(Candidate { listed, place, name });
                }
            }
            if all.len() > MOST_OBJECTS {
                return Err(Refused::usage(format!(
                    "there are more than {MOST_OBJECTS} objects at s3://{}/{folder}: `--prefix` has to be the name of one service",
                    self.source.bucket
                )));
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Reads and opens objects.
    pub(super) async fn read(&self, candidates: Vec<Candidate>, client: &Client) -> Vec<Found> {
        let (began, count) = (Instant::now(), candidates.len());
        let mut all = Vec::with_capacity(count);
        let mut candidates = candidates.into_iter().peekable();
        while candidates.peek().is_some() {
            client.progress(
                format!("reading the old bucket {}: {} of {count} objects", self.source.bucket, all.len()),
                Some(DEADLINE),
            );
            let some: Vec<Candidate> = candidates.by_ref().take(AT_ONCE).collect();
            let left = DEADLINE.saturating_sub(began.elapsed());
            let mut asked = Vec::new();
            for one in &some {
                asked.push(self.open_in_time(one, left));
            }
            let contents = join_all(asked).await;
            all.extend(some.into_iter().zip(contents).map(|(one, content)| Found {
                object: one.listed.key,
                place: one.place,
                name: one.name,
                content,
            }));
        }
        all
    }

    async fn open_in_time(&self, candidate: &Candidate, left: Duration) -> Result<Opened, String> {
        let late = || format!("it was not read within {} s: try again", DEADLINE.as_secs());
        if left.is_zero() {
            return Err(late());
        }
        tokio::time::timeout(left, self.open(candidate)).await.map_err(|_| late())?
    }

    async fn open(&self, candidate: &Candidate) -> Result<Opened, String> {
        let (key, length) = (&candidate.listed.key, candidate.listed.length);
        let too_long = |length: u64| {
            format!("it has {length} bytes, and no value that fits here makes an object of more than {LONGEST_OBJECT}")
        };
        if length > LONGEST_OBJECT {
            return Err(too_long(length));
        }
        let read = || self.bucket.read_at_most(key, LONGEST_OBJECT);
        let body = match again(key, futuswarm_store::Error::is_transient, read).await? {
            Reading::Whole(body) => body,
            Reading::Absent => return Err("it was deleted while the others were read".to_owned()),
            Reading::TooLong(length) => return Err(too_long(length)),
        };
        let object = LegacyObject::parse(&body).map_err(|error| error.to_string())?;
        let open = || self.keys.open_legacy_key(&self.source.key, object.wrapped_key());
        let data_key = again("its data key", futuswarm_vault::Error::is_transient, open).await?;
        let value = object.open(&data_key).map_err(|error| error.to_string())?;
        Ok(Opened { is_file: object.is_file(), value })
    }
}

/// Makes a call until it succeeds, fails for good, or takes too long.
async fn again<V, E, F, Fut>(what: &str, is_transient: fn(&E) -> bool, call: F) -> Result<V, String>
where
    E: Display,
    F: Fn() -> Fut,
    Fut: Future<Output = Result<V, E>>,
{
    let attempt = || async {
        call().await.map_err(|error| match is_transient(&error) {
            true => Failure::Transient(error),
            false => Failure::Permanent(error),
        })
    };
    retry(what, CALLS, attempt).await.map_err(|error| error.to_string())
}
