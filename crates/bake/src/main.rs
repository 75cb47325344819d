//! `futuswarm-bake`: the command line of the image pipeline, behind `cargo xtask bake`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the bake's one printer: data on stdout, talk on stderr"
)]

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use clap::Parser;
use futuswarm_bake::base::LockPolicy;
use futuswarm_bake::inputs::Inputs;
use futuswarm_bake::pipeline::{Request, bake};
use futuswarm_bake::stages::Event;

const UNBUILT: &str = "the programs that go into the image are not named; run `cargo xtask bake`, which builds them";

/// Build the immutable node image: packages, verified root, unified kernel image, GPT disk.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask bake",
    after_help = "Examples:
  cargo xtask bake                      into target/images/<name>/, reusing what has not changed
  cargo xtask bake --output /tmp/image  into this very folder
  cargo xtask bake --update-lock        take today's Debian packages and write images/node/packages.lock
  cargo xtask bake --json | jq .payload_bytes"
)]
struct Arguments {
    /// Folder for disk.raw, manifest.json and register.json [default: target/images/<name>].
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Print the manifest on standard output.
    #[arg(long)]
    json: bool,
    /// Resolve the packages anew and rewrite images/node/packages.lock.
    #[arg(long)]
    update_lock: bool,
    /// When Debian no longer serves the locked versions, take today's instead of failing; for rehearsals.
    #[arg(long, conflicts_with = "update_lock")]
    allow_newer: bool,
    /// Debian mirror [default: mmdebstrap's own].
    #[arg(long, env = "FUTUSWARM_MIRROR", value_name = "URL")]
    mirror: Option<String>,
    /// Make the tools tree and stop.
    #[arg(long, hide = true)]
    tools_only: bool,
    /// The node binary.
    #[arg(long, env = "FUTUSWARM_NODE_BINARY", hide = true)]
    node_binary: Option<PathBuf>,
    /// The initrd's program.
    #[arg(long, env = "FUTUSWARM_INIT_BINARY", hide = true)]
    init_binary: Option<PathBuf>,
    /// The mainpage's program.
    #[arg(long, env = "FUTUSWARM_MAINPAGE_BINARY", hide = true)]
    mainpage_binary: Option<PathBuf>,
}

fn main() -> std::process::ExitCode {
    match run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if arguments.tools_only {
        let tools = futuswarm_tools::ToolsTree::ensure(arguments.mirror.as_deref())?;
        println!("{}", tools.root().display());
        return Ok(());
    }
    let workspace = futuswarm_paths::workspace_root()?;
    let output = arguments.output.map(std::path::absolute).transpose().context("--output")?;
    let request = Request {
        inputs: Inputs {
            images: workspace.join("images/node"),
            node_binary: arguments.node_binary.context(UNBUILT)?,
            init_binary: arguments.init_binary.context(UNBUILT)?,
            mainpage_binary: arguments.mainpage_binary.context(UNBUILT)?,
            mirror: arguments.mirror,
        },
        cache: futuswarm_paths::cache_dir()?,
        images: workspace.join("target/images"),
        output,
        lock: match (arguments.update_lock, arguments.allow_newer) {
            (true, _) => LockPolicy::Update,
            (false, true) => LockPolicy::AllowNewer,
            (false, false) => LockPolicy::Exact,
        },
        git_revision: git_revision(&workspace),
    };
    let baked = bake(&request, &mut |event| match event {
        Event::Begin(name) => eprint!("{name:<12}"),
        Event::End(stage) if stage.cached => eprintln!("{:>8.2} s  cached", stage.seconds),
        Event::End(stage) => eprintln!("{:>8.2} s", stage.seconds),
    })?;
    let manifest = &baked.manifest;
    if !manifest.newer_than_lock.is_empty() {
        eprintln!(
            "note: Debian has moved on from images/node/packages.lock: {}; `cargo xtask bake --update-lock` takes that into the lock",
            manifest.newer_than_lock.join(", ")
        );
    }
    let verb = if baked.cached { "is up to date" } else { "baked" };
    eprintln!(
        "{} {verb}: {} MiB payload, disk {}",
        manifest.name,
        manifest.payload_bytes >> 20,
        baked.dir.join("disk.raw").display()
    );
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(manifest)?);
    }
    Ok(())
}

fn git_revision(workspace: &std::path::Path) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(workspace).args(["rev-parse", "HEAD"]).output().ok()?;
    let revision = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !revision.is_empty()).then_some(revision)
}
