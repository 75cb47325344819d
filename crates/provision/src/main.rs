//! `futuswarm-provision`: from a spec to AWS, behind `cargo xtask deploy-cluster`, `destroy-cluster` and `status`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is provisioning's one printer: data on stdout, talk on stderr"
)]

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use futuswarm_provision::cloud::Extras;
use futuswarm_provision::status::Status;
use futuswarm_provision::{Action, Change, Cloud, Plan, resources, status, wait};
use futuswarm_spec::Spec;

#[derive(Debug, Parser)]
#[command(name = "futuswarm-provision")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Read a spec and say what is wrong with it.
    Check { spec: PathBuf },
    /// Make the cluster what the spec says, and wait until it is ready.
    Apply(Apply),
    /// Delete the cluster, after showing what goes and asking for its name.
    Destroy {
        spec: PathBuf,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        /// Delete the state bucket and the keys that open it, too.
        #[arg(long)]
        delete_data: bool,
    },
    /// Show the cluster's nodes.
    Status {
        spec: PathBuf,
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
struct Place {
    /// Where the page answers, when it is not at the load balancer's own name.
    #[arg(long, env = "FUTUSWARM_URL")]
    url: Option<String>,
}

#[derive(Debug, Args)]
struct Apply {
    spec: PathBuf,
    /// Name of the image.
    #[arg(long)]
    image: String,
    /// List what would be done.
    #[arg(long)]
    plan: bool,
    #[arg(long)]
    json: bool,
    /// The endpoint that nodes use instead of AWS's own.
    #[arg(long, env = "FUTUSWARM_NODE_ENDPOINT")]
    node_endpoint: Option<String>,
    /// SSH public key for the nodes.
    #[arg(long, env = "FUTUSWARM_SSH_PUBLIC_KEY", value_name = "FILE")]
    ssh_public_key: Option<PathBuf>,
    /// Do not wait for the nodes.
    #[arg(long)]
    no_wait: bool,
    /// How long to wait for the nodes, in seconds.
    #[arg(long, default_value_t = 900)]
    deadline: u64,
    #[command(flatten)]
    place: Place,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("FUTUSWARM_LOG").unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
    let done = |()| std::process::ExitCode::SUCCESS;
    let outcome = match Arguments::parse().verb {
        Verb::Check { spec } => load(&spec).map(|_| done(())),
        Verb::Apply(apply) => run_apply(apply).await,
        Verb::Destroy { spec, yes, delete_data } => run_destroy(&spec, yes, delete_data).await.map(done),
        Verb::Status { spec, json, place } => run_status(&spec, json, place).await.map(done),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn load(path: &Path) -> anyhow::Result<Spec> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read the cluster spec {}", path.display()))?;
    let shown = std::env::current_dir().ok().and_then(|dir| path.strip_prefix(dir).ok()).unwrap_or(path);
    Spec::parse(&shown.display().to_string(), &text).map_err(|problems| {
        anyhow::anyhow!("the cluster spec has {} problem(s); nothing was created\n{problems}", problems.problems.len())
    })
}

fn say(change: &Change) {
    let mark = match change.action {
        Action::Create => '+',
        Action::Update => '~',
        Action::Delete => '-',
    };
    eprintln!("  {mark} {} {}", change.kind, change.name);
}

/// What a plan with changes exits with, so that a script can tell it from one without and from a failure.
const CHANGES: u8 = 2;

async fn run_apply(apply: Apply) -> anyhow::Result<std::process::ExitCode> {
    let started = Instant::now();
    let spec = load(&apply.spec)?;
    let ssh_public_key = match &apply.ssh_public_key {
        Some(path) => Some(std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?),
        None => None,
    };
    let extras = Extras { image: apply.image, node_endpoint: apply.node_endpoint, ssh_public_key };
    eprintln!("{} the cluster {} in {}", if apply.plan { "planning" } else { "applying" }, spec.cluster, spec.region);
    let mut cloud = Cloud::connect(spec, extras, Plan::new(!apply.plan, say)).await?;
    resources::apply(&mut cloud).await.context("what was made so far stays; run the command again to carry on")?;
    let changes = cloud.plan.changes.len();
    if apply.plan {
        eprintln!("{changes} change(s) would be made");
        if apply.json {
            println!("{}", serde_json::to_string_pretty(&cloud.plan.changes)?);
        }
        return Ok(std::process::ExitCode::from(if changes == 0 { 0 } else { CHANGES }));
    }
    eprintln!("{changes} change(s) made in {:.0} s", started.elapsed().as_secs_f64());
    if apply.no_wait {
        return Ok(std::process::ExitCode::SUCCESS);
    }
    let url = match apply.place.url {
        Some(url) => url,
        None => status::url(&cloud).await?,
    };
    let bar = indicatif::ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let waiting = Instant::now();
    let mut seen = String::new();
    let found = wait::until_ready(&cloud, &url, Duration::from_secs(apply.deadline), |found, page| {
        let line = summary(found, page);
        bar.set_message(format!("{line} ({:.0} s)", waiting.elapsed().as_secs_f64()));
        // Where there is no terminal the bar shows nothing, so every change is a line.
        if bar.is_hidden() && line != seen {
            eprintln!("  {:>4.0} s  {line}", waiting.elapsed().as_secs_f64());
        }
        seen = line;
    })
    .await;
    bar.finish_and_clear();
    let found = found?;
    if apply.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        print!("{}", table(&found));
        println!(
            "\n{url} answers; {} nodes are Ready, {:.0} s after the start",
            found.nodes.len(),
            started.elapsed().as_secs_f64()
        );
    }
    Ok(std::process::ExitCode::SUCCESS)
}

fn summary(found: &Status, page: bool) -> String {
    let mut states: Vec<String> = found.nodes.iter().map(|node| format!("{} {}", node.role, node.state)).collect();
    states.sort();
    format!("{}; page {}", states.join(", "), if page { "answers" } else { "not yet" })
}

fn table(found: &Status) -> String {
    use std::fmt::Write as _;
    let mut text =
        format!("{:<20} {:<8} {:<9} {:<15} {:<12} {:>7}\n", "INSTANCE", "ROLE", "STATE", "ADDRESS", "ZONE", "JOINED");
    for node in &found.nodes {
        let state = if node.state == "ready" && !node.ready { "silent" } else { &node.state };
        let joined = node.joined_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.0} s"));
        let _infallible = writeln!(
            text,
            "{:<20} {:<8} {:<9} {:<15} {:<12} {joined:>7}",
            node.instance,
            node.role.to_string(),
            state,
            node.address,
            node.zone
        );
        if let Some(reason) = &node.reason {
            let _infallible = writeln!(text, "  {reason}");
        }
    }
    text
}

