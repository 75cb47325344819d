//! Options that several commands have, and those of the longer ones.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use futuswarm_model::AppRole;

/// The app by a flag alone.
#[derive(Debug, Clone, Default, Args)]
pub struct AppFlag {
    /// The app that is meant
    #[arg(short = 'a', long = "app", visible_short_alias = 'n', visible_alias = "name", value_name = "APP")]
    pub app: Option<String>,
}

/// The app by its name, or by a flag.
#[derive(Debug, Clone, Default, Args)]
pub struct App {
    /// The app that is meant
    #[arg(value_name = "APP")]
    pub word: Option<String>,
    #[command(flatten)]
    pub flag: AppFlag,
}

/// How a release is waited for.
#[derive(Debug, Clone, Default, Args)]
pub struct Waiting {
    /// Do not wait for the end of the release
    #[arg(long, visible_alias = "async")]
    pub detach: bool,
    /// Let another release of the app end first, for so long at most
    #[arg(long, value_name = "SECONDS")]
    pub wait: Option<u32>,
    /// End another release of the app that is on its way, and take its place
    #[arg(long)]
    pub supersede: bool,
}

/// Of `app:deploy`.
#[derive(Debug, Args)]
pub struct Deploy {
    #[command(flatten)]
    pub app: App,
    /// The image: a name of the app's own repository, with or without a tag, or @sha256:…
    #[arg(short, long, value_name = "IMAGE[:TAG]|@DIGEST")]
    pub image: Option<String>,
    /// Its tag, when the image is given without one
    #[arg(short, long, value_name = "TAG")]
    pub tag: Option<String>,
    /// The settings; ./app.toml when it names the app, and those that the app has otherwise
    #[arg(short, long, value_name = "app.toml")]
    pub file: Option<PathBuf>,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub plan: bool,
    #[command(flatten)]
    pub waiting: Waiting,
    /// Options of the old command line, whose places are in app.toml now.
    #[arg(long, hide = true, value_name = "N")]
    pub port: Option<String>,
    #[arg(long, hide = true, value_name = "N", help = "Now `replicas` in app.toml")]
    pub replicas: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true", help = "Now `app:open`")]
    pub open: Option<String>,
    #[arg(long, hide = true, help = "Now `cpu` in app.toml")]
    pub cpu: Option<String>,
    #[arg(long, hide = true, help = "Now `placement` in app.toml")]
    pub placement: Option<String>,
    #[arg(long, hide = true, help = "Now `command` in app.toml")]
    pub action: Option<String>,
    #[arg(long, hide = true, allow_hyphen_values = true, help = "Not any more")]
    pub extra: Option<String>,
}

/// Of `app:link` and `app:unlink`.
#[derive(Debug, Args)]
pub struct Link {
    #[command(flatten)]
    pub flag: AppFlag,
    /// The app, when no flag names it, and the other one
    #[arg(value_name = "[APP] OTHER", required = true, num_args = 1..=2)]
    pub words: Vec<String>,
    #[command(flatten)]
    pub waiting: Waiting,
}

/// Of `app:access:add` and `app:access:rm`.
#[derive(Debug, Args)]
pub struct Visitors {
    #[command(flatten)]
    pub flag: AppFlag,
    /// The app, when no flag names it, and users and groups as the login's provider names them; `everybody` ends the list
    #[arg(value_name = "[APP] user:NAME|group:NAME|everybody", required = true)]
    pub words: Vec<String>,
}

/// Of `app:logs`.
#[derive(Debug, Args)]
pub struct Logs {
    #[command(flatten)]
    pub app: App,
    /// Go on with new lines
    #[arg(short, long)]
    pub follow: bool,
    /// Only lines since then: 90s, 15m, 2h, 3d, or a time like 2026-11-30T12:00:00Z
    #[arg(long, visible_alias = "start", value_name = "TIME")]
    pub since: Option<String>,
    /// So many lines of each task at most
    #[arg(long, value_name = "LINES")]
    pub tail: Option<u32>,
    /// Only this task: its id, or which of the replicas it is
    #[arg(long, value_name = "TASK")]
    pub task: Option<String>,
    /// Also of tasks that are gone
    #[arg(long)]
    pub previous: bool,
    /// Only lines that contain this
    #[arg(long, visible_alias = "filter", value_name = "TEXT")]
    pub grep: Option<String>,
    /// The lines only, without time and task
    #[arg(long)]
    pub plain: bool,
}

