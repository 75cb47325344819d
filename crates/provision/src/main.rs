//! `futuswarm-provision`: from a spec to AWS, behind `cargo xtask deploy-cluster`, `destroy-cluster` and `status`.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use futuswarm_output::{eprint, eprintln, print, println};
use futuswarm_provision::{
    Aws, CliProgram, Cluster, Confirmed, Error, Listener, Mode, Overrides, Report, Run, login, resources, show, status,
    users, wait,
};
use futuswarm_spec::Spec;

/// Futuswarm's provisioning.
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
    Destroy(Destroy),
    /// The people who may use the cluster.
    #[command(subcommand)]
    User(UserVerb),
    /// The login of the private domain.
    #[command(subcommand)]
    Login(LoginVerb),
    /// Show the cluster's nodes.
    Status {
        spec: PathBuf,
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Subcommand)]
enum UserVerb {
    /// Let a person in with an SSH key: makes their record, or adds the key to it.
    Add {
        spec: PathBuf,
        /// Small letters, digits, '.', '_' and '-'.
        name: String,
        /// File with the public key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Allow everything with every app. Nobody loses that by being added again without it.
        #[arg(long)]
        admin: bool,
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum LoginVerb {
    /// Put the client's secret, from standard input, into the cluster's bucket, sealed.
    Secret {
        spec: PathBuf,
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct Place {
    /// Where the page answers, when it is not at the load balancer's own name.
    #[arg(long, env = "FUTUSWARM_URL")]
    url: Option<String>,
    /// Where SSH of the managers answers, as HOST:PORT, when it is not at ssh.<domain>.
    #[arg(long, env = "FUTUSWARM_SSH")]
    ssh: Option<String>,
}

impl Place {
    /// What is reached at another place than on AWS, and on AWS what somebody has to do so that it is reached.
    async fn settle(&self, aws: &Aws, cluster: &Cluster, observed: &mut status::Status) {
        // A local cloud of an earlier version says nothing.
        if let Some(ssh) = self.ssh.as_ref().filter(|ssh| !ssh.is_empty()) {
            observed.ssh.clone_from(ssh);
        } else if let Err(error) = status::note_ssh_records(aws, cluster, observed).await {
            eprintln!("note: whether {} has to be made by hand is not known: {error}", observed.ssh);
        }
    }
}

#[derive(Debug, Args)]
struct Apply {
    spec: PathBuf,
    /// Name of the image [default: the one that was promoted last].
    #[arg(long)]
    image: Option<String>,
    /// Say what would be done and do nothing; exits with 2 when there is something to do, with 0 when there is not.
    #[arg(long)]
    plan: bool,
    #[arg(long)]
    json: bool,
    /// Do not ask before something is changed.
    #[arg(long)]
    yes: bool,
    /// Make an existing EC2 resource a part of the cluster, for example `vpc=vpc-0123`; parts are in the plan's JSON.
    #[arg(long, value_name = "COMPONENT=ID", value_parser = pair)]
    adopt: Vec<(String, String)>,
    /// One more network from which nodes accept SSH, beside the spec's; the local cloud's operator has no other.
    #[arg(long, env = "FUTUSWARM_OPERATOR_NETWORK", value_name = "CIDR")]
    operator_network: Option<ipnet::Ipv4Net>,
    /// SSH public key for the nodes, instead of the spec's.
    #[arg(long, env = "FUTUSWARM_SSH_PUBLIC_KEY", value_name = "FILE")]
    ssh_public_key: Option<PathBuf>,
    /// Program of the command line to offer for download on the main page [default: what is offered stays].
    #[arg(long, value_name = "FILE")]
    cli: Option<PathBuf>,
    /// Do not wait for certificates and nodes.
    #[arg(long)]
    no_wait: bool,
    /// Wait for certificates, but not for nodes.
    #[arg(long)]
    no_wait_for_nodes: bool,
    /// How long to wait for the nodes, in seconds.
    #[arg(long, default_value_t = 900)]
    deadline: u64,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct Destroy {
    spec: PathBuf,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Say what would go and do nothing.
    #[arg(long)]
    plan: bool,
    #[arg(long)]
    json: bool,
    /// Delete the state bucket, the keys that open it, and the database without a last snapshot.
    #[arg(long)]
    delete_data: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(component, id)| !component.is_empty() && !id.is_empty());
    let (component, id) = pair.ok_or("expected a component and an id, such as vpc=vpc-0123")?;
    Ok((component.to_owned(), id.to_owned()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("FUTUSWARM_LOG").unwrap_or_else(|_| "warn".into());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| futuswarm_output::Log);
    log.with_ansi(futuswarm_output::colours()).without_time().init();
    // 2 stands for changes, so wrong usage, which is 2 with clap, is a failure like others.
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(usage) => {
            let _unprinted = futuswarm_output::end_if_reader_gone(usage.print());
            return if usage.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    let outcome = match arguments.verb {
        Verb::Check { spec } => load(&spec).map(|_| ExitCode::SUCCESS),
        Verb::Apply(apply) => run_apply(apply).await,
        Verb::Destroy(destroy) => run_destroy(destroy).await,
        Verb::User(UserVerb::Add { spec, name, key, admin, json }) => {
            add_user(&spec, &name, &key, admin, json).await.map(|()| ExitCode::SUCCESS)
        }
        Verb::Login(LoginVerb::Secret { spec, json }) => seal_secret(&spec, json).await.map(|()| ExitCode::SUCCESS),
        Verb::Status { spec, json, place } => run_status(&spec, json, place).await.map(|()| ExitCode::SUCCESS),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
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

/// What a plan with changes exits with, so that a script can tell it from one without and from a failure.
const CHANGES: u8 = 2;

fn listener(plans: bool) -> Listener {
    let progress = show::Progress::new(plans, |line| eprintln!("{line}"));
    Box::new(move |event| progress.show(event))
}

fn print_plan(report: &Report, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        println!("{}", serde_json::to_string_pretty(report)?);
    }
    eprint!("{}{}", show::plan(report), show::notes(report));
    Ok(if report.changes.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(CHANGES) })
}

/// Reads a line from the terminal.
fn ask(question: &str, without: &str) -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() {
        bail!("{without}");
    }
    eprint!("{question} ");
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed)?;
    Ok(typed.trim().to_owned())
}

/// Only a run that went on after a failure has changed something.
fn carry_on(error: Error, left: &str) -> anyhow::Error {
    let went_on = matches!(&error, Error::Run(run) if run.went_on());
    let what = if went_on {
        format!("{left}; fix this and run the command again, it carries on")
    } else {
        "nothing was changed".to_owned()
    };
    anyhow::Error::new(error).context(what)
}

/// A public key from its file.
fn read_key(path: &Path) -> anyhow::Result<String> {
    let key = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    match futuswarm_spec::ssh_key::check(&key) {
        Ok(()) => Ok(key),
        Err(needed) => bail!("{} cannot be used; {needed} is needed", path.display()),
    }
}

/// What was confirmed, if the account is still as it was when the plan was shown: a person takes minutes to read it. What
/// changes after this plan stops the run at the first change that was not shown.
fn still_so(shown: &Report, now: &Report) -> anyhow::Result<Confirmed> {
    let confirmed = Confirmed::of(shown);
    match confirmed.differences(now) {
        same if same.is_empty() => Ok(confirmed),
        lines => {
            Err(anyhow::Error::new(futuswarm_converge::Error::<Error>::Unconfirmed(lines))
                .context("nothing was changed"))
        }
    }
}

/// A run that changes something; with `--yes` nothing was shown that it could be held to.
fn changing(cluster: Cluster, overrides: Overrides, mode: Mode, confirmed: Option<Confirmed>) -> Run {
    let run = Run::new(cluster, overrides, mode, listener(false));
    match confirmed {
        Some(confirmed) => run.holding_to(confirmed),
        None => run,
    }
}

async fn run_apply(apply: Apply) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let mut spec = load(&apply.spec)?;
    spec.ssh.allowed_cidrs.extend(apply.operator_network);
    let ssh_public_key = apply.ssh_public_key.as_deref().map(read_key).transpose()?;
    let cli = apply.cli.as_deref().map(CliProgram::read).transpose()?.map(Arc::new);
    let overrides = Overrides {
        image: apply.image.clone(),
        ssh_public_key,
        cli,
        adopt: apply.adopt.iter().cloned().collect::<BTreeMap<_, _>>(),
        wait_for_certificates: !apply.no_wait,
    };
    eprintln!("{} the cluster {} in {}", if apply.plan { "planning" } else { "applying" }, spec.cluster, spec.region);
    let mut confirmed = None;
    if apply.plan || !apply.yes {
        let plan = async || {
            let (aws, cluster) = Aws::connect(spec.clone()).await?;
            let run = Run::new(cluster, overrides.clone(), Mode::Apply { plan: true }, listener(true));
            resources::apply(&aws, run).await
        };
        let report = plan().await?;
        let code = print_plan(&report, apply.plan && apply.json)?;
        if apply.plan {
            return Ok(code);
        }
        confirmed = Some(match report.changes.is_empty() {
            true => Confirmed::of(&report),
            false => {
                let without = "nothing was changed: there is no terminal to ask at; pass --yes";
                if !["y", "yes"].contains(&ask("apply these changes? [y/N]", without)?.as_str()) {
                    bail!("nothing was changed");
                }
                still_so(&report, &plan().await?)?
            }
        });
    }
    let (aws, cluster) = Aws::connect(spec).await?;
    let run = changing(cluster.clone(), overrides, Mode::Apply { plan: false }, confirmed);
    let report = resources::apply(&aws, run).await.map_err(|error| carry_on(error, "what was made so far stays"))?;
    eprintln!("{} change(s) made in {:.1} s", report.changes.len(), started.elapsed().as_secs_f64());
    eprint!("{}", show::notes(&report));
    let lacks = aws.login_lacks(&cluster).await.unwrap_or_else(|error| {
        eprintln!("note: whether the login has a client secret is not known: {error}");
        None
    });
    if apply.no_wait || apply.no_wait_for_nodes {
        if apply.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        }
    } else {
        let page = match &apply.place.url {
            _ if lacks.is_some() => Err("the page waits for the login's client secret"),
            Some(url) => Ok(url.clone()),
            // Only its own network reaches it.
            None if cluster.spec.load_balancer.internal => {
                Err("the load balancer is internal, so the page was not asked for")
            }
            None => status::page(&aws, &cluster).await?.ok_or("the page waits for the certificate"),
        };
        wait_and_show(&aws, &cluster, page, &apply, started).await?;
    }
    if let Some(lacks) = lacks {
        eprintln!("next: {lacks}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn wait_and_show(
    aws: &Aws,
    cluster: &Cluster,
    page: Result<String, &'static str>,
    apply: &Apply,
    started: Instant,
) -> anyhow::Result<()> {
    let bar = indicatif::ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let waiting = Instant::now();
    let mut last = String::new();
    let observed = wait::until_ready(
        aws,
        cluster,
        page.as_deref().ok(),
        Duration::from_secs(apply.deadline),
        |observed, answers, refused| {
            let mut line = show::summary(observed, answers);
            if let Some(refused) = refused {
                line = format!("{line}; {refused}");
            }
            bar.set_message(format!("{line} ({:.0} s)", waiting.elapsed().as_secs_f64()));
            // Where there is no terminal the bar shows nothing, so every change is a line.
            if bar.is_hidden() && line != last {
                eprintln!("  {:>4.0} s  {line}", waiting.elapsed().as_secs_f64());
            }
            last = line;
        },
    )
    .await;
    bar.finish_and_clear();
    let mut observed = observed?;
    apply.place.settle(aws, cluster, &mut observed).await;
    if apply.json {
        println!("{}", serde_json::to_string_pretty(&observed)?);
        return Ok(());
    }
    print!("{}{}", show::table(&observed), show::ssh_records(&observed));
    let (nodes, seconds) = (observed.nodes.len(), started.elapsed().as_secs_f64());
    match page {
        Ok(url) => println!("\n{url} answers; {nodes} nodes are Ready, {seconds:.0} s after the start"),
        Err(why) => println!("\n{nodes} nodes are Ready, {seconds:.0} s after the start; {why}"),
    }
    Ok(())
}

async fn add_user(spec: &Path, name: &str, key: &Path, admin: bool, json: bool) -> anyhow::Result<()> {
    let spec = load(spec)?;
    // Before AWS is asked: most mistakes are here.
    let wish = users::Wish::new(name, &read_text(key)?, admin).with_context(|| key.display().to_string())?;
    let (aws, cluster) = Aws::connect(spec).await?;
    let added = aws.add_user(&wish).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&added)?);
        return Ok(());
    }
    println!("{added}");
    eprintln!("they can log in to {} within half a minute: futuswarm login {name}@HOST", cluster.spec.cluster);
    Ok(())
}

async fn seal_secret(path: &Path, json: bool) -> anyhow::Result<()> {
    let spec = load(path)?;
    if spec.login.is_none() {
        bail!(
            "nothing was changed: {} has no [login], and so no client that has a secret: see docs/sso.md",
            path.display()
        );
    }
    // Before anybody types it.
    let (aws, cluster) = Aws::connect(spec).await?;
    let sealed = aws.seal_login_secret(&cluster, &login::read_secret()?).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&sealed)?);
        return Ok(());
    }
    println!("{sealed}");
    eprintln!("its nodes take it by themselves");
    Ok(())
}

