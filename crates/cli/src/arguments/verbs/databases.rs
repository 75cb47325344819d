//! Commands of databases.

use clap::Subcommand;

use crate::arguments::options::*;

/// What to do with the database of an app.
#[derive(Debug, Subcommand)]
pub enum DatabaseVerb {
    /// Show the database of an app: its size, its logins and its backups
    #[command(name = "db:list", after_help = "Examples:\n  futuswarm db:list hello")]
    List(App),
    /// Make a database, and a release with the way to it among the app's secrets
    #[command(
        name = "db:create",
        visible_alias = "db:create:postgres",
        after_help = "Examples:\n  futuswarm db:create hello\n  futuswarm run hello -- sh -c 'psql \"$(cat /run/secrets/DATABASE_URL)\"'"
    )]
    Create {
        #[command(flatten)]
        app: App,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Open psql in the database, as a role of your own that owns what the app owns; reads SQL from standard input without a terminal
    #[command(
        name = "db:psql",
        visible_alias = "psql",
        after_help = "Examples:\n  futuswarm db:psql hello\n  futuswarm db:psql hello < schema.sql"
    )]
    Psql {
        #[command(flatten)]
        app: App,
        /// No terminal, even if there is one
        #[arg(short = 'T', long)]
        no_terminal: bool,
    },
    /// Take a backup of the database
    #[command(name = "db:backup", after_help = "Examples:\n  futuswarm db:backup hello --json")]
    Backup(App),
    /// Put a backup in the place of the database, after a backup of what is there
    #[command(
        name = "db:restore",
        after_help = "Examples:\n  futuswarm db:restore hello --confirm hello\n  futuswarm db:restore hello --backup 1796000000000-1f2e3d4c"
    )]
    Restore {
        #[command(flatten)]
        app: App,
        /// As `db:list` lists it; the latest of `db:backup` without one
        #[arg(long, value_name = "BACKUP")]
        backup: Option<String>,
        #[command(flatten)]
        losing: Losing,
    },
    /// Give the app another login with another password; the one that it has stays good until the next time
    #[command(name = "db:rotate", after_help = "Examples:\n  futuswarm db:rotate hello")]
    Rotate {
        #[command(flatten)]
        app: App,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// End the database, after a last backup
    #[command(
        name = "db:drop",
        visible_alias = "db:drop:postgres",
        after_help = "Examples:\n  futuswarm db:drop hello --confirm hello"
    )]
    Drop {
        #[command(flatten)]
        app: App,
        #[command(flatten)]
        losing: Losing,
    },
}
