//! Programs that ask a person: what they say before they ask, what happens while the person thinks, and the answer.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use crate::Account;

/// How a program ended that asked somebody.
#[derive(Debug)]
pub struct Talk {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its standard error, before and after the answer.
    pub text: String,
}

impl Account {
    /// Runs the provisioning program at a terminal. When it asks `question`, `meanwhile` is called, and `answer` is typed.
    ///
    /// # Panics
    /// When it does not run, or ends without having asked.
    pub fn provision_asked(&self, words: &[&str], question: &str, meanwhile: impl FnOnce(), answer: &str) -> Talk {
        let program = self.provision(words);
        let mut command = Command::new(&self.cloud().python);
        command.arg(self.cluster().root().join("e2e/at_a_terminal.py")).arg(program.get_program());
        command.args(program.get_args());
        for (key, value) in program.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("Python runs");
        let mut said = process.stderr.take().expect("its standard error");
        let (mut heard, mut some) = (Vec::new(), [0; 4096]);
        while !String::from_utf8_lossy(&heard).contains(question) {
            let length = said.read(&mut some).expect("its standard error");
            assert!(length > 0, "it ended without asking {question:?}: {}", String::from_utf8_lossy(&heard));
            heard.extend(&some[..length]);
        }
        meanwhile();
        let mut typed = process.stdin.take().expect("its terminal");
        typed.write_all(format!("{answer}\n").as_bytes()).expect("it reads");
        said.read_to_end(&mut heard).expect("its standard error");
        let code = process.wait().expect("its end").code();
        drop(typed);
        Talk { code, text: String::from_utf8_lossy(&heard).into_owned() }
    }
}
