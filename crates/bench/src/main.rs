//! `futuswarm-bench`: what `cargo xtask bench` measures of the control service and its documents, and of the edge. Each measure prints one
//! JSON document.

mod apps;
mod cluster;
mod config;
mod edge;
mod image;
mod push;
mod requests;
mod simulated;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use futuswarm_output::{eprintln, println};
use serde::Serialize;

#[derive(Debug, Parser)]
#[command(name = "futuswarm-bench")]
struct Arguments {
    #[command(subcommand)]
    measure: Measure,
}

#[derive(Debug, Subcommand)]
enum Measure {
    /// A config in S3 and KMS, as the environment says where these are.
    #[command(subcommand)]
    Config(config::Config),
    /// A request, from its first byte to the last of its answer, over documents in memory.
    Dispatch {
        /// So many requests, one after the other.
        #[arg(long, default_value_t = 2000)]
        requests: u32,
    },
    /// The list of apps, over a simulated S3 that takes its time.
    List {
        /// So many apps.
        #[arg(long, default_value_t = 1000)]
        apps: u32,
        /// So many releases of each.
        #[arg(long, default_value_t = 5)]
        releases: u64,
        /// So long each request to S3 takes.
        #[arg(long, default_value_t = 20)]
        milliseconds: u64,
    },
    /// A push of an image of which one layer has changed, by the real command line over a relay that counts.
    Push {
        /// The program `futuswarm`.
        #[arg(long)]
        cli: PathBuf,
        /// MiB of the layer that stays.
        #[arg(long, default_value_t = 40)]
        base: usize,
        /// MiB of the layer that changes.
        #[arg(long, default_value_t = 8)]
        layer: usize,
    },
    /// What stands in the place of `ssh` for a push: passes its input on to the control service, and counts.
    #[command(hide = true)]
    Relay {
        #[arg(long)]
        socket: PathBuf,
        /// A folder; the counts of each connection go into a file of its own.
        #[arg(long)]
        counts: PathBuf,
        /// What `ssh` would be called with.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        _arguments: Vec<std::ffi::OsString>,
    },
    /// HAProxy with the edge's configuration, against HAProxy with one that is written by hand.
    #[command(subcommand)]
    Edge(edge::Edge),
    /// Writes documents of apps into a cluster's bucket.
    Apps(apps::Apps),
    /// Writes an archive of an image with one static program, which is asked for its own health.
    Image(image::Image),
}

fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|usage| {
        let _unprinted = futuswarm_output::end_if_reader_gone(usage.print());
        std::process::exit(usage.exit_code());
    });
    match run(arguments.measure) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(measure: Measure) -> anyhow::Result<()> {
    // One thread, as on a node.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match measure {
        Measure::Config(config) => print(&runtime.block_on(config.run())?),
        Measure::Dispatch { requests } => print(&runtime.block_on(requests::dispatch(requests))?),
        Measure::List { apps, releases, milliseconds } => {
            print(&runtime.block_on(requests::list(apps, releases, milliseconds))?)
        }
        Measure::Push { cli, base, layer } => print(&push::push(&cli, base << 20, layer << 20)?),
        Measure::Relay { socket, counts, .. } => push::relay(&socket, &counts),
        Measure::Edge(edge) => print(&runtime.block_on(edge.run())?),
        Measure::Apps(apps) => print(&runtime.block_on(apps.run())?),
        Measure::Image(image) => image.run(),
    }
}

fn print(figures: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(figures)?);
    Ok(())
}
