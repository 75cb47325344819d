//! Sending blocks: 64 in flight, each with its own deadline and retries, the whole with a deadline of its own.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_ebs::primitives::ByteStream;
use aws_sdk_ebs::types::{ChecksumAggregationMethod, ChecksumAlgorithm, Tag};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use futuswarm_image_format::{BLOCK_SIZE, DISK_TAG, FAMILY_TAG};
use futuswarm_retry::{Policy, retry};

use crate::blocks::{linear_checksum, read_block};
use crate::cleanup::{CleanupList, Resource};
use crate::error::{Error, Result, aws_on, failure, file, gave_up, incomplete};
use crate::image::LocalImage;
use crate::parent::Parent;
use crate::progress::{Event, Report};
use crate::region::{BLOCK_ATTEMPT, RegionClients};
use crate::run_lock::RunLock;
use crate::snapshot;
use crate::{BLOCKS_TAG, PARENT_TAG, UPLOAD_TAG};

/// Blocks on their way at the same time; more make no difference within EC2 and stall slow lines.
const IN_FLIGHT: usize = 64;
/// A new snapshot may be unknown to some endpoints for a minute or two.
const BLOCK_POLICY: Policy = Policy {
    first: Duration::from_millis(200),
    cap: Duration::from_secs(8),
    total: Duration::from_secs(180),
    attempt: BLOCK_ATTEMPT,
};
/// The same for the calls that begin and end an upload, in which the SDK tries again, too.
const CALL_POLICY: Policy = Policy { attempt: Duration::from_secs(70), ..BLOCK_POLICY };
/// The account makes too many calls at once.
const BUSY: &str = "ConcurrentLimitExceededException";
/// What passes when a snapshot has been begun already: some endpoint does not know it yet, or others keep the account busy.
const PASSING: [&str; 3] = [BUSY, "ResourceNotFoundException", "ConflictException"];
/// Minutes after which EBS itself gives up on an upload that sends nothing; the least it accepts is 10.
const ABANDONED: i32 = 30;

#[derive(Debug, Clone)]
pub struct Uploaded {
    /// The completed snapshot's id.
    pub snapshot: String,
    /// Number of blocks.
    pub sent: usize,
}

/// Uploads an image as a snapshot, on top of `parent` if there is one, and waits until it is completed.
///
/// Until the caller keeps it, the snapshot is on the cleanup list.
///
/// # Errors
/// When AWS refuses or does not answer for too long, or the deadline passes.
pub async fn upload(
    clients: &RegionClients,
    image: &LocalImage,
    parent: Option<&Parent>,
    lock: &RunLock,
    cleanup: &CleanupList,
    report: Report<'_>,
    deadline: Duration,
) -> Result<Uploaded> {
    let sending = async {
        let snapshot = start(clients, image, parent, lock, cleanup).await?;
        let blocks = parent.map_or(image.present.as_slice(), |parent| parent.changed.as_slice());
        send(clients, image, &snapshot, blocks, report).await?;
        complete(clients, image, &snapshot, blocks).await?;
        snapshot::completed(clients, &snapshot).await?;
        Ok(Uploaded { snapshot, sent: blocks.len() })
    };
    match tokio::time::timeout(deadline, sending).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::Wrong(format!(
            "{}: the upload was not done within {} s; use a faster line or raise --deadline",
            clients.region,
            deadline.as_secs()
        ))),
    }
}

/// Whether a failed upload may succeed without a parent.
#[must_use]
pub fn refuses_parent(error: &Error) -> bool {
    let refusals = ["ValidationException", "ResourceNotFoundException"];
    matches!(error, Error::Aws { source, .. } if source.operation == "StartSnapshot" && source.is(&refusals))
}

