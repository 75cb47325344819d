//! The commands, in the order of the documentation, with a file for each topic.

use clap::Subcommand;

use super::options::*;

mod apps;
mod databases;
mod images;
mod nodes;
mod people;
mod values;

pub use apps::AppVerb;
pub use databases::DatabaseVerb;
pub use images::ImageVerb;
pub use nodes::NodeVerb;
pub use people::PeopleVerb;
pub use values::ValueVerb;

/// What to do. Examples stand below each command's help, and in `docs/cli.md`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a cluster known, and check that it knows you
    #[command(
        after_help = "Examples:\n  futuswarm login jane@ssh.apps.example.com --host-ca apps-ca.pub\n  futuswarm login jane@127.0.0.1:2222 --trust-first --identity ~/.ssh/apps --cluster local"
    )]
    Login(Login),
    /// Show who you are there, and what the cluster is
    #[command(after_help = "Examples:\n  futuswarm whoami --json")]
    Whoami,
    /// List the clusters that are known here
    #[command(after_help = "Examples:\n  futuswarm clusters")]
    Clusters,
    /// Choose the cluster that commands are for
    #[command(name = "clusters:use", after_help = "Examples:\n  futuswarm clusters:use production")]
    ClustersUse {
        /// As `clusters` lists it
        name: String,
    },
    /// Look at everything that is needed, and say what is wrong with it
    #[command(after_help = "Examples:\n  futuswarm doctor\n  futuswarm doctor hello")]
    Doctor(App),

    /// `app:*` and its short forms: what is deployed, and what runs.
    #[command(flatten)]
    App(AppVerb),
    /// `config:*` and `secret:*`.
    #[command(flatten)]
    Value(ValueVerb),
    /// `db:*`.
    #[command(flatten)]
    Database(DatabaseVerb),
    /// `image:*`: what was pushed, and what is collected of it.
    #[command(flatten)]
    Image(ImageVerb),
    /// `acl:*`, `tokens:*`, `users` and `admin:*`: who may do what.
    #[command(flatten)]
    People(PeopleVerb),
    /// `swarm:*` and `node:*`: the cluster as a whole.
    #[command(flatten)]
    Node(NodeVerb),

    /// Say whether this program and the cluster fit, and whether it is the one that the cluster offers
    #[command(name = "cli:version-check", after_help = "Examples:\n  futuswarm cli:version-check")]
    VersionCheck,
    /// Print a script that completes commands in a shell
    #[command(
        after_help = "Examples:\n  futuswarm completions bash > ~/.local/share/bash-completion/completions/futuswarm"
    )]
    Completions {
        /// The one that reads the script
        shell: clap_complete::Shell,
    },
}
