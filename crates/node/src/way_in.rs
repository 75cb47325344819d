//! The two sub-commands that sshd runs, without privileges and at each login.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use futuswarm_node_files::{CONTROL_SOCKET, LOGINS, Logins};
use futuswarm_output::{eprintln, println};
use futuswarm_session::{SessionError, UNAVAILABLE, caller, line, relay};

/// Prints the line that lets a key in, or nothing. A failure is no exit code: sshd logs what is on standard error, and the next key
/// of the client is asked after as if nothing had been.
pub fn authorized_keys(kind: &str, key: &str) -> ExitCode {
    match Logins::read(Path::new(LOGINS)) {
        Ok(logins) => match line(&logins, kind, key, futuswarm_model::unix_millis()) {
            Ok(Some(line)) => println!("{line}"),
            Ok(None) => {}
            Err(refusal) => eprintln!("refused: {refusal}"),
        },
        Err(error) => eprintln!("nobody can log in: {error}"),
    }
    ExitCode::SUCCESS
}

/// Passes the client on, and ends with the connection.
pub fn session(user: Option<&str>, token: Option<&str>, key: &str) -> ExitCode {
    let connection = std::env::var("SSH_CONNECTION").ok();
    let relayed = caller(user, token, key, connection.as_deref()).and_then(|caller| {
        // Not the locked and buffered streams of the standard library: what is said must not wait for a line's end.
        let input = stream(&std::io::stdin())?;
        let output = stream(&std::io::stdout())?;
        relay(&caller, Path::new(CONTROL_SOCKET), input, output)
    });
    match relayed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(UNAVAILABLE)
        }
    }
}

fn stream(standard: &impl AsFd) -> Result<File, SessionError> {
    let owned = standard.as_fd().try_clone_to_owned();
    owned.map(File::from).map_err(|error| SessionError::Arguments(format!("sshd gave no open stream: {error}")))
}
