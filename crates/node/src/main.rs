//! `futuswarm-node`: the one binary of the node image. Its sub-commands share one copy of the AWS SDK.

mod edge;

use clap::{Parser, Subcommand};
use futuswarm_agent::Options;
use futuswarm_node_files::Files;
use tracing_subscriber::EnvFilter;

use edge::NodeEdge;

/// What runs on a node.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Find out who this node is, initialise or join the Swarm, and keep its share of the cluster right.
    Agent {
        /// A path, without `unix://`.
        #[arg(long, env = "DOCKER_SOCKET", default_value = "/run/docker.sock")]
        docker_socket: String,
    },
    /// Write what the engine must know of the cluster before it starts; `docker.service` runs it.
    EngineConfig,
}

/// The SDK repeats in its own words what the agent says once.
const LOG: &str = "info,aws_config=error,aws_smithy_runtime=error";

// One thread: the agent waits for others almost all of its life, and each worker thread would cost memory.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::try_parse().unwrap_or_else(|usage| {
        let _unprinted = futuswarm_output::end_if_reader_gone(usage.print());
        std::process::exit(usage.exit_code());
    });
    let filter = EnvFilter::try_from_env("FUTUSWARM_LOG").unwrap_or_else(|_| EnvFilter::new(LOG));
    // The journal adds the time; the serial console shows the kernel's own.
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // The journal may be away for a moment; the agent goes on, and a failure to log must not become a panic.
        .log_internal_errors(false)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .init();
    match arguments.command {
        Command::Agent { docker_socket } => {
            let files = Files::default();
            let options = Options { docker_socket, files: files.clone() };
            futuswarm_agent::run(options, |engine, store| NodeEdge::new(engine, store, files)).await?;
        }
        Command::EngineConfig => futuswarm_agent::engine_config::prepare().await?,
    }
    Ok(())
}
