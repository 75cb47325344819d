//! The command line of app developers. It spawns the user's own `ssh` and speaks `futuswarm-rpc` over it; it knows no AWS and no Docker
//! client, and works without an asynchronous runtime, so that it starts in milliseconds.

pub mod archive;
mod arguments;
mod command;
mod connection;
mod engine;
mod failure;
mod home;
mod output;
mod reference;
mod suggest;
mod terminal;
mod text;

use std::ffi::OsString;

use futuswarm_output::eprintln;

use arguments::canonical::{self, Canonical};

/// Runs the program with its arguments, the name it was called by first, and returns its exit code (`docs/cli.md`).
pub fn run(argv: impl Iterator<Item = OsString>) -> u8 {
    let arguments = match canonical::canonical(argv.collect()) {
        Canonical::Argv(argv) => match arguments::parse(argv) {
            Ok(arguments) => arguments,
            Err(code) => return code,
        },
        Canonical::Topic { name, help } => return arguments::print_topic(&name, help),
    };
    match command::run(arguments) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {}", failure.message);
            failure.code.number()
        }
    }
}
