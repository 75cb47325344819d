//! `cargo xtask deploy-cluster` and `destroy-cluster`: the same provisioning program for AWS and for the local cloud.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use futuswarm_image_format::ImageFolder;
use futuswarm_local_api::CloudInfo;
use futuswarm_output::{eprintln, println};

use crate::ahead::Ahead;
use crate::cargo::Workspace;
use crate::verbs::Target;
use crate::{host, process, verbs};

/// Create or update a cluster.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask deploy-cluster --local                    prepare this machine, bake, start the local cloud, deploy
  cargo xtask deploy-cluster --local clusters/local-three.toml
  cargo xtask deploy-cluster prod.toml --plan           on AWS: what would be made or changed, and how
  cargo xtask deploy-cluster prod.toml                  show the plan, ask, and do it, with the promoted image
  cargo xtask deploy-cluster prod.toml --cli            also offer the developers' command line on the main page
  cargo xtask deploy-cluster prod.toml --adopt vpc=vpc-0123456789abcdef0     use a VPC that is there")]
pub struct Deploy {
    /// Cluster spec.
    #[arg(value_name = "SPEC")]
    positional: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
    /// Do not install missing packages; print them and stop.
    #[arg(long)]
    no_install: bool,
    /// Show what would be done and do nothing; exits with 2 when there is something to do, with 0 when there is not. With
    /// --local the image is baked and published and the local cloud started all the same: a plan needs both.
    #[arg(long)]
    plan: bool,
    /// Do not ask before something is changed; the local cloud never asks.
    #[arg(long)]
    yes: bool,
    /// Image name [default: the image that was promoted last; with --local: baked from this clone, and published]. With --local an
    /// image that the running local cloud has; none is baked then.
    #[arg(long, value_name = "NAME")]
    image: Option<String>,
    /// Make an existing EC2 resource a part of the cluster; parts are in `--plan --json`.
    #[arg(long, value_name = "COMPONENT=ID")]
    adopt: Vec<String>,
    /// Build the developers' command line and offer it for download on the main page [default: offer it when it was built here before,
    /// with `cargo xtask cli` or this; what is offered already stays].
    #[arg(long)]
    cli: bool,
    /// Do not wait for certificates and nodes.
    #[arg(long)]
    no_wait: bool,
    /// Print the result as JSON on standard output.
    #[arg(long)]
    json: bool,
}

impl Deploy {
    /// Builds, bakes, publishes and provisions, each only where something is new; with `--local` in the local cloud.
    pub fn run(self) -> anyhow::Result<()> {
        let started = Instant::now();
        let workspace = self.target.begin()?;
        let spec = self.target.spec(&workspace, self.positional.as_ref())?;
        if !self.target.local {
            workspace.build(&["futuswarm-provision"])?;
            let mut apply = workspace.command("futuswarm-provision");
            apply.arg("apply").arg(&spec);
            apply.args(self.image.iter().flat_map(|image| ["--image", image]));
            apply.args(self.yes.then_some("--yes"));
            self.offer_cli(&workspace, &mut apply)?;
            return process::run(self.options(&mut apply));
        }
        workspace.announce()?;
        host::prepare(!self.no_install)?;
        let emulator = Ahead::of_local_cloud();
        // Whoever names an image bakes none.
        let ahead = self.image.is_none().then(|| Ahead::of_first_bake(&workspace)).transpose()?;
        workspace.build(&[
            "futuswarm-bake",
            "futuswarm-node",
            "futuswarm-provision",
            "futuswarm-local",
            "futuswarm-publish",
        ])?;
        process::run(workspace.command("futuswarm-provision").arg("check").arg(&spec))?;
        process::run(workspace.command("futuswarm-local").args(["doctor", "--before-start"]).arg("--spec").arg(&spec))?;

        drop(ahead);
        let baked = match self.image {
            Some(_) => None,
            None => Some(baked(&workspace)?),
        };
        drop(emulator);
        process::run(workspace.command("futuswarm-local").arg("up").arg("--spec").arg(&spec))?;
        if let Some((folder, _)) = &baked {
            let mut publish = in_local_cloud(&workspace, &spec, "futuswarm-publish")?;
            process::run(publish.args(["publish", "--rehearsal", "--image"]).arg(folder))?;
        }
        let name = self.image.clone().or(baked.map(|(_, name)| name)).context("an image")?;
        let mut apply = local_provision(&workspace, &spec)?;
        apply.arg("apply").arg(&spec).args(["--image", &name, "--yes"]);
        self.offer_cli(&workspace, &mut apply)?;
        process::run(self.options(&mut apply))?;
        if !self.plan {
            eprintln!("from the command to here: {:.0} s", started.elapsed().as_secs_f64());
        }
        Ok(())
    }
}

/// Bakes from the clone; returns the image's folder and name.
fn baked(workspace: &Workspace) -> anyhow::Result<(PathBuf, String)> {
    verbs::bake::bake(workspace, &["--allow-newer".into()])?;
    let image = workspace.root.join("target/images/latest");
    let name = ImageFolder::new(&image).manifest()?.name;
    Ok((image, name))
}

