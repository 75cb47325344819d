//! `futuswarm-publish`: the command line behind `cargo xtask publish` and `cargo xtask image`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is publishing's one printer: data on stdout, talk on stderr"
)]

mod cli;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

// Two threads: one reads and hashes while the other sends.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> std::process::ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("FUTUSWARM_LOG").unwrap_or_else(|_| "error".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
    let debris = futuswarm_publish::debris::Debris::default();
    let outcome = tokio::select! {
        outcome = cli::run(cli::Arguments::parse(), &debris) => outcome,
        signal = interrupted() => Err(anyhow::anyhow!("stopped by {signal}")),
    };
    let Err(error) = outcome else { return std::process::ExitCode::SUCCESS };
    eprintln!("error: {error:#}");
    let (cleared, left) = debris.clear().await;
    if !cleared.is_empty() {
        eprintln!("cleared away: {}", cleared.join(", "));
    }
    for thing in left {
        eprintln!("left behind, delete it by hand: {thing}");
    }
    std::process::ExitCode::FAILURE
}

/// Ends when somebody wants the program to end.
async fn interrupted() -> &'static str {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => "Ctrl-C",
        _ = terminate.recv() => "SIGTERM",
    }
}