/// Of `app:run`.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub app: App,
    /// No terminal, even if there is one
    #[arg(short = 'T', long)]
    pub no_terminal: bool,
    /// A text for the image's `sh`, in the place of program and arguments
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "argv")]
    pub action: Option<String>,
    /// Program and arguments
    #[arg(last = true, value_name = "ARGV")]
    pub argv: Vec<String>,
}

/// Of `config:set` and `secret:set`.
#[derive(Debug, Args)]
pub struct Set {
    #[command(flatten)]
    pub flag: AppFlag,
    /// The app, and then KEY=VALUE, KEY=@FILE for the content of a file, KEY=@- for standard input; `@@` begins a value with one `@`. Only
    /// `-` is a dotenv file on standard input
    #[arg(value_name = "[APP] KEY=VALUE|KEY=@FILE|KEY=@-|-", required = true)]
    pub words: Vec<OsString>,
    /// Keep the running tasks as they are until the next deployment or change
    #[arg(long)]
    pub stage: bool,
    #[command(flatten)]
    pub waiting: Waiting,
}

/// Of `config:unset` and `secret:unset`.
#[derive(Debug, Args)]
pub struct Unset {
    #[command(flatten)]
    pub flag: AppFlag,
    /// Keys to remove
    #[arg(value_name = "KEY", required = true)]
    pub keys: Vec<String>,
    /// Keep the running tasks as they are until the next deployment or change
    #[arg(long)]
    pub stage: bool,
    #[command(flatten)]
    pub waiting: Waiting,
}

/// Of `config:get` and `secret:get`.
#[derive(Debug, Args)]
pub struct Get {
    #[command(flatten)]
    pub flag: AppFlag,
    /// The app, when no flag names it, and the key
    #[arg(value_name = "[APP] KEY", required = true, num_args = 1..=2)]
    pub words: Vec<String>,
    /// An older version, as `config:history` names it
    #[arg(long, value_name = "VERSION")]
    pub version: Option<String>,
}

/// Of `config` and `secret`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    pub app: App,
    /// Values, too
    #[arg(long)]
    pub show: bool,
    /// An older version, as `config:history` names it
    #[arg(long, value_name = "VERSION")]
    pub version: Option<String>,
}

/// Of `config:edit` and `config:import`.
#[derive(Debug, Args)]
pub struct Edit {
    #[command(flatten)]
    pub app: App,
    /// Keep the running tasks as they are until the next deployment or change
    #[arg(long)]
    pub stage: bool,
    #[command(flatten)]
    pub waiting: Waiting,
}

/// Of `config:import`.
#[derive(Debug, Args)]
pub struct Import {
    #[command(flatten)]
    pub flag: AppFlag,
    /// The app, when no flag names it, and a dotenv file; `-` is standard input. With --bucket only the app
    #[arg(value_name = "[APP] FILE|-", required_unless_present = "bucket", num_args = 1..=2)]
    pub words: Vec<String>,
    /// Remove the keys that the file does not name
    #[arg(long, conflicts_with = "bucket")]
    pub replace: bool,
    /// Take config and secrets of the old tool out of this bucket, which the cluster's specification has to name; for admins
    #[arg(long, value_name = "BUCKET")]
    pub bucket: Option<String>,
    /// The old service, whose objects are PREFIX/ENV/KEY; the app's name without one
    #[arg(long, value_name = "PREFIX", requires = "bucket")]
    pub prefix: Option<String>,
    /// The old environment, with --bucket; `default` without one. Docker secrets are found beside it
    // Of the same name as the option that all commands have, in whose place it is here.
    #[arg(short = 'e', long = "env", value_name = "ENV")]
    pub environment: Option<String>,
    /// The KMS key that opens the objects; the one of the cluster's specification without one
    #[arg(long, value_name = "ARN", requires = "bucket")]
    pub key_arn: Option<String>,
    /// Show what would be taken, and change nothing
    #[arg(long, requires = "bucket")]
    pub plan: bool,
    /// Keep the running tasks as they are until the next deployment or change
    #[arg(long)]
    pub stage: bool,
    #[command(flatten)]
    pub waiting: Waiting,
}

