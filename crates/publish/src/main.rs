//! `futuswarm-publish`: the command line behind `cargo xtask publish` and `cargo xtask image`.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;
use futuswarm_output::eprintln;
use futuswarm_publish::cleanup::CleanupList;
use tokio::signal::unix::{SignalKind, signal};

// Two threads: one reads and hashes while the other sends.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("FUTUSWARM_LOG").unwrap_or_else(|_| "error".into());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| futuswarm_output::Log)
        .with_ansi(futuswarm_output::colours());
    log.without_time().init();
    // With 1, as every other mistake: 2 says elsewhere that a plan has changes.
    let arguments = match cli::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(usage) => {
            let _unprinted = futuswarm_output::end_if_reader_gone(usage.print());
            return if usage.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    let cleanup = CleanupList::default();
    let outcome = tokio::select! {
        outcome = cli::run(arguments, &cleanup) => outcome,
        signal = interrupted() => Err(anyhow::anyhow!("stopped by {signal}")),
    };
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    eprintln!("error: {error:#}");
    clear(&cleanup).await;
    ExitCode::FAILURE
}

/// Clears away what a run has left that did not come to its good end. That may take a minute, which not everybody has.
async fn clear(cleanup: &CleanupList) {
    let ids = cleanup.ids();
    if ids.is_empty() {
        return;
    }
    eprintln!("clearing away: {}", ids.join(", "));
    let cleared = tokio::select! {
        cleared = cleanup.clear() => cleared,
        signal = interrupted() => {
            eprintln!("stopped by {signal} again; left behind, the next run clears it up: {}", cleanup.ids().join(", "));
            return;
        }
    };
    if !cleared.gone.is_empty() {
        eprintln!("cleared away: {}", cleared.gone.join(", "));
    }
    for id in cleared.kept {
        eprintln!("kept {id}: it was registered, an image has it; repeat, and the run carries on with that");
    }
    for resource in cleared.left {
        eprintln!("left behind, delete it by hand: {resource}");
    }
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
