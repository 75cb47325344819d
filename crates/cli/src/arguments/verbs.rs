//! The commands, in the order of the documentation.

use std::path::PathBuf;

use clap::Subcommand;

use super::options::*;

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

    /// Make a release and wait until it is healthy; prints where the app is served
    #[command(
        name = "app:deploy",
        visible_alias = "deploy",
        after_help = "Examples:\n  futuswarm deploy hello -i hello:1.2\n  futuswarm deploy -f app.toml --plan\n  futuswarm deploy hello -i @sha256:… --wait 300 --json"
    )]
    Deploy(Deploy),
    /// List the apps that you may see
    #[command(name = "app:list", visible_alias = "apps", after_help = "Examples:\n  futuswarm app:list --json")]
    Apps(AppFlag),
    /// Show an app: its state, its settings and its tasks
    #[command(name = "app:inspect", visible_alias = "inspect", after_help = "Examples:\n  futuswarm app:inspect hello")]
    Inspect(App),
    /// List the tasks of an app
    #[command(name = "app:ps", visible_alias = "ps", after_help = "Examples:\n  futuswarm ps hello")]
    Ps(App),
    /// Show what the tasks of an app have written
    #[command(
        name = "app:logs",
        visible_alias = "logs",
        after_help = "Examples:\n  futuswarm logs hello -f\n  futuswarm logs hello --since 2h --grep ERROR --previous\n  futuswarm logs hello --json | jq -r .line"
    )]
    Logs(Logs),
    /// Run a program with an app's image, config and secrets, in a task of its own; passes on its exit code
    #[command(
        name = "app:run",
        visible_alias = "run",
        after_help = "Examples:\n  futuswarm run -a hello -- ./manage.py migrate\n  pg_dump old | futuswarm run hello -- psql"
    )]
    Run(Run),
    /// Open a shell in a task of its own
    #[command(name = "app:shell", visible_alias = "shell", after_help = "Examples:\n  futuswarm shell hello")]
    Shell(App),
    /// Replace all tasks by new ones of the same content
    #[command(name = "app:restart", visible_alias = "restart", after_help = "Examples:\n  futuswarm restart hello")]
    Restart {
        #[command(flatten)]
        app: App,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Change the number of tasks
    #[command(name = "app:scale", visible_alias = "scale", after_help = "Examples:\n  futuswarm scale hello 3")]
    Scale {
        #[command(flatten)]
        flag: AppFlag,
        /// The app, when no flag names it, and so many tasks
        #[arg(value_name = "[APP] N", required = true, num_args = 1..=2)]
        words: Vec<String>,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Make a release out of an earlier one: image, settings, config and secrets
    #[command(
        name = "app:rollback",
        visible_alias = "rollback",
        after_help = "Examples:\n  futuswarm rollback hello\n  futuswarm rollback hello 12 --json"
    )]
    Rollback {
        #[command(flatten)]
        flag: AppFlag,
        /// The app, when no flag names it, and the release; the one before the one that runs if there is no number
        #[arg(value_name = "[APP] [N]", num_args = 0..=2)]
        words: Vec<String>,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// End the release that is on its way
    #[command(name = "app:cancel", visible_alias = "cancel", after_help = "Examples:\n  futuswarm cancel hello")]
    Cancel(App),
    /// Wait for the end of a release
    #[command(
        name = "app:watch",
        visible_alias = "watch",
        after_help = "Examples:\n  futuswarm deploy hello -i hello --detach && futuswarm watch hello"
    )]
    Watch {
        #[command(flatten)]
        app: App,
        /// Its number; the latest without one
        #[arg(long, value_name = "N")]
        release: Option<u64>,
    },
    /// List the latest releases
    #[command(
        name = "app:releases",
        visible_alias = "releases",
        after_help = "Examples:\n  futuswarm releases hello --limit 5"
    )]
    Releases(Latest),
    /// Say why a release failed, and what to do
    #[command(name = "app:why", visible_alias = "why", after_help = "Examples:\n  futuswarm why hello --json")]
    Why {
        #[command(flatten)]
        app: App,
        /// Its number; the latest that failed without one
        #[arg(long, value_name = "N")]
        release: Option<u64>,
    },
    /// Print where an app is served, and open it in the browser
    #[command(
        name = "app:open",
        visible_alias = "open",
        after_help = "Examples:\n  futuswarm open hello\n  curl \"$(futuswarm open hello --print)\""
    )]
    Open {
        #[command(flatten)]
        app: App,
        /// Only print it
        #[arg(long)]
        print: bool,
    },
    /// Remove an app with its config, secrets and releases
    #[command(name = "app:remove", after_help = "Examples:\n  futuswarm app:remove hello --confirm hello")]
    Remove {
        #[command(flatten)]
        app: App,
        /// The name again; asked for on a terminal
        #[arg(long, value_name = "APP")]
        confirm: Option<String>,
    },

    /// List the config of an app: variables of its tasks' environment
    #[command(after_help = "Examples:\n  futuswarm config hello\n  futuswarm config hello --show > .env")]
    Config(List),
    /// Print one value
    #[command(name = "config:get", after_help = "Examples:\n  futuswarm config:get hello LOG_LEVEL")]
    ConfigGet(Get),
    /// Set values, all at once, and make a release with them
    #[command(
        name = "config:set",
        after_help = "Examples:\n  futuswarm config:set hello LOG_LEVEL=debug GREETING='Hi there'\n  futuswarm config:set -a hello CERTIFICATE=@cert.pem\n  futuswarm config:set hello HANDLE=@@jane     # the value is @jane\n  futuswarm config:set hello - < .env"
    )]
    ConfigSet(Set),
    /// Remove values, and make a release without them
    #[command(name = "config:unset", after_help = "Examples:\n  futuswarm config:unset -a hello LOG_LEVEL GREETING")]
    ConfigUnset(Unset),
    /// Edit the config with $VISUAL or $EDITOR; only what you changed is sent
    #[command(name = "config:edit", after_help = "Examples:\n  EDITOR=vi futuswarm config:edit hello")]
    ConfigEdit(Edit),
    /// Set the values of a dotenv file
    #[command(name = "config:import", after_help = "Examples:\n  futuswarm config:import hello .env --replace")]
    ConfigImport(Import),
    /// List the versions of the config: who changed it, and when
    #[command(name = "config:history", after_help = "Examples:\n  futuswarm config:history hello")]
    ConfigHistory(Latest),
    /// List the keys that differ between two versions
    #[command(name = "config:diff", after_help = "Examples:\n  futuswarm config:diff -a hello VERSION")]
    ConfigDiff(Diff),

    /// List the secrets of an app: files under /run/secrets in its tasks
    #[command(visible_alias = "secrets", after_help = "Examples:\n  futuswarm secret hello")]
    Secret(List),
    /// Write one secret to standard output, byte for byte
    #[command(name = "secret:get", after_help = "Examples:\n  futuswarm secret:get hello KEYSTORE > keystore.p12")]
    SecretGet(Get),
    /// Set secrets, all at once, and make a release with them
    #[command(
        name = "secret:set",
        after_help = "Examples:\n  futuswarm secret:set hello KEYSTORE=@keystore.p12\n  pass show api-key | futuswarm secret:set hello API_KEY=-"
    )]
    SecretSet(Set),
    /// Remove secrets, and make a release without them
    #[command(name = "secret:unset", after_help = "Examples:\n  futuswarm secret:unset -a hello API_KEY")]
    SecretUnset(Unset),
    /// List the versions of the secrets: who changed them, and when
    #[command(name = "secret:history", after_help = "Examples:\n  futuswarm secret:history hello")]
    SecretHistory(Latest),

    /// Send an image to the app's repository: only the layers that are not there yet
    #[command(
        name = "image:push",
        after_help = "Examples:\n  futuswarm image:push hello                      # the local image `hello:latest`\n  futuswarm image:push hello:1.2 shop/hello:1.2\n  futuswarm image:push hello --archive image.tar\n  podman save hello | futuswarm image:push hello -"
    )]
    ImagePush(Push),
    /// List the tags of the app's repository
    #[command(name = "image:list", visible_alias = "images", after_help = "Examples:\n  futuswarm image:list hello")]
    ImageList(App),

    /// List who may do what with an app
    #[command(name = "acl:user:list", after_help = "Examples:\n  futuswarm acl:user:list -a hello")]
    AclList(App),
    /// Let somebody, or a group, do something with an app
    #[command(
        name = "acl:user:add",
        after_help = "Examples:\n  futuswarm acl:user:add joe -a hello --role viewer\n  futuswarm acl:user:add @ops -a hello --role owner"
    )]
    AclAdd(Grant),
    /// Take that back
    #[command(name = "acl:user:rm", after_help = "Examples:\n  futuswarm acl:user:rm joe -a hello")]
    AclRemove {
        /// A user, or a group with `@` before it
        #[arg(value_name = "USER|@GROUP")]
        principal: String,
        #[command(flatten)]
        flag: AppFlag,
    },
    /// List the apps that a user has a role in
    #[command(name = "acl:user:services", after_help = "Examples:\n  futuswarm acl:user:services joe")]
    AclServices {
        /// Of the user
        name: String,
    },

    /// List the tokens of an app
    #[command(after_help = "Examples:\n  futuswarm tokens hello")]
    Tokens(App),
    /// Make a token for programs: an SSH key, shown once, that can deploy this app and nothing else
    #[command(
        name = "tokens:create",
        after_help = "Examples:\n  futuswarm tokens:create ci -a hello --days 90 > hello-ci.key\n  futuswarm login ci@ssh.apps.example.com --host-ca apps-ca.pub --identity hello-ci.key"
    )]
    TokensCreate {
        /// For the token
        name: String,
        #[command(flatten)]
        flag: AppFlag,
        /// Until it is worth nothing
        #[arg(long, default_value_t = 90)]
        days: u32,
    },
    /// End a token, within 30 seconds
    #[command(
        name = "tokens:revoke",
        visible_alias = "tokens:rm",
        after_help = "Examples:\n  futuswarm tokens:revoke ci -a hello"
    )]
    TokensRevoke {
        /// Of the token
        name: String,
        #[command(flatten)]
        flag: AppFlag,
    },

    /// List all users
    #[command(name = "users", visible_alias = "admin:user:list", after_help = "Examples:\n  futuswarm users")]
    Users,
    /// List the admins
    #[command(name = "admin:list", after_help = "Examples:\n  futuswarm admin:list")]
    Admins,
    /// Make a user, or give one another key
    #[command(
        name = "admin:user:add",
        after_help = "Examples:\n  futuswarm admin:user:add joe --key joe.pub --group dev"
    )]
    UserAdd {
        #[command(flatten)]
        user: UserName,
        /// Their public keys, a file each
        #[arg(long, required = true, value_name = "FILE")]
        key: Vec<PathBuf>,
        /// They may do everything, with every app
        #[arg(long)]
        admin: bool,
        /// Groups that they are in
        #[arg(long, value_name = "GROUP")]
        group: Vec<String>,
    },
    /// Change what a user is: an admin or not, and their groups
    #[command(
        name = "admin:user:set",
        after_help = "Examples:\n  futuswarm admin:user:set joe --admin true --group dev --group ops"
    )]
    UserSet {
        #[command(flatten)]
        user: UserName,
        /// Whether they may do everything, with every app
        #[arg(long, value_name = "true|false")]
        admin: Option<bool>,
        /// All groups that they are in
        #[arg(long, value_name = "GROUP")]
        group: Vec<String>,
        /// They are in no group
        #[arg(long, conflicts_with = "group")]
        no_groups: bool,
    },
    /// Replace the keys of a user
    #[command(
        name = "admin:user:key:set",
        after_help = "Examples:\n  futuswarm admin:user:key:set joe --key laptop.pub --key phone.pub"
    )]
    UserKey {
        #[command(flatten)]
        user: UserName,
        /// Their public keys, a file each
        #[arg(long, required = true, value_name = "FILE")]
        key: Vec<PathBuf>,
    },
    /// Remove a user, who is locked out within 30 seconds
    #[command(name = "admin:user:rm", after_help = "Examples:\n  futuswarm admin:user:rm joe")]
    UserRemove(UserName),
    /// List who asked for what
    #[command(
        name = "admin:swarm:usage",
        visible_alias = "audit",
        after_help = "Examples:\n  futuswarm admin:swarm:usage --limit 500"
    )]
    Audit {
        /// So many at most
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u32,
    },
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

    /// Say whether this program and the cluster fit
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
