//! An emulated account for measures that need no machines.

use std::path::{Path, PathBuf};

use futuswarm_local_api::faults::Progress;
use futuswarm_output::eprintln;
use serde_json::{Value, json};

use crate::cargo::Workspace;
use crate::process;
use crate::verbs::deploy;

/// The User-Agent's mark of the program that is measured.
const AGENT: &str = "measured";

/// An emulated account of its own, without machines, that ends with this.
pub(super) struct Account<'a> {
    workspace: &'a Workspace,
    spec: PathBuf,
}

impl<'a> Account<'a> {
    /// Starts the account of the spec `e2e/specs/<name>.toml`; `extent` says what is behind its API.
    pub(super) fn start(workspace: &'a Workspace, name: &str, extent: &str) -> anyhow::Result<Self> {
        workspace.build(&["futuswarm-local", "futuswarm-publish", "futuswarm-provision"])?;
        let account = Self { workspace, spec: workspace.root.join(format!("e2e/specs/{name}.toml")) };
        account.local(&["down"])?;
        account.local(&["up", extent])?;
        Ok(account)
    }

    fn local(&self, words: &[&str]) -> anyhow::Result<()> {
        process::run(self.workspace.command("futuswarm-local").args(words).arg("--spec").arg(&self.spec))
    }

    /// Publishes the image in a folder; returns what is known of it then.
    pub(super) fn publish(&self, image: &Path, options: &[&str]) -> anyhow::Result<Value> {
        let mut command = deploy::in_local_cloud(self.workspace, &self.spec, "futuswarm-publish")?;
        command.args(["publish", "--rehearsal", "--json", "--image"]).arg(image).args(options);
        let published: Value = serde_json::from_str(&process::capture(&mut command)?)?;
        Ok(published["images"][0].clone())
    }

    /// The provisioning program with these words, the spec, and its mark.
    pub(super) fn provision(&self, words: &[&str]) -> anyhow::Result<std::process::Command> {
        let mut command = self.measured("futuswarm-provision", words)?;
        command.arg(&self.spec);
        Ok(command)
    }

    /// A program with these words, pointed at the account, with its mark.
    pub(super) fn measured(&self, program: &str, words: &[&str]) -> anyhow::Result<std::process::Command> {
        let mut command = deploy::in_local_cloud(self.workspace, &self.spec, program)?;
        command.args(words).env("AWS_SDK_UA_APP_ID", AGENT);
        Ok(command)
    }

    /// Counts the calls of the measured program from now on.
    pub(super) fn count(&self) -> anyhow::Result<()> {
        let nothing = json!({ "fault": { "kind": "internal" }, "agent": AGENT, "count": 0 }).to_string();
        self.faults(Some(&nothing)).map(|_| ())
    }

    /// How many there were.
    pub(super) fn counted(&self) -> anyhow::Result<u32> {
        Ok(self.faults(None)?.all.seen)
    }

    fn faults(&self, faults: Option<&str>) -> anyhow::Result<Progress> {
        let mut command = self.workspace.command("futuswarm-local");
        command.arg("api-faults").arg("--spec").arg(&self.spec).args(faults);
        Ok(serde_json::from_str(&process::capture(&mut command)?)?)
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.local(&["down"]) {
            eprintln!("the emulated account of the benchmark stays behind: {error:#}");
        }
    }
}
