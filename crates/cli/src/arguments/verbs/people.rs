//! Commands of who may do what: access to apps, tokens, users, and the audit.

use std::path::PathBuf;

use clap::Subcommand;

use crate::arguments::options::*;

/// What to do with the rights of people and programs.
#[derive(Debug, Subcommand)]
pub enum PeopleVerb {
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
    /// Show how the login of the apps' visitors is: its provider, its secrets and their age, and how many are locked out
    #[command(name = "admin:login", after_help = "Examples:\n  futuswarm admin:login --json")]
    PrivateLogin,
    /// List who is locked out of all apps that need a login
    #[command(name = "admin:login:locked", after_help = "Examples:\n  futuswarm admin:login:locked")]
    Locked,
    /// Lock people and groups out of all apps that need a login, within 2 s and with sessions from before
    #[command(name = "admin:login:lock", after_help = "Examples:\n  futuswarm admin:login:lock user:ada@example.com")]
    Lock {
        /// Users and groups as the login's provider names them
        #[arg(value_name = "user:NAME|group:NAME", required = true)]
        words: Vec<String>,
    },
    /// Let them in again
    #[command(
        name = "admin:login:unlock",
        after_help = "Examples:\n  futuswarm admin:login:unlock user:ada@example.com"
    )]
    Unlock {
        /// Users and groups as `admin:login:locked` lists them
        #[arg(value_name = "user:NAME|group:NAME", required = true)]
        words: Vec<String>,
    },
    /// Have another passphrase follow the one that sessions are encrypted with; sessions go on
    #[command(
        name = "admin:login:rotate",
        after_help = "Examples:\n  futuswarm admin:login:rotate\n  futuswarm admin:login:rotate --now --confirm everybody"
    )]
    RotateLogin {
        /// Put it in the place of one that somebody else may know: everybody signs in again
        #[arg(long)]
        now: bool,
        /// The word `everybody`, with --now; asked for on a terminal
        #[arg(long, value_name = "everybody", requires = "now")]
        confirm: Option<String>,
    },
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
}
