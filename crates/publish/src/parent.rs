//! What a new snapshot can begin as: the newest one of the family of which this machine knows the blocks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aws_sdk_ec2::types::Snapshot;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futuswarm_image_format::BlockIndex;

use crate::BLOCKS_TAG;
use crate::blocks;
use crate::error::{Error, Result, aws_on};
use crate::image::LocalImage;
use crate::region::RegionClients;
use crate::snapshot::{is_whole, tag};

/// How many of the blocks that would be reused are compared. An index belongs to its snapshot by the digest in the
/// snapshot's tag; this finds out when somebody has moved a tag.
const SAMPLES: usize = 6;
/// The most that one answer lists.
const PAGE: i32 = 10_000;

#[derive(Debug, Clone)]
pub struct Parent {
    /// The snapshot's id.
    pub id: String,
    /// What has to be sent on top of it, in order.
    pub changed: Vec<u32>,
}

/// Where the indices of published images are, by digest.
#[must_use]
pub fn index_path(cache: &Path, digest: &str) -> PathBuf {
    cache.join("published").join(format!("{digest}.idx"))
}

/// The index with this digest, if this machine has it and it is whole.
fn known(cache: &Path, digest: &str) -> Option<BlockIndex> {
    if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    BlockIndex::load(&index_path(cache, digest)).ok().filter(|index| index.digest() == digest)
}

/// The best parent among the snapshots of the family, which are newest first. Whatever is not certain means none, and
/// everything is sent.
///
/// # Errors
/// When AWS cannot be asked.
pub async fn find(
    clients: &RegionClients,
    image: &LocalImage,
    snapshots: &[Snapshot],
    cache: &Path,
) -> Result<Option<Parent>> {
    let candidate = snapshots.iter().filter(|snapshot| is_whole(snapshot)).find_map(|snapshot| {
        let fits = snapshot.volume_size().and_then(|gib| u32::try_from(gib).ok()).is_some_and(|gib| gib <= image.gib());
        let index = tag(snapshot.tags(), BLOCKS_TAG).filter(|_| fits).and_then(|digest| known(cache, digest))?;
        Some((snapshot.snapshot_id()?.to_owned(), index))
    });
    let Some((id, index)) = candidate else { return Ok(None) };
    let allocated = allocated(clients, &id).await?;
    let changed = blocks::changed(&image.index, &image.present, &index, &allocated.keys().copied().collect());
    let sent: BTreeSet<u32> = changed.iter().copied().collect();
    let mut reused: Vec<u32> = image.present.iter().copied().filter(|index| !sent.contains(index)).collect();
    fastrand::shuffle(&mut reused);
    for block in reused.iter().take(SAMPLES) {
        let Some(token) = allocated.get(block) else { return Ok(None) };
        if checksum(clients, &id, *block, token).await? != Some(STANDARD.encode(index.checksum(*block))) {
            tracing::warn!(snapshot = id, block, "the snapshot is not what its index says; everything is sent");
            return Ok(None);
        }
    }
    Ok(Some(Parent { id, changed }))
}

/// The blocks that a snapshot has, with their tokens.
async fn allocated(clients: &RegionClients, id: &str) -> Result<std::collections::BTreeMap<u32, String>> {
    let mut pages = clients.ebs.list_snapshot_blocks().snapshot_id(id).max_results(PAGE).into_paginator().send();
    let mut blocks = std::collections::BTreeMap::new();
    while let Some(page) = pages.next().await {
        for block in page.map_err(aws_on(&clients.region, "ListSnapshotBlocks", id))?.blocks() {
            if let (Some(index), Some(token)) = (block.block_index(), block.block_token()) {
                blocks.insert(u32::try_from(index).unwrap_or_default(), token.to_owned());
            }
        }
    }
    Ok(blocks)
}

/// The checksum of a block, as EBS knows it.
async fn checksum(clients: &RegionClients, id: &str, block: u32, token: &str) -> Result<Option<String>> {
    let index = i32::try_from(block).unwrap_or(i32::MAX);
    let got = clients.ebs.get_snapshot_block().snapshot_id(id).block_index(index).block_token(token).send().await;
    Ok(got.map_err(aws_on(&clients.region, "GetSnapshotBlock", &format!("block {block} of {id}")))?.checksum)
}

/// Makes sure that a new snapshot differs from its parent in exactly the blocks that were sent.
///
/// # Errors
/// When it does not, or AWS cannot be asked.
pub async fn verify(clients: &RegionClients, parent: &Parent, id: &str) -> Result<()> {
    let list = clients.ebs.list_changed_blocks().first_snapshot_id(&parent.id).second_snapshot_id(id).max_results(PAGE);
    let mut pages = list.into_paginator().send();
    let mut changed = BTreeSet::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(aws_on(&clients.region, "ListChangedBlocks", id))?;
        let indices = page.changed_blocks().iter().filter_map(|block| u32::try_from(block.block_index()?).ok());
        changed.extend(indices);
    }
    let sent: BTreeSet<u32> = parent.changed.iter().copied().collect();
    if changed == sent {
        return Ok(());
    }
    let odd: Vec<String> = changed.symmetric_difference(&sent).take(5).map(ToString::to_string).collect();
    Err(Error::Wrong(format!(
        "{}: {id} differs from its parent {} in {} blocks, {} were sent (for example block {}); pass --full to send everything",
        clients.region,
        parent.id,
        changed.len(),
        sent.len(),
        odd.join(", ")
    )))
}
