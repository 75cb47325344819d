//! `cargo xtask`: one thin verb per file. Each builds what it needs and hands over to a crate's binary.

mod ahead;
mod cargo;
mod host;
mod machine;
mod preconditions;
mod process;
#[cfg(test)]
mod tidy;
mod verbs;

use clap::{Parser, Subcommand};
use futuswarm_output::eprintln;

/// Futuswarm's one entry point: bake the image, deploy a cluster, look after it, test everything.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    after_help = "Examples:
  cargo xtask deploy-cluster --local        from nothing to a running three-node cluster on this machine
  cargo xtask status --local                its nodes
  cargo xtask chaos kill NODE --local       cut a node's power and watch its replacement join
  cargo xtask destroy-cluster --local       remove every trace
  cargo xtask test --quick                  the inner loop"
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build the immutable node image into target/images/.
    Bake(verbs::bake::Bake),
    /// Publish the baked image as an AMI, sending only what changed.
    Publish(verbs::image::Publish),
    /// List, check and retire published images.
    Image(verbs::image::Image),
    /// Create or update a cluster, wait until it answers, print its URL.
    DeployCluster(verbs::deploy::Deploy),
    /// Delete a cluster with everything that belongs to it.
    DestroyCluster(verbs::deploy::Destroy),
    /// Show a cluster's nodes.
    Status(verbs::operate::Status),
    /// Open a shell on a node.
    Ssh(verbs::operate::Ssh),
    /// Show a node's serial console.
    Console(verbs::operate::Console),
    /// Break something on purpose.
    #[command(subcommand)]
    Chaos(verbs::operate::Chaos),
    /// Let people use a cluster; the first ones, since later ones are added with the command line.
    #[command(subcommand)]
    User(verbs::user::User),
    /// The login of the private domain.
    #[command(subcommand)]
    Login(verbs::login::Login),
    /// Build the developers' command line as one static program, and print its path.
    Cli(verbs::cli::Cli),
    /// Check this machine and the local cloud: every check, one remedy each.
    Doctor(verbs::operate::Doctor),
    /// Run the tests.
    Test(verbs::test::Test),
    /// Formatting and lints.
    Lint,
    /// Measure speed and size against their peers and floors.
    Bench(verbs::bench::Bench),
}

fn main() -> std::process::ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help goes to standard output, a mistake to standard error. Not with clap's 2, which says that a plan has changes.
            let _unprinted = futuswarm_output::end_if_reader_gone(error.print());
            return std::process::ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    let result = match arguments.verb {
        Verb::Bake(verb) => verb.run(),
        Verb::Publish(verb) => verb.run(),
        Verb::Image(verb) => verb.run(),
        Verb::DeployCluster(verb) => verb.run(),
        Verb::DestroyCluster(verb) => verb.run(),
        Verb::Status(verb) => verb.run(),
        Verb::Ssh(verb) => verb.run(),
        Verb::Console(verb) => verb.run(),
        Verb::Chaos(verb) => verb.run(),
        Verb::User(verb) => verb.run(),
        Verb::Login(verb) => verb.run(),
        Verb::Cli(verb) => verb.run(),
        Verb::Doctor(verb) => verb.run(),
        Verb::Test(verb) => verb.run(),
        Verb::Lint => verbs::test::lint(),
        Verb::Bench(verb) => verb.run(),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            // A program that failed has said why itself; its exit code is passed on.
            if let Some(failed) = error.downcast_ref::<process::Failed>() {
                return std::process::ExitCode::from(failed.code);
            }
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