async fn run_status(path: &Path, json: bool, place: Place) -> anyhow::Result<()> {
    let cloud = Cloud::connect(load(path)?, Extras::default(), Plan::new(false, say)).await?;
    let url = match place.url {
        Some(url) => url,
        None => status::url(&cloud).await?,
    };
    let found = status::look(&cloud, &url).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        println!("{}  {}\n", found.cluster, found.url);
        print!("{}", table(&found));
    }
    Ok(())
}

async fn run_destroy(path: &Path, yes: bool, delete_data: bool) -> anyhow::Result<()> {
    let spec = load(path)?;
    let name = spec.cluster.clone();
    if !yes {
        eprintln!("this would go with the cluster {name} in {}:", spec.region);
        let mut cloud = Cloud::connect(spec.clone(), Extras::default(), Plan::new(false, say)).await?;
        resources::destroy(&mut cloud, delete_data).await?;
        if cloud.plan.changes.is_empty() {
            eprintln!("there is nothing to delete");
            return Ok(());
        }
        if !delete_data {
            eprintln!("the state bucket and its keys stay; say --delete-data to delete them, too");
        }
        if !std::io::stdin().is_terminal() {
            bail!("nothing was deleted: there is no terminal to ask for the cluster's name at; say --yes");
        }
        eprint!("type the cluster's name to delete all of it: ");
        let mut typed = String::new();
        std::io::stdin().read_line(&mut typed)?;
        if typed.trim() != name {
            bail!("nothing was deleted: {:?} is not the cluster's name", typed.trim());
        }
    }
    let mut cloud = Cloud::connect(spec, Extras::default(), Plan::new(true, say)).await?;
    resources::destroy(&mut cloud, delete_data)
        .await
        .context("what is left stays; run the command again to carry on")?;
    eprintln!("{} change(s) made", cloud.plan.changes.len());
    Ok(())
}
