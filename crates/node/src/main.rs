//! `futuswarm-node`: the one binary of the node image. Its sub-commands share one copy of the AWS SDK.

mod edge;
mod server;
mod way_in;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use futuswarm_agent::Options;
use futuswarm_edge_agent::Cluster;
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
    /// Answer the command line's requests and drive releases; on managers.
    Server {
        /// A path, without `unix://`.
        #[arg(long, env = "DOCKER_SOCKET", default_value = "/run/docker.sock")]
        docker_socket: String,
    },
    /// Write what the engine must know of the cluster before it starts; `docker.service` runs it.
    EngineConfig,
    /// Say which line of authorized_keys lets a key in; sshd's AuthorizedKeysCommand.
    AuthorizedKeys {
        /// sshd's %t, for example ssh-ed25519.
        kind: String,
        /// sshd's %k, the key in base64.
        key: String,
    },
    /// Pass a client on to the control service; the forced command of its key.
    Session {
        /// The person whose key it was.
        #[arg(long, conflicts_with = "token", required_unless_present = "token")]
        user: Option<String>,
        /// The token whose key it was, APP/NAME.
        #[arg(long)]
        token: Option<String>,
        /// SHA-256 of that key, in hexadecimal digits.
        #[arg(long)]
        key: String,
    },
}

/// The SDK repeats in its own words what the agent says once.
const LOG: &str = "info,aws_config=error,aws_smithy_runtime=error";

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::try_parse().unwrap_or_else(|usage| {
        let _unprinted = futuswarm_output::end_if_reader_gone(usage.print());
        std::process::exit(usage.exit_code());
    });
    match &arguments.command {
        // These two start at each login and need neither a runtime nor a log of their own.
        Command::AuthorizedKeys { kind, key } => return Ok(way_in::authorized_keys(kind, key)),
        Command::Session { user, token, key } => {
            return Ok(way_in::session(user.as_deref(), token.as_deref(), key));
        }
        _ => {}
    }
    // One thread: the agent waits for others almost all of its life, and each worker thread would cost memory.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(arguments.command))?;
    Ok(ExitCode::SUCCESS)
}

/// Runs what is asynchronous.
async fn run(command: Command) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_env("FUTUSWARM_LOG").unwrap_or_else(|_| EnvFilter::new(LOG));
    // Below that, bollard writes whole requests and answers: join tokens, and the variables of apps.
    let filter = filter.add_directive("bollard=info".parse()?);
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
    match command {
        Command::Agent { docker_socket } => {
            let files = Files::default();
            let options = Options { docker_socket, files: files.clone() };
            futuswarm_agent::run(options, |engine, store, vault, node| {
                let cluster = Cluster { name: node.config.cluster.clone(), key: node.config.cluster_key.clone() };
                NodeEdge { engine, store, vault, cluster, files }
            })
            .await?;
        }
        Command::Server { docker_socket } => server::run(docker_socket).await?,
        Command::EngineConfig => futuswarm_agent::engine_config::prepare().await?,
        Command::AuthorizedKeys { .. } | Command::Session { .. } => {}
    }
    Ok(())
}
