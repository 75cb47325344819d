//! `futuswarm-bake`: the command line of the image pipeline, behind `cargo xtask bake`.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use futuswarm_bake::archive::Archives;
use futuswarm_bake::base::LockPolicy;
use futuswarm_bake::inputs::Inputs;
use futuswarm_bake::pipeline::{Request, Supplies, bake, prepare};
use futuswarm_bake::stages::Event;
use futuswarm_image_format::ImageFolder;
use futuswarm_output::{eprint, eprintln, println};

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
    /// Resolve the packages again and rewrite images/node/packages.lock.
    #[arg(long)]
    update_lock: bool,
    /// When nobody gives the locked versions any more, take today's instead of failing; for rehearsals.
    #[arg(long, conflicts_with = "update_lock")]
    allow_newer: bool,
    /// Mirror of Debian's releases [default: http://deb.debian.org/debian].
    #[arg(long, env = "FUTUSWARM_MIRROR", value_name = "URL")]
    mirror: Option<String>,
    /// Mirror of Debian's security updates [default: http://security.debian.org/debian-security].
    #[arg(long, env = "FUTUSWARM_SECURITY_MIRROR", value_name = "URL")]
    security_mirror: Option<String>,
    /// Snapshot archive, which has what the mirrors no longer have [default: http://snapshot.debian.org].
    #[arg(long, env = "FUTUSWARM_SNAPSHOT", value_name = "URL")]
    snapshot: Option<String>,
    /// The keys that sign both mirrors [default: those of the package debian-archive-keyring].
    #[arg(long, env = "FUTUSWARM_KEYRING", value_name = "FILE")]
    keyring: Option<PathBuf>,
    /// Make the tools tree and stop.
    #[arg(long, hide = true)]
    tools_only: bool,
    /// Bring tools and packages into the cache and stop.
    #[arg(long, hide = true, conflicts_with = "update_lock")]
    supplies_only: bool,
    /// The `futuswarm-node` that goes into the image, for its C library.
    #[arg(long, env = "FUTUSWARM_NODE_BINARY", hide = true)]
    node_binary: Option<PathBuf>,
    /// The initrd's program.
    #[arg(long, env = "FUTUSWARM_INIT_BINARY", hide = true)]
    init_binary: Option<PathBuf>,
    /// The mainpage's program.
    #[arg(long, env = "FUTUSWARM_MAINPAGE_BINARY", hide = true)]
    mainpage_binary: Option<PathBuf>,
    /// The program that asks tasks how they are.
    #[arg(long, env = "FUTUSWARM_PROBE_BINARY", hide = true)]
    probe_binary: Option<PathBuf>,
}

fn main() -> std::process::ExitCode {
    // With 1, as every other mistake: 2 says elsewhere that a plan has changes.
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(usage) => {
            let _unprinted = futuswarm_output::end_if_reader_gone(usage.print());
            return std::process::ExitCode::from(u8::from(usage.use_stderr()));
        }
    };
    match run(arguments) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    if arguments.tools_only {
        let mut progress = Progress::default();
        let tools = futuswarm_tools::ToolsTree::ensure(arguments.mirror.as_deref(), &mut || {
            progress.show("tools", "mmdebstrap makes the tools tree, once");
        });
        progress.end();
        let tools = tools?;
        println!("{}", tools.root().display());
        return Ok(());
    }
    let workspace = futuswarm_paths::workspace_root()?;
    let output = arguments.output.map(std::path::absolute).transpose().context("--output")?;
    let ours = Archives::default();
    let archives = Archives {
        mirror: arguments.mirror.clone().unwrap_or(ours.mirror),
        security: arguments.security_mirror.unwrap_or(ours.security),
        snapshot: arguments.snapshot.unwrap_or(ours.snapshot),
        keyring: arguments.keyring.unwrap_or(ours.keyring),
    };
    let supplies = Supplies {
        cache: futuswarm_paths::cache_dir()?,
        lock: match (arguments.update_lock, arguments.allow_newer) {
            (true, _) => LockPolicy::Update,
            (false, true) => LockPolicy::AllowNewer,
            (false, false) => LockPolicy::Exact,
        },
        archives,
        tools_mirror: arguments.mirror,
    };
    let images = workspace.join("images/node");
    let mut progress = Progress::default();
    let mut report = |event: Event<'_>| match event {
        Event::Begin(name) => eprint!("{name:<12}"),
        Event::Progress(name, words) => progress.show(name, words),
        Event::End(stage) => {
            if progress.end() {
                eprint!("{:<12}", stage.name);
            }
            eprintln!("{:>8.2} s{}", stage.seconds, if stage.cached { "  cached" } else { "" });
        }
    };
    if arguments.supplies_only {
        return Ok(prepare(&images, &supplies, &mut report)?);
    }
    let request = Request {
        inputs: Inputs {
            images,
            node_binary: arguments.node_binary.context(UNBUILT)?,
            init_binary: arguments.init_binary.context(UNBUILT)?,
            mainpage_binary: arguments.mainpage_binary.context(UNBUILT)?,
            probe_binary: arguments.probe_binary.context(UNBUILT)?,
        },
        supplies,
        images: workspace.join("target/images"),
        output,
        git_revision: git_revision(&workspace),
    };
    let baked = bake(&request, &mut report)?;
    let manifest = &baked.manifest;
    if !manifest.newer_than_lock.is_empty() {
        eprintln!("{}", drift(&manifest.newer_than_lock));
    }
    let verb = if baked.cached { "is up to date" } else { "baked" };
    eprintln!(
        "{} {verb}: {} MiB payload, disk {}",
        manifest.name,
        manifest.payload_bytes >> 20,
        ImageFolder::new(&baked.dir).disk().display()
    );
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(manifest)?);
    }
    Ok(())
}

/// What a long stage is at, in one line that changes on a terminal, and in a line every ten seconds elsewhere.
#[derive(Default)]
struct Progress {
    shown: Option<Instant>,
    written: bool,
}

impl Progress {
    fn show(&mut self, name: &str, words: &str) {
        let terminal = std::io::stderr().is_terminal();
        // What is over within a second is not worth a line.
        let pause = Duration::from_secs(if terminal { 1 } else { 10 });
        if self.shown.get_or_insert_with(Instant::now).elapsed() < pause {
            return;
        }
        self.shown = Some(Instant::now());
        self.written = true;
        if terminal {
            eprint!("\r\x1b[K{name:<12}  {words}");
        } else {
            eprint!("\n{:<12}  {words}", "");
        }
    }

    /// Ends the line; returns whether the stage's name has to be written again.
    fn end(&mut self) -> bool {
        self.shown = None;
        let written = std::mem::take(&mut self.written);
        if written {
            eprint!("{}", if std::io::stderr().is_terminal() { "\r\x1b[K" } else { "\n" });
        }
        written
    }
}

/// One line about what is newer than the lock.
fn drift(lines: &[String]) -> String {
    const SHOWN: usize = 8;
    let more = match lines.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(", and {more} more (all are in manifest.json)"),
    };
    format!(
        "note: today's packages were taken, because nobody gives all of images/node/packages.lock: {}{more}; \
         `cargo xtask bake --update-lock` takes them into the lock",
        lines.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ")
    )
}

fn git_revision(workspace: &std::path::Path) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(workspace).args(["rev-parse", "HEAD"]).output().ok()?;
    let revision = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !revision.is_empty()).then_some(revision)
}
