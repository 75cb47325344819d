//! Commands of apps, their releases and their tasks.

use clap::Subcommand;

use crate::arguments::options::*;

/// What to do with an app.
#[derive(Debug, Subcommand)]
pub enum AppVerb {
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
        after_help = "Examples:\n  futuswarm deploy hello -i hello --detach && futuswarm watch hello\n  futuswarm watch hello 12 --json"
    )]
    Watch {
        #[command(flatten)]
        flag: AppFlag,
        /// The app, when no flag names it, and the release; the latest if there is no number
        #[arg(value_name = "[APP] [N]", num_args = 0..=2)]
        words: Vec<String>,
        /// The same number, as an option
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
        name = "app:browse",
        // `open` as it was called once. `app:open` shows an app to the world: this short name must not be that.
        visible_aliases = ["browse", "open"],
        after_help = "Examples:\n  futuswarm browse hello\n  curl \"$(futuswarm browse hello --print)\""
    )]
    Browse {
        #[command(flatten)]
        app: App,
        /// Only print it
        #[arg(long)]
        print: bool,
    },
    /// Let two apps reach each other by their names, once the owners of both want it
    #[command(name = "app:link", after_help = "Examples:\n  futuswarm app:link hello shop")]
    Link(Link),
    /// End that, from either side
    #[command(name = "app:unlink", after_help = "Examples:\n  futuswarm app:unlink hello shop")]
    Unlink(Link),
    /// List the apps that an app is linked with, and those that wait for a yes
    #[command(name = "app:links", after_help = "Examples:\n  futuswarm app:links hello --json")]
    Links(App),
    /// Show who may open an app in the browser
    #[command(name = "app:access:list", after_help = "Examples:\n  futuswarm app:access:list hello --json")]
    AccessList(App),
    /// Put people and groups on an app's list: of those who can log in only these may open it then
    #[command(
        name = "app:access:add",
        after_help = "Examples:\n  futuswarm app:access:add hello user:ada@example.com group:staff\n  futuswarm app:access:add hello everybody"
    )]
    AccessAdd(Visitors),
    /// Take people and groups off an app's list; the last one leaves nobody
    #[command(
        name = "app:access:rm",
        after_help = "Examples:\n  futuswarm app:access:rm user:ada@example.com -a hello"
    )]
    AccessRemove(Visitors),
    /// Show an app to the world, without a login; no deployment changes that
    #[command(name = "app:open", after_help = "Examples:\n  futuswarm app:open hello --confirm hello")]
    Open {
        #[command(flatten)]
        app: App,
        /// The name again; asked for on a terminal
        #[arg(long, value_name = "APP")]
        confirm: Option<String>,
    },
    /// Put an app behind the login again, where it is when it is made
    #[command(name = "app:private", after_help = "Examples:\n  futuswarm app:private hello")]
    Private(App),
    /// Remove an app with its config, secrets and releases
    #[command(name = "app:remove", after_help = "Examples:\n  futuswarm app:remove hello --confirm hello")]
    Remove {
        #[command(flatten)]
        app: App,
        /// The name again; asked for on a terminal
        #[arg(long, value_name = "APP")]
        confirm: Option<String>,
    },
}
