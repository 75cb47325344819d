//! What a later step needs from elsewhere, brought while the programs are compiled, which takes minutes the first time.

use std::process::{Child, Command, Stdio};

use futuswarm_output::eprintln;

use crate::cargo::Workspace;

/// Programs that run beside us and say nothing. One that fails stops nobody: the step that needs its result does the same again,
/// and says what is wrong.
pub struct Ahead(Vec<(&'static str, Child)>);

impl Ahead {
    /// Begins to fetch tools and packages and to build the static programs of an image that will be baked; does nothing when
    /// the programs are compiled already, because then there is nothing to wait for.
    ///
    /// # Errors
    /// When the program that fetches cannot be compiled.
    pub fn of_first_bake(workspace: &Workspace) -> anyhow::Result<Self> {
        let mut ahead = Self(Vec::new());
        if workspace.is_compiled() {
            return Ok(ahead);
        }
        workspace.build(&["futuswarm-bake"])?;
        ahead.start(
            "tools and packages of the image",
            workspace.command("futuswarm-bake").args(["--supplies-only", "--allow-newer"]),
        );
        // A third compiler wants memory, too.
        if !workspace.is_short_of_memory() {
            ahead.start("the static programs", &mut workspace.static_build());
        }
        Ok(ahead)
    }

    /// Begins to install the AWS emulator, if it is not there.
    pub fn of_local_cloud(workspace: &Workspace) -> Self {
        let mut ahead = Self(Vec::new());
        ahead.start("the AWS emulator", workspace.command("futuswarm-local").arg("install"));
        ahead
    }

    fn start(&mut self, what: &'static str, command: &mut Command) {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.0.extend(child.ok().map(|child| (what, child)));
    }
}

impl Drop for Ahead {
    /// Waits for the end of all: two that do the same would be in each other's way.
    fn drop(&mut self) {
        for (what, child) in &mut self.0 {
            if child.try_wait().is_ok_and(|ended| ended.is_none()) {
                eprintln!("waiting for {what}");
            }
            let _tried_again_by_whoever_needs_it = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_has_ended_afterwards_and_its_failure_is_nobody_elses() {
        let folder = std::env::temp_dir().join(format!("futuswarm-ahead.{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut ahead = Ahead(Vec::new());
        ahead.start("a program that fails", &mut Command::new("false"));
        ahead.start("a program that is not there", &mut Command::new("/nowhere/at-all"));
        let mut slow = Command::new("sh");
        ahead.start("a slow program", slow.args(["-c", "sleep 0.3; echo > done"]).current_dir(&folder));
        assert_eq!(ahead.0.len(), 2);
        drop(ahead);
        assert!(folder.join("done").exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
