//! `futuswarm-local`: the command line of the local cloud, behind `cargo xtask … --local`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use futuswarm_local::commands::{self, doctor};
use futuswarm_local::ports::{self, Moved};
use futuswarm_local::{Accel, EXEC_CHILD, EXEC_SANDBOXED, Mode};
use futuswarm_output::{eprintln, println};

#[derive(Debug, Parser)]
#[command(name = "futuswarm-local")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Args)]
struct Cluster {
    /// Cluster spec.
    #[arg(long)]
    spec: PathBuf,
    /// How guests are run.
    #[arg(long, value_enum, default_value = "auto", env = "FUTUSWARM_ACCEL")]
    accel: Accel,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start the local cloud, or find it running.
    Up {
        #[command(flatten)]
        cluster: Cluster,
        /// Only the AWS API: instances get no machines.
        #[arg(long)]
        api_only: bool,
        /// The API and databases, but no machines.
        #[arg(long, conflicts_with = "api_only")]
        no_machines: bool,
    },
    /// Stop it and remove every trace.
    Down(Cluster),
    /// Print what the running cloud says of itself, as JSON.
    Cloud(Cluster),
    /// List its machines, as JSON.
    Machines(Cluster),
    /// Cut a machine's power.
    Kill {
        #[command(flatten)]
        cluster: Cluster,
        node: String,
    },
    /// Print a machine's serial console.
    Console {
        #[command(flatten)]
        cluster: Cluster,
        node: String,
        #[arg(long)]
        follow: bool,
    },
    /// Open a shell on a machine, or run a command there.
    Ssh {
        #[command(flatten)]
        cluster: Cluster,
        node: String,
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Make the next answers of the metadata service fail, for rehearsals.
    ///
    /// For example '{"kind":"late","milliseconds":5000,"count":3}'; kinds: late, not_found, internal, garbage. Those of a list are
    /// met one after the other, and [] ends all.
    Faults {
        #[command(flatten)]
        cluster: Cluster,
        faults: String,
    },
    /// Make the next calls of the AWS API fail, and print how far that has come.
    ///
    /// For example '{"fault":{"kind":"throttle"},"service":"s3","caller":"node","after":0,"count":30}'; kinds: throttle,
    /// internal, late (with milliseconds), lost (the call is made, its answer never arrives), refused (with the code, and
    /// perhaps a message and a status), absent (404 for an object that exists), activities (what DescribeScalingActivities
    /// answers). With "action" only calls of one operation are hit, for example CreateVpc or GetObject; with "path" only those
    /// on some objects; with "every":3 one in three. A list sets several, [] ends all. docs/operations.md has a table.
    ApiFaults {
        #[command(flatten)]
        cluster: Cluster,
        faults: Option<String>,
    },
    /// Record every request of the AWS API into a file, a line of JSON each, or cease to when no file is named.
    ///
    /// For whoever holds them against AWS's descriptions of its services. Signatures and credentials are left out.
    Record {
        #[command(flatten)]
        cluster: Cluster,
        file: Option<PathBuf>,
    },
    /// Check this machine and the cloud.
    Doctor {
        #[command(flatten)]
        cluster: Cluster,
        /// Only what must hold before anything is begun; only failures are printed.
        #[arg(long)]
        before_start: bool,
        #[arg(long)]
        json: bool,
    },
    /// Boot bare machines that join by a script, and print the seconds until all are Ready: the benchmark's floor.
    NaiveJoin(Cluster),
    /// The daemon itself.
    #[command(hide = true)]
    Daemon {
        #[command(flatten)]
        cluster: Cluster,
        #[arg(long)]
        api_only: bool,
        /// The API and databases, but no machines.
        #[arg(long, conflicts_with = "api_only")]
        no_machines: bool,
        /// Ports of the API, the load balancer, and its TLS listener, as `up` has chosen them.
        #[arg(long, value_delimiter = ',')]
        ports: Vec<u16>,
    },
}

fn main() -> std::process::ExitCode {
    // Before anything else runs in this process: it is about to become another program.
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let hidden = match arguments.get(1).and_then(|verb| verb.to_str()) {
        Some(EXEC_CHILD) => Some((futuswarm_local::exec_child(&arguments[2..]), 4)),
        Some(EXEC_SANDBOXED) => Some((futuswarm_local::exec_sandboxed(&arguments[2..]), 7)),
        _ => None,
    };
    if let Some((error, program)) = hidden {
        eprintln!("{}: {error}", arguments.get(program).map(|program| program.to_string_lossy()).unwrap_or_default());
        return std::process::ExitCode::from(127);
    }
    let filter = tracing_subscriber::EnvFilter::try_from_env("FUTUSWARM_LOG").unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| futuswarm_output::Log).with_ansi(false).init();
    // One thread: children ask the kernel to die with the thread that started them.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return std::process::ExitCode::FAILURE;
        }
    };
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // With 1, as every other mistake: 2 says elsewhere that a plan has changes.
            let _unprinted = futuswarm_output::end_if_reader_gone(error.print());
            return std::process::ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    match runtime.block_on(run(arguments.verb)) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn run(verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Up { cluster, api_only, no_machines } => {
            eprintln!("starting the local cloud");
            let commands::Up { cloud, moved } =
                commands::up(&cluster.spec, cluster.accel, Mode::of(api_only, no_machines)).await?;
            for Moved { key, usual, port } in moved {
                eprintln!(
                    "port {usual} of 127.0.0.1 is in use{}, so {port} is used; {key} under [local] of the spec sets another",
                    ports::owner(usual)
                );
            }
            eprintln!(
                "the local cloud {} is up: AWS API at {}, log in {}/daemon.log",
                cloud.cluster, cloud.api_endpoint, cloud.state_dir
            );
        }
        Verb::Down(cluster) => match commands::down(&cluster.spec).await? {
            true => eprintln!("the local cloud is gone, with everything in it"),
            false => eprintln!("there was no local cloud"),
        },
        Verb::Cloud(cluster) => println!("{}", serde_json::to_string_pretty(&commands::cloud(&cluster.spec)?)?),
        Verb::Machines(cluster) => {
            println!("{}", serde_json::to_string_pretty(&commands::node::machines(&cluster.spec)?)?);
        }
        Verb::Kill { cluster, node } => {
            let instance = commands::node::kill(&cluster.spec, &node)?;
            eprintln!(
                "cut the power of {instance}; its group starts a replacement (watch it with `cargo xtask status --local`)"
            );
        }
        Verb::Console { cluster, node, follow } => {
            commands::node::console(&cluster.spec, &node, follow, &mut std::io::stdout()).await?;
        }
        Verb::Ssh { cluster, node, command } => commands::node::ssh(&cluster.spec, &node, &command)?,
        Verb::Faults { cluster, faults } => commands::inject(&cluster.spec, &faults)?,
        Verb::ApiFaults { cluster, faults } => {
            println!("{}", serde_json::to_string(&commands::inject_api(&cluster.spec, faults.as_deref())?)?);
        }
        Verb::Record { cluster, file } => commands::record(&cluster.spec, file.as_deref())?,
        Verb::Doctor { cluster, before_start, json } => {
            let checks = doctor::run(&cluster.spec, before_start).await;
            report(&checks, before_start, json)?;
        }
        Verb::NaiveJoin(cluster) => println!("{:.1}", futuswarm_local::naive_join(&cluster.spec, cluster.accel).await?),
        Verb::Daemon { cluster, api_only, no_machines, ports } => {
            let (mode, ports) = (Mode::of(api_only, no_machines), ports.try_into().ok());
            commands::run_daemon(&cluster.spec, cluster.accel, mode, ports).await?;
        }
    }
    Ok(())
}

fn report(checks: &[doctor::Check], only_failures: bool, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(checks)?);
    }
    let failed = checks.iter().filter(|check| check.outcome == doctor::Outcome::Bad).count();
    for check in checks.iter().filter(|_| !json) {
        let mark = match check.outcome {
            doctor::Outcome::Good => "ok  ",
            doctor::Outcome::Note => "note",
            doctor::Outcome::Bad => "FAIL",
        };
        if only_failures && check.outcome != doctor::Outcome::Bad {
            continue;
        }
        eprintln!("{mark}  {:<26} {}", check.name, check.found);
        if !check.remedy.is_empty() {
            eprintln!("      {:<26} → {}", "", check.remedy);
        }
    }
    if failed > 0 {
        anyhow::bail!("{failed} of {} checks failed", checks.len());
    }
    Ok(())
}