async fn start(
    clients: &RegionClients,
    image: &LocalImage,
    parent: Option<&Parent>,
    lock: &RunLock,
    cleanup: &CleanupList,
) -> Result<String> {
    let name = &image.registration.name;
    let digest = image.index.digest();
    let tags = [
        ("Name", name.as_str()),
        (FAMILY_TAG, image.family()),
        (DISK_TAG, &image.disk_sha256),
        (BLOCKS_TAG, &digest),
        (UPLOAD_TAG, &lock.id),
    ];
    let of_parent = parent.map(|parent| (PARENT_TAG, parent.id.as_str()));
    let tags = tags.into_iter().chain(of_parent).map(|(key, value)| Tag::builder().key(key).value(value).build());
    let start = clients
        .ebs
        .start_snapshot()
        .volume_size(i64::from(image.gib()))
        .set_parent_snapshot_id(parent.map(|parent| parent.id.clone()))
        .description(format!("{name}, uploaded by futuswarm"))
        .set_tags(Some(tags.collect()))
        // A call that is repeated because its answer was lost gives the same snapshot.
        .client_token(format!("{}-{}", lock.id, if parent.is_some() { "delta" } else { "full" }))
        .timeout(ABANDONED);
    let started = retry(&format!("beginning the snapshot of {name}"), CALL_POLICY, || async {
        let started = start.clone().send().await.map_err(aws_on(&clients.region, "StartSnapshot", name));
        started.map_err(|error| failure(error, &[BUSY]))
    })
    .await
    .map_err(gave_up(&clients.region, "others use up what the account may do at once: repeat later"))?;
    let size = started.block_size().and_then(|size| usize::try_from(size).ok());
    let id = started.snapshot_id.ok_or_else(incomplete(&clients.region, "StartSnapshot", "SnapshotId"))?;
    cleanup.add(clients, Resource::Snapshot(id.clone()));
    match size {
        Some(BLOCK_SIZE) => Ok(id),
        other => Err(Error::Wrong(format!(
            "{}: {id}: EBS wants blocks of {other:?} bytes, not of {BLOCK_SIZE}",
            clients.region
        ))),
    }
}

async fn send(clients: &RegionClients, image: &LocalImage, id: &str, blocks: &[u32], report: Report<'_>) -> Result<()> {
    let disk = Arc::new(File::open(&image.disk).map_err(file(&image.disk))?);
    let (done, total) = (AtomicUsize::new(0), blocks.len());
    report(Event::Blocks { total, sent: 0 });
    stream::iter(blocks)
        .map(|index| {
            let (disk, done) = (Arc::clone(&disk), &done);
            async move {
                put(clients, image, id, *index, disk).await?;
                report(Event::Blocks { total, sent: done.fetch_add(1, Ordering::Relaxed) + 1 });
                Ok(())
            }
        })
        .buffer_unordered(IN_FLIGHT)
        .try_collect::<()>()
        .await
}

async fn put(clients: &RegionClients, image: &LocalImage, id: &str, index: u32, disk: Arc<File>) -> Result<()> {
    let checksum = STANDARD.encode(image.index.checksum(index));
    let block = tokio::task::spawn_blocking(move || read_block(&disk, index)).await;
    let block = block.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(file(&image.disk))?;
    let block = Bytes::from(block);
    retry(&format!("sending block {index} of {id}"), BLOCK_POLICY, || {
        let (block, checksum) = (block.clone(), checksum.clone());
        async move {
            let sent = clients
                .blocks
                .put_snapshot_block()
                .snapshot_id(id)
                .block_index(i32::try_from(index).unwrap_or(i32::MAX))
                .data_length(i32::try_from(BLOCK_SIZE).unwrap_or(i32::MAX))
                .checksum(checksum)
                .checksum_algorithm(ChecksumAlgorithm::ChecksumAlgorithmSha256)
                .block_data(ByteStream::from(block))
                .send()
                .await;
            let sent = sent.map_err(aws_on(&clients.region, "PutSnapshotBlock", &format!("block {index} of {id}")));
            sent.map(|_| ()).map_err(|error| failure(error, &PASSING))
        }
    })
    .await
    .map_err(gave_up(&clients.region, "repeat on a better line; the upload begins again"))
}

async fn complete(clients: &RegionClients, image: &LocalImage, id: &str, blocks: &[u32]) -> Result<()> {
    let checksum = STANDARD.encode(linear_checksum(&image.index, blocks));
    retry(&format!("completing {id}"), CALL_POLICY, || async {
        let completed = clients
            .ebs
            .complete_snapshot()
            .snapshot_id(id)
            .changed_blocks_count(i32::try_from(blocks.len()).unwrap_or(i32::MAX))
            .checksum(&checksum)
            .checksum_algorithm(ChecksumAlgorithm::ChecksumAlgorithmSha256)
            .checksum_aggregation_method(ChecksumAggregationMethod::ChecksumAggregationLinear)
            .send()
            .await;
        let completed = completed.map_err(aws_on(&clients.region, "CompleteSnapshot", id));
        completed.map(|_| ()).map_err(|error| failure(error, &PASSING))
    })
    .await
    .map_err(gave_up(&clients.region, "repeat; the upload begins again"))
}