/// Of `db:restore` and `db:drop`.
#[derive(Debug, Args)]
pub struct Losing {
    /// The app's name again; asked for on a terminal
    #[arg(long, value_name = "APP")]
    pub confirm: Option<String>,
    /// Take no backup of what is there
    #[arg(long)]
    pub without_backup: bool,
    /// The password that the old command line asked for.
    #[arg(long, hide = true, value_name = "TEXT", help = "Not any more: your role in the app counts")]
    pub password: Option<String>,
}

/// Of `config:history`, `secret:history` and `releases`.
#[derive(Debug, Args)]
pub struct Latest {
    #[command(flatten)]
    pub app: App,
    /// So many at most
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub limit: u32,
}

/// Of `config:diff`.
#[derive(Debug, Args)]
pub struct Diff {
    #[command(flatten)]
    pub flag: AppFlag,
    /// The earlier version, as `config:history` names it
    pub from: String,
    /// The later one; what counts now if there is none
    pub to: Option<String>,
    /// Compare secrets, and not config
    #[arg(long)]
    pub secrets: bool,
}

/// Of `image:push`.
#[derive(Debug, Args)]
pub struct Push {
    /// The app, and the tag that names the image there; `latest` without one
    #[arg(value_name = "APP[:TAG]")]
    pub target: Option<String>,
    #[command(flatten)]
    pub flag: AppFlag,
    /// An image of the Docker Engine on this machine, or `-` for an archive on standard input; the app's name without one
    #[arg(value_name = "IMAGE|-", conflicts_with_all = ["archive", "local"])]
    pub image: Option<String>,
    /// The same, as the old command line has it
    #[arg(short = 'i', long = "image", value_name = "IMAGE", conflicts_with = "archive")]
    pub local: Option<String>,
    /// The tag, as the old command line has it
    #[arg(short, long, value_name = "TAG")]
    pub tag: Option<String>,
    /// A file that `docker save` has written, or an OCI image layout as a tar file; both also with gzip
    #[arg(long, value_name = "FILE")]
    pub archive: Option<PathBuf>,
    /// For which nodes the image is
    #[arg(long, value_name = "OS/ARCHITECTURE", default_value = "linux/amd64")]
    pub platform: String,
}

/// Where to, and what is believed there.
#[derive(Debug, Args)]
pub struct Login {
    /// Your name in the cluster, and how it is reached
    #[arg(value_name = "NAME@HOST[:PORT]")]
    pub target: String,
    /// The public key of the cluster's SSH authority, from who runs the cluster
    #[arg(long, value_name = "FILE", required_unless_present = "trust_first", conflicts_with = "trust_first")]
    pub host_ca: Option<PathBuf>,
    /// Believe whoever answers now, and take the authority's key from them
    #[arg(long)]
    pub trust_first: bool,
    /// The private key to offer
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Another file than ~/.ssh/config; `none` for no file
    #[arg(long, value_name = "FILE")]
    pub ssh_config: Option<PathBuf>,
}

/// Of `admin:user:add`, `admin:user:set` and `admin:user:key:set`.
#[derive(Debug, Args)]
pub struct UserName {
    /// The user
    #[arg(value_name = "NAME", required_unless_present = "user")]
    pub name: Option<String>,
    /// The same, as the old command line has it
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    pub user: Option<String>,
}

/// Of `acl:user:add`.
#[derive(Debug, Args)]
pub struct Grant {
    /// A user, or a group with `@` before it
    #[arg(value_name = "USER|@GROUP")]
    pub principal: String,
    #[command(flatten)]
    pub flag: AppFlag,
    /// viewer, deployer or owner
    #[arg(long, default_value = "deployer", value_parser = role)]
    pub role: AppRole,
}

fn role(text: &str) -> Result<AppRole, String> {
    match text {
        "viewer" => Ok(AppRole::Viewer),
        "deployer" => Ok(AppRole::Deployer),
        "owner" => Ok(AppRole::Owner),
        _ => Err("there are viewer, deployer and owner".to_owned()),
    }
}