/// A small text file; a mistaken path may be anything.
fn read_text(path: &Path) -> anyhow::Result<String> {
    use std::io::Read as _;
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut text = String::new();
    file.take(64 << 10).read_to_string(&mut text).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text)
}

async fn run_status(path: &Path, json: bool, place: Place) -> anyhow::Result<()> {
    let (aws, cluster) = Aws::connect(load(path)?).await?;
    let url = match &place.url {
        Some(url) => url.clone(),
        None => status::url(&aws, &cluster).await?,
    };
    let mut observed = status::observe(&aws, &cluster, &url).await?;
    place.settle(&aws, &cluster, &mut observed).await;
    if json {
        println!("{}", serde_json::to_string_pretty(&observed)?);
    } else {
        println!("{}  {}  ssh {}\n", observed.cluster, observed.url, observed.ssh);
        print!("{}{}", show::table(&observed), show::ssh_records(&observed));
    }
    Ok(())
}

async fn run_destroy(destroy: Destroy) -> anyhow::Result<ExitCode> {
    let spec = load(&destroy.spec)?;
    let name = spec.cluster.clone();
    let mode = |plan| Mode::Destroy { plan, delete_data: destroy.delete_data };
    let mut confirmed = None;
    if destroy.plan || !destroy.yes {
        eprintln!("this would go with the cluster {name} in {}:", spec.region);
        let plan = async || {
            let (aws, cluster) = Aws::connect(spec.clone()).await?;
            let run = Run::new(cluster, Overrides::default(), mode(true), listener(true));
            resources::destroy(&aws, &run).await
        };
        let report = plan().await?;
        let code = print_plan(&report, destroy.plan && destroy.json)?;
        if destroy.plan {
            return Ok(code);
        }
        if report.changes.is_empty() {
            eprintln!("there is nothing to delete");
            if destroy.json {
                println!("{}", serde_json::to_string_pretty(&report)?);
            }
            return Ok(ExitCode::SUCCESS);
        }
        if !destroy.delete_data {
            eprintln!(
                "the state bucket, its keys and a last snapshot of the database stay; pass --delete-data to delete them, too"
            );
        }
        let without = "nothing was deleted: there is no terminal to ask for the cluster's name at; pass --yes";
        let typed = ask("type the cluster's name to delete all of it:", without)?;
        if typed != name {
            bail!("nothing was deleted: {typed:?} is not the cluster's name");
        }
        confirmed = Some(still_so(&report, &plan().await?)?);
    }
    let (aws, cluster) = Aws::connect(spec).await?;
    let run = changing(cluster, Overrides::default(), mode(false), confirmed);
    let report = resources::destroy(&aws, &run).await.map_err(|error| carry_on(error, "what is left stays"))?;
    eprintln!("{} change(s) made", report.changes.len());
    eprint!("{}", show::notes(&report));
    if destroy.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    Ok(ExitCode::SUCCESS)
}
