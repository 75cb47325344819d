//! The measures of publishing: a full upload to the local endpoint, and the share of an image that an agent's change sends.

use anyhow::Context as _;
use futuswarm_image_format::{ImageFolder, Manifest};

use super::account::Account;
use super::{Figure, Scratch, latest, manifest, run_bake};
use crate::cargo::Workspace;

pub(super) fn upload(workspace: &Workspace) -> anyhow::Result<Figure> {
    const MIB: usize = 300;
    let scratch = Scratch::new(workspace, "upload")?;
    // Content that differs from block to block; whether it compresses makes no difference to anybody.
    let mut disk = vec![0_u8; MIB << 20];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for word in disk.chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes());
    }
    let name = "futuswarm-bench-upload";
    let folder = ImageFolder::new(&scratch.0);
    std::fs::write(folder.disk(), &disk)?;
    // Without an index of blocks a rehearsal asks nobody for the disk's digest.
    let about = Manifest { name: name.to_owned(), disk_bytes: disk.len() as u64, ..manifest(&latest(workspace))? };
    folder.write(&about, None)?;
    let account = Account::start(workspace, "local-publish", "--api-only")?;
    let published = account.publish(&scratch.0, &["--full"])?;
    let seconds = published["upload_seconds"].as_f64().context("upload_seconds")?;
    let blocks = published["blocks_sent"].as_u64().context("blocks_sent")?;
    anyhow::ensure!(blocks == (MIB * 2) as u64, "{blocks} blocks were sent");
    Ok(Figure {
        what: "full upload of 300 MiB to the local EBS endpoint",
        value: seconds,
        unit: "s",
        peer: "–".to_owned(),
        bar: "≤ 5 s".to_owned(),
        met: seconds <= 5.0,
    })
}

pub(super) fn delta(workspace: &Workspace) -> anyhow::Result<Figure> {
    let scratch = Scratch::new(workspace, "delta")?;
    let mut binary = std::fs::read(workspace.program("futuswarm-node"))?;
    // More than any change of the source does: something in every unit of compression. Headers stay, the bake reads them.
    let end = binary.len().saturating_sub(8 << 20);
    for at in ((2 << 20)..end).step_by(16 << 10) {
        binary[at] ^= 0x55;
    }
    let changed = scratch.0.join("futuswarm-node");
    std::fs::write(&changed, binary)?;
    let (before, after) = (scratch.0.join("before"), scratch.0.join("after"));
    run_bake(workspace, &before, &workspace.program("futuswarm-node"), None)?;
    run_bake(workspace, &after, &changed, None)?;
    anyhow::ensure!(manifest(&before)?.name != manifest(&after)?.name, "the two images are the same");
    let account = Account::start(workspace, "local-publish", "--api-only")?;
    account.publish(&before, &[])?;
    let published = account.publish(&after, &[])?;
    let count = |key: &str| published[key].as_f64().with_context(|| key.to_owned());
    let (sent, all) = (count("blocks_sent")?, count("blocks")?);
    anyhow::ensure!(published["parent_snapshot_id"].is_string(), "everything was sent");
    let share = 100.0 * sent / all;
    Ok(Figure {
        what: "blocks sent when all of the node binary changed and nothing else",
        value: share,
        unit: "%",
        peer: format!("{sent:.0} of {all:.0} blocks"),
        bar: "≤ 8 %".to_owned(),
        met: share <= 8.0,
    })
}