impl Deploy {
    /// Takes the command line along, if there is one.
    fn offer_cli(&self, workspace: &Workspace, apply: &mut std::process::Command) -> anyhow::Result<()> {
        match verbs::cli::to_offer(workspace, self.cli)? {
            Some(program) => {
                apply.arg("--cli").arg(program);
            }
            None => eprintln!("the main page gets no command line to download: --cli builds it and takes it along"),
        }
        Ok(())
    }

    /// What is the same on AWS and in the local cloud.
    fn options<'a>(&self, apply: &'a mut std::process::Command) -> &'a mut std::process::Command {
        apply.args(self.adopt.iter().flat_map(|pair| ["--adopt", pair]));
        apply.args(self.plan.then_some("--plan")).args(self.json.then_some("--json"));
        apply.args(self.no_wait.then_some("--no-wait"))
    }
}

/// The provisioning program, pointed at the local cloud.
pub fn local_provision(workspace: &Workspace, spec: &Path) -> anyhow::Result<std::process::Command> {
    in_local_cloud(workspace, spec, "futuswarm-provision")
}

/// A program, pointed at the local cloud.
pub fn in_local_cloud(workspace: &Workspace, spec: &Path, program: &str) -> anyhow::Result<std::process::Command> {
    let cloud = process::capture(workspace.command("futuswarm-local").args(["cloud", "--spec"]).arg(spec))?;
    let cloud: CloudInfo = serde_json::from_str(&cloud).context("the local cloud's description of itself")?;
    let mut command = workspace.command(program);
    // The operator's own profile, session or endpoint would be stronger than some of what follows; the mark is no setting.
    for (key, _) in std::env::vars_os() {
        let name = key.to_string_lossy();
        if name.starts_with("AWS_") && name != "AWS_SDK_UA_APP_ID" {
            command.env_remove(&key);
        }
    }
    command.envs(cloud.environment);
    command.env("FUTUSWARM_LOCAL_CLOUD", cloud.cluster).env("FUTUSWARM_OPERATOR_NETWORK", cloud.operator_network);
    command.env("FUTUSWARM_SSH", cloud.ssh);
    command.env("FUTUSWARM_URL", cloud.url).env("FUTUSWARM_SSH_PUBLIC_KEY", cloud.ssh_public_key);
    Ok(command)
}

/// Delete a cluster.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask destroy-cluster --local
  cargo xtask destroy-cluster clusters/example.toml --yes")]
pub struct Destroy {
    /// Cluster spec.
    #[arg(value_name = "SPEC")]
    positional: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
    /// Do not ask for the cluster's name; the local cloud never asks.
    #[arg(long)]
    yes: bool,
    /// Say what would go and do nothing; exits with 2 when there is something, with 0 when there is not.
    #[arg(long)]
    plan: bool,
    /// Print what went, or would go, as JSON on standard output.
    #[arg(long)]
    json: bool,
    /// Delete the state bucket, its keys and the database's last snapshot, too; in the local cloud they always go.
    #[arg(long)]
    delete_data: bool,
}

impl Destroy {
    /// Deletes what `deploy-cluster` has made; what holds data stays unless it is asked for.
    pub fn run(self) -> anyhow::Result<()> {
        let workspace = self.target.begin()?;
        let spec = self.target.spec(&workspace, self.positional.as_ref())?;
        if self.target.local {
            workspace.build(&["futuswarm-local", "futuswarm-provision"])?;
            let running = workspace.command("futuswarm-local").args(["cloud", "--spec"]).arg(&spec).output()?;
            if running.status.success() {
                // The same deletion as on AWS, so that it is rehearsed, too; what it misses goes with the emulator.
                let mut destroy = local_provision(&workspace, &spec)?;
                destroy.arg("destroy").arg(&spec).args(["--yes", "--delete-data"]).args(self.json.then_some("--json"));
                if self.plan {
                    return process::run(destroy.arg("--plan"));
                }
                if process::run(&mut destroy).is_err() {
                    eprintln!(
                        "not everything could be deleted one by one; ending the local cloud, which deletes it all"
                    );
                }
            } else if self.plan {
                // Whatever a cloud that does not run has left, a plan leaves it there, too.
                let why = String::from_utf8_lossy(&running.stderr).into_owned();
                anyhow::ensure!(why.contains("is not running"), "{}", why.trim().trim_start_matches("error: "));
                eprintln!("no local cloud runs, so there is no cluster that could be destroyed");
                if self.json {
                    println!("{}", serde_json::json!({ "changes": [], "notes": [] }));
                }
                return Ok(());
            }
            return process::run(workspace.command("futuswarm-local").arg("down").arg("--spec").arg(&spec));
        }
        workspace.build(&["futuswarm-provision"])?;
        let mut destroy = workspace.command("futuswarm-provision");
        destroy.arg("destroy").arg(&spec).args(self.yes.then_some("--yes"));
        destroy.args(self.plan.then_some("--plan")).args(self.json.then_some("--json"));
        process::run(destroy.args(self.delete_data.then_some("--delete-data")))
    }
}
