//! Looking after a cluster: status, ssh, console, chaos, doctor.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};

use crate::cargo::Workspace;
use crate::process;
use crate::verbs::{Target, deploy};

/// Show a cluster's nodes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask status --local
  cargo xtask status --local --json | jq '.nodes[] | select(.ready)'")]
pub struct Status {
    /// Cluster spec.
    #[arg(value_name = "SPEC")]
    positional: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Status {
    /// Asks `futuswarm-provision`, which reads AWS and the bucket and no node.
    pub fn run(self) -> anyhow::Result<()> {
        let workspace = self.target.begin()?;
        let spec = self.target.spec(&workspace, self.positional.as_ref())?;
        workspace.build(&["futuswarm-provision", "futuswarm-local"])?;
        let mut command = match self.target.local {
            true => deploy::local_provision(&workspace, &spec)?,
            false => workspace.command("futuswarm-provision"),
        };
        process::run(command.arg("status").arg(&spec).args(self.json.then_some("--json")))
    }
}

/// Open a shell on a node, or run a command there.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask ssh i-0123 --local                  the beginning of an instance id is enough
  cargo xtask ssh 10.42.0.5 --local -- sudo docker node ls")]
pub struct Ssh {
    /// Instance id, its beginning, address, or Swarm node id.
    node: String,
    #[command(flatten)]
    target: Target,
    /// Command to run instead of a shell.
    #[arg(last = true)]
    command: Vec<String>,
}

impl Ssh {
    /// Hands over to `futuswarm-local`, which has the machines' key; nodes on AWS are none of its.
    pub fn run(self) -> anyhow::Result<()> {
        let mut command = local(&self.target, "ssh")?;
        process::run(command.arg(instance_of(&self.target, &self.node)?).arg("--").args(&self.command))
    }
}

/// Show a node's serial console.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask console i-0123 --local
  cargo xtask console i-0123 --local --follow")]
pub struct Console {
    /// Instance id, its beginning, address, or Swarm node id.
    node: String,
    #[command(flatten)]
    target: Target,
    /// Go on printing until interrupted.
    #[arg(long, short)]
    follow: bool,
}

impl Console {
    /// Hands over to `futuswarm-local`, which has the machines' serial consoles.
    pub fn run(self) -> anyhow::Result<()> {
        let mut command = local(&self.target, "console")?;
        process::run(command.arg(instance_of(&self.target, &self.node)?).args(self.follow.then_some("--follow")))
    }
}

/// Break something on purpose.
#[derive(Debug, Subcommand)]
pub enum Chaos {
    /// End a node's virtual machine as a power cut would.
    Kill {
        /// Instance id, its beginning, address, or Swarm node id.
        node: String,
        #[command(flatten)]
        target: Target,
    },
}

impl Chaos {
    /// Ends the machine without a signal to its guest; it is for the local cloud only.
    pub fn run(self) -> anyhow::Result<()> {
        let Self::Kill { node, target } = self;
        process::run(local(&target, "kill")?.arg(instance_of(&target, &node)?))
    }
}

/// Check this machine and the local cloud.
#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    target: Target,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Looks only, and mends nothing; exits with another code than 0 when something is wrong.
    pub fn run(self) -> anyhow::Result<()> {
        process::run(local(&self.target, "doctor")?.args(self.json.then_some("--json")))
    }
}

/// The instance behind a Swarm node id; anything else is returned as it is.
fn instance_of(target: &Target, node: &str) -> anyhow::Result<String> {
    // Swarm's ids are 25 lower-case letters and digits; the local cloud's program knows instances only.
    if node.len() != 25 || !node.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        return Ok(node.to_owned());
    }
    let workspace = Workspace::find()?;
    let spec = target.spec(&workspace, None)?;
    workspace.build(&["futuswarm-provision", "futuswarm-local"])?;
    let mut status = deploy::local_provision(&workspace, &spec)?;
    let status = process::capture(status.args(["status", "--json"]).arg(&spec))?;
    let status: serde_json::Value = serde_json::from_str(&status)?;
    let entry = status["nodes"].as_array().into_iter().flatten().find(|entry| entry["node"] == node);
    Ok(entry.and_then(|entry| entry["instance"].as_str()).unwrap_or(node).to_owned())
}

/// The local cloud's program with a verb and the spec.
fn local(target: &Target, verb: &str) -> anyhow::Result<std::process::Command> {
    if !target.local {
        bail!("`{verb}` knows only the local cloud so far: add --local");
    }
    // `doctor` is for whoever lacks something: it says so itself, with everything else.
    let workspace = if verb == "doctor" { Workspace::find()? } else { target.begin()? };
    let spec = target.spec(&workspace, None)?;
    workspace.build(&["futuswarm-local"])?;
    let mut command = workspace.command("futuswarm-local");
    command.arg(verb).arg("--spec").arg(spec);
    Ok(command)
}
