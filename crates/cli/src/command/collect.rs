//! `image:gc`: what nothing needs of the images.

use futuswarm_output::{eprintln, println};
use futuswarm_rpc::message::{Collected, Request};

use super::{Context, app_name, content};
use crate::arguments::AppFlag;
use crate::failure::Result;
use crate::output::{self, size};

/// Has images deleted that nothing needs, or shows which these are.
pub fn collect(context: &Context, flag: &AppFlag, keep: Option<u32>, plan: bool, wait: Option<u32>) -> Result<u8> {
    let app = flag.app.as_deref().map(app_name::checked).transpose()?;
    let collected = content!(context.wait(&Request::CollectImages { app, keep, plan, wait })?, Collected);
    match context.json {
        true => output::json(&collected)?,
        false => print(&collected),
    }
    Ok(0)
}

fn print(collected: &Collected) {
    let rows: Vec<Vec<String>> = collected
        .repositories
        .iter()
        .map(|row| {
            let tags: Vec<&str> = row.tags.iter().map(String::as_str).collect();
            vec![row.repository.clone(), row.images.len().to_string(), row.uploads.to_string(), tags.join(",")]
        })
        .collect();
    let goes = if collected.plan { "would go" } else { "gone" };
    output::table(&["APP", "IMAGES", "UPLOADS", "TAGS"], &rows, "No image is without use.");
    println!(
        "{} parts of images, {} {goes}; {} parts, {} stay",
        collected.blobs,
        size(collected.bytes),
        collected.kept_blobs,
        size(collected.kept_bytes)
    );
    for manifest in &collected.broken {
        eprintln!(
            "warning: {} cannot be pulled: its manifest is not in the bucket; push it again",
            output::plain(manifest)
        );
    }
}
