//! Archives of images, as `docker save` writes them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

#[derive(Debug, Args)]
pub(crate) struct Image {
    /// A static program, which is started with the word `serve`, and with `health` to be asked how it is.
    #[arg(long)]
    program: PathBuf,
    #[arg(long)]
    output: PathBuf,
    /// Seconds between two questions.
    #[arg(long, default_value_t = 2)]
    interval: u64,
}

impl Image {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let program = std::fs::read(&self.program).with_context(|| self.program.display().to_string())?;
        let mut layer = tar::Builder::new(Vec::new());
        append(&mut layer, "app", 0o755, &program)?;
        let layer = layer.into_inner()?;
        // In billionths of a second (Docker Engine API, `HealthConfig`).
        let seconds = |seconds: u64| seconds * 1_000_000_000;
        let settings = json!({
            "Entrypoint": ["/app"],
            "Cmd": ["serve"],
            "User": "65534",
            "Healthcheck": {
                "Test": ["CMD", "/app", "health"],
                "Interval": seconds(self.interval),
                "Timeout": seconds(3),
                "StartPeriod": seconds(30),
                "StartInterval": seconds(1),
                "Retries": 3,
            },
        });
        write(&self.output, &[&layer], &settings)
    }
}

/// Writes an archive of an image with these layers, from the lowest one.
pub(crate) fn write(path: &Path, layers: &[&[u8]], settings: &Value) -> anyhow::Result<()> {
    let digest = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let digests: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    let ids: Vec<String> = digests.iter().map(|digest| format!("sha256:{digest}")).collect();
    let config =
        json!({ "architecture": "amd64", "os": "linux", "config": settings, "rootfs": { "type": "layers", "diff_ids": ids } })
            .to_string();
    let config_name = format!("{}.json", digest(config.as_bytes()));
    let names: Vec<String> = digests.iter().map(|digest| format!("{digest}/layer.tar")).collect();
    let manifest = json!([{ "Config": config_name, "RepoTags": ["bench:latest"], "Layers": names }]).to_string();
    let file = File::create(path).with_context(|| path.display().to_string())?;
    let mut archive = tar::Builder::new(BufWriter::new(file));
    append(&mut archive, &config_name, 0o644, config.as_bytes())?;
    for (name, layer) in names.iter().zip(layers) {
        append(&mut archive, name, 0o644, layer)?;
    }
    append(&mut archive, "manifest.json", 0o644, manifest.as_bytes())?;
    archive.into_inner()?.flush()?;
    Ok(())
}

fn append(archive: &mut tar::Builder<impl Write>, name: &str, mode: u32, content: &[u8]) -> anyhow::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    Ok(archive.append_data(&mut header, name, content)?)
}
