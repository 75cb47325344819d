//! What a later step needs from elsewhere, brought while the programs are compiled, which takes minutes the first time.

use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use futuswarm_output::eprintln;
use futuswarm_tools::emulator;

use crate::cargo::Workspace;

/// Work that goes on beside ours and says nothing. What fails stops nobody: the step that needs its result does the same again, and
/// says what is wrong.
pub struct Ahead(Vec<(&'static str, Work)>);

enum Work {
    Program(Child),
    Thread(JoinHandle<()>),
}

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
    pub fn of_local_cloud() -> Self {
        let mut ahead = Self(Vec::new());
        ahead.start_thread("the AWS emulator", || {
            let _tried_again_by_the_local_cloud = futuswarm_paths::cache_dir().map(|cache| emulator::ensure(&cache));
        });
        ahead
    }

    fn start(&mut self, what: &'static str, command: &mut Command) {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.0.extend(child.ok().map(|child| (what, Work::Program(child))));
    }

    fn start_thread(&mut self, what: &'static str, work: impl FnOnce() + Send + 'static) {
        self.0.push((what, Work::Thread(std::thread::spawn(work))));
    }
}

impl Drop for Ahead {
    /// Waits for the end of all: two that do the same would be in each other's way.
    fn drop(&mut self) {
        for (what, mut work) in self.0.drain(..) {
            let is_unfinished = match &mut work {
                Work::Program(child) => child.try_wait().is_ok_and(|ended| ended.is_none()),
                Work::Thread(thread) => !thread.is_finished(),
            };
            if is_unfinished {
                eprintln!("waiting for {what}");
            }
            let _tried_again_by_whoever_needs_it = match work {
                Work::Program(mut child) => child.wait().is_ok(),
                Work::Thread(thread) => thread.join().is_ok(),
            };
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
        let path = folder.join("written");
        ahead.start_thread("slow work", move || {
            std::thread::sleep(std::time::Duration::from_millis(300));
            std::fs::write(path, "").unwrap();
        });
        assert_eq!(ahead.0.len(), 3);
        drop(ahead);
        assert!(folder.join("done").exists() && folder.join("written").exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
