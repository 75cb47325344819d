//! Commands of the cluster as a whole: its nodes and its networks.

use clap::Subcommand;

use crate::arguments::options::*;

/// What to do with nodes, networks, or the tasks of all apps.
#[derive(Debug, Subcommand)]
pub enum NodeVerb {
    /// Restart the tasks of all apps, one app after the other
    #[command(name = "admin:swarm:restart", after_help = "Examples:\n  futuswarm admin:swarm:restart --yes")]
    RestartAll {
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },

    /// List the nodes of the cluster
    #[command(name = "swarm:nodes", visible_aliases = ["nodes", "swarm:node:list"], after_help = "Examples:\n  futuswarm swarm:nodes")]
    Nodes,
    /// Show what nodes have, what of it is reserved for tasks, and what their agents have measured
    #[command(
        name = "swarm:stats",
        visible_aliases = ["stats", "swarm:node:stats"],
        after_help = "Examples:\n  futuswarm swarm:stats\n  futuswarm swarm:stats --json | jq '.[].measured.disk_free'"
    )]
    Stats,
    /// Show the networks of your apps, or of one with -a, their addresses, and what is wrong; ends with 1 when anything is
    #[command(
        name = "swarm:network:health",
        visible_alias = "networks",
        after_help = "Examples:\n  futuswarm swarm:network:health\n  futuswarm swarm:network:health -a hello --json"
    )]
    NetworkHealth(AppFlag),
    /// Print each node as a line of JSON
    #[command(name = "node:json", after_help = "Examples:\n  futuswarm node:json | jq -r .name")]
    NodeJson,
    /// List which nodes the tasks of an app run on
    #[command(name = "swarm:node:location", after_help = "Examples:\n  futuswarm swarm:node:location hello")]
    NodeLocation(App),
    /// Put a label on a node
    #[command(
        name = "swarm:node:label:add",
        visible_alias = "node:label:add",
        after_help = "Examples:\n  futuswarm swarm:node:label:add disk=ssd --node i-0123456789abcdef0"
    )]
    LabelAdd {
        /// Without a value it is `true`
        #[arg(value_name = "LABEL[=VALUE]")]
        label: String,
        /// As `swarm:nodes` lists it
        #[arg(long, value_name = "NODE")]
        node: String,
    },
    /// Take a label off a node
    #[command(
        name = "swarm:node:label:rm",
        visible_alias = "node:label:rm",
        after_help = "Examples:\n  futuswarm swarm:node:label:rm disk --node i-0123456789abcdef0"
    )]
    LabelRemove {
        /// As `swarm:nodes` lists it
        label: String,
        /// As `swarm:nodes` lists it
        #[arg(long, value_name = "NODE")]
        node: String,
    },
}
