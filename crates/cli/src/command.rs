//! What the commands do: a request each, and how its answer is shown. One file for each topic.

use std::cell::RefCell;
use std::time::Duration;

use futuswarm_rpc::message::{Answer, Event, Request};

use crate::arguments::{AppVerb, Arguments, DatabaseVerb, ImageVerb, NodeVerb, PeopleVerb, ValueVerb, Verb};
use crate::connection::{Connection, Incoming, PATIENCE, Trust};
use crate::failure::{Code, Failure, Result};
use crate::home::{self, Cluster, Home};
use crate::output::{self, Progress};
use crate::reference;

mod access;
mod app_name;
mod apps;
mod collect;
mod config;
mod databases;
mod deploy;
mod doctor;
mod images;
mod links;
mod login;
mod logs;
mod nodes;
mod private_login;
mod push;
mod run;
mod stats;
mod tokens;
mod users;
mod values;
mod version;
mod visitors;

/// What all commands are given.
pub struct Context {
    /// Documents in the place of tables.
    pub json: bool,
    /// No progress.
    pub quiet: bool,
    home: Home,
    wanted: Option<String>,
    /// Read once.
    cluster: RefCell<Option<Cluster>>,
}

impl Context {
    /// The cluster that the command is for.
    pub fn cluster(&self) -> Result<Cluster> {
        let mut known = self.cluster.borrow_mut();
        match known.as_ref() {
            Some(cluster) => Ok(cluster.clone()),
            None => Ok(known.insert(self.home.cluster(self.wanted.as_deref())?).clone()),
        }
    }

    /// Asks for something that the cluster has at hand.
    pub fn ask(&self, request: &Request) -> Result<Answer> {
        self.ask_for(request, Some(PATIENCE))
    }

    /// Asks for something that may take as long as it says.
    pub fn wait(&self, request: &Request) -> Result<Answer> {
        self.ask_for(request, None)
    }

    fn ask_for(&self, request: &Request, patience: Option<Duration>) -> Result<Answer> {
        let mut progress = Progress::new(self.quiet);
        let answer = self.connect()?.ask(request, patience, |incoming, _| {
            if let Incoming::Event(event) = incoming {
                show(&event, &mut progress);
            }
            Ok(())
        });
        progress.clear();
        answer.map_err(|failure| self.with_suggestion(request, failure))
    }

    /// A connection to the cluster.
    pub fn connect(&self) -> Result<Connection> {
        Connection::open(&self.cluster()?, Trust::Authority)
    }

    /// Adds the name that somebody may have meant, when there is no app of the name that they typed.
    pub fn with_suggestion(&self, request: &Request, mut failure: Failure) -> Failure {
        let Some(app) = app_name::of(request).filter(|_| failure.code == Code::NotFound) else { return failure };
        let asked = self.connect().and_then(|connection| connection.ask(&Request::Apps, Some(PATIENCE), |_, _| Ok(())));
        let Ok(Answer::Apps(rows)) = asked else { return failure };
        let is_unknown = |name: &&str| !rows.iter().any(|row| row.app == *name);
        let unknown = std::iter::once(app).chain(app_name::other(request)).find(is_unknown);
        let Some(app) = unknown else { return failure };
        if let Some(nearest) = crate::suggest::nearest(app, rows.iter().map(|row| row.app.as_str())) {
            failure.message.push_str(&format!("; did you mean {nearest}?"));
        }
        failure
    }
}

/// Shows what is said on the way to an answer.
pub fn show(event: &Event, progress: &mut Progress) {
    match event {
        Event::Progress { text, elapsed, limit } => progress.step(text, *elapsed, *limit),
        Event::Note { text } => progress.note(text),
        Event::Log(_) | Event::Ready { .. } | Event::Done { .. } | Event::Failed(_) => {}
    }
}

/// When the answer is not the one to what was asked.
pub fn unexpected(answer: &Answer) -> Failure {
    // Only its kind: the rest may be secret.
    let kind = serde_json::to_value(answer).ok().and_then(|value| value["answer"].as_str().map(str::to_owned));
    let kind = kind.unwrap_or_default();
    Failure::new(
        Code::Versions,
        format!(
            "the cluster answered something else ({kind}) than was asked for: get the command line of this cluster from its main page"
        ),
    )
}

/// Takes what an answer has, or ends with [`unexpected`].
macro_rules! content {
    ($answer:expr, $kind:ident) => {
        match $answer {
            futuswarm_rpc::message::Answer::$kind(content) => content,
            other => return Err($crate::command::unexpected(&other)),
        }
    };
}
use content;

/// Prints what an answer with one line for people says.
fn done(context: &Context, answer: Answer) -> Result<u8> {
    let line = content!(answer, Done);
    match context.json {
        true => output::json(&serde_json::json!({ "done": line }))?,
        false => futuswarm_output::println!("{}", output::plain(&line)),
    }
    Ok(0)
}

/// Prints rows: as one document, or as a table with a line for each, and `none` in its place when there are none.
fn table<T: serde::Serialize>(
    context: &Context,
    rows: &[T],
    heads: &[&str],
    none: &str,
    cells: impl Fn(&T) -> Vec<String>,
) -> Result<u8> {
    match context.json {
        true => output::json(&rows)?,
        false => output::table(heads, &rows.iter().map(cells).collect::<Vec<_>>(), none),
    }
    Ok(0)
}

/// Asks on the terminal for the name of what is going to be changed for good.
fn confirm(what: &str, name: &str, given: Option<&str>) -> Result<()> {
    use std::io::{BufRead as _, IsTerminal as _};
    let typed = match given {
        Some(given) => given.to_owned(),
        None if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() => {
            futuswarm_output::eprint!("{what}. Type {name} to go on: ");
            let mut line = String::new();
            let read = std::io::stdin().lock().read_line(&mut line);
            read.map_err(|error| Failure::failed(format!("cannot read what you type: {error}")))?;
            line.trim().to_owned()
        }
        None => return Err(Failure::usage(format!("{what}: without a terminal it takes `--confirm {name}`"))),
    };
    match typed == name {
        true => Ok(()),
        false => Err(Failure::usage(format!("{typed:?} is not {name}: nothing was done"))),
    }
}

/// Does what the arguments say, and returns the exit code.
pub fn run(arguments: Arguments) -> Result<u8> {
    let Arguments { json, quiet, cluster, environment: _default, verb } = arguments;
    if let Verb::Completions { shell } = verb {
        return reference::completions(shell);
    }
    let wanted = cluster.clone().or_else(home::of_environment);
    let context = Context { json, quiet, home: Home::find()?, wanted, cluster: RefCell::new(None) };
    let context = &context;
    match verb {
        Verb::Login(options) => login::login(context, &context.home, cluster.as_deref(), &options),
        Verb::Whoami => login::whoami(context),
        Verb::Clusters => login::clusters(context, &context.home),
        Verb::ClustersUse { name } => login::choose(context, &context.home, &name),
        Verb::VersionCheck => version::version_check(context),
        Verb::Doctor(app) => doctor::doctor(context, &app),
        Verb::App(verb) => app(context, verb),
        Verb::Value(verb) => value(context, verb),
        Verb::Database(verb) => database(context, verb),
        Verb::Image(verb) => image(context, verb),
        Verb::People(verb) => people(context, verb),
        Verb::Node(verb) => node(context, verb),
        // Answered above, without a folder of our own.
        Verb::Completions { .. } => Ok(0),
    }
}

fn app(context: &Context, verb: AppVerb) -> Result<u8> {
    match verb {
        AppVerb::Deploy(options) => deploy::deploy(context, &options),
        AppVerb::Restart { app, waiting } => deploy::restart(context, &app, &waiting),
        AppVerb::Scale { flag, words, waiting } => deploy::scale(context, &flag, &words, &waiting),
        AppVerb::Rollback { flag, words, waiting } => deploy::rollback(context, &flag, &words, &waiting),
        AppVerb::Watch { flag, words, release } => deploy::watch(context, &flag, &words, release),
        AppVerb::Cancel(app) => deploy::cancel(context, &app),
        AppVerb::Apps(flag) => apps::list(context, &flag),
        AppVerb::Inspect(app) => apps::inspect(context, &app),
        AppVerb::Ps(app) => apps::ps(context, &app),
        AppVerb::Releases(latest) => apps::releases(context, &latest),
        AppVerb::Why { app, release } => apps::why(context, &app, release),
        AppVerb::Browse { app, print } => apps::browse(context, &app, print),
        AppVerb::Link(words) => links::change(context, &words, false),
        AppVerb::Unlink(words) => links::change(context, &words, true),
        AppVerb::Links(app) => links::list(context, &app),
        AppVerb::AccessList(app) => visitors::list(context, &app),
        AppVerb::AccessAdd(given) => visitors::add(context, &given),
        AppVerb::AccessRemove(given) => visitors::remove(context, &given),
        AppVerb::Open { app, confirm } => visitors::open(context, &app, confirm.as_deref()),
        AppVerb::Private(app) => visitors::private(context, &app),
        AppVerb::Remove { app, confirm } => apps::remove(context, &app, confirm.as_deref()),
        AppVerb::Logs(options) => logs::logs(context, &options),
        AppVerb::Run(options) => run::run(context, &options),
        AppVerb::Shell(app) => run::shell(context, &app),
    }
}

fn value(context: &Context, verb: ValueVerb) -> Result<u8> {
    match verb {
        ValueVerb::Config(list) => config::list(context, &list, config::CONFIG),
        ValueVerb::ConfigGet(get) => config::get(context, &get, config::CONFIG),
        ValueVerb::ConfigSet(set) => config::set(context, &set, config::CONFIG),
        ValueVerb::ConfigUnset(unset) => config::unset(context, &unset, config::CONFIG),
        ValueVerb::ConfigEdit(edit) => config::edit(context, &edit),
        ValueVerb::ConfigImport(import) => config::import(context, &import),
        ValueVerb::ConfigHistory(latest) => config::history(context, &latest, config::CONFIG),
        ValueVerb::ConfigDiff(diff) => config::diff(context, &diff),
        ValueVerb::Secret(list) => config::list(context, &list, config::SECRETS),
        ValueVerb::SecretGet(get) => config::get(context, &get, config::SECRETS),
        ValueVerb::SecretSet(set) => config::set(context, &set, config::SECRETS),
        ValueVerb::SecretUnset(unset) => config::unset(context, &unset, config::SECRETS),
        ValueVerb::SecretHistory(latest) => config::history(context, &latest, config::SECRETS),
    }
}

fn database(context: &Context, verb: DatabaseVerb) -> Result<u8> {
    match verb {
        DatabaseVerb::List(app) => databases::list(context, &app),
        DatabaseVerb::Create { app, waiting } => databases::create(context, &app, &waiting),
        DatabaseVerb::Psql { app, no_terminal } => run::psql(context, &app, no_terminal),
        DatabaseVerb::Backup(app) => databases::backup(context, &app),
        DatabaseVerb::Restore { app, backup, losing } => databases::restore(context, &app, backup, &losing),
        DatabaseVerb::Rotate { app, waiting } => databases::rotate(context, &app, &waiting),
        DatabaseVerb::Drop { app, losing } => databases::end(context, &app, &losing),
    }
}

fn image(context: &Context, verb: ImageVerb) -> Result<u8> {
    match verb {
        ImageVerb::Push(push) => images::push(context, &context.home, &push),
        ImageVerb::List(app) => images::list(context, &app),
        ImageVerb::Gc { flag, keep, plan, wait } => collect::collect(context, &flag, keep, plan, wait),
    }
}

fn people(context: &Context, verb: PeopleVerb) -> Result<u8> {
    match verb {
        PeopleVerb::AclList(app) => access::list(context, &app),
        PeopleVerb::AclAdd(grant) => access::add(context, &grant),
        PeopleVerb::AclRemove { principal, flag } => access::remove(context, &principal, &flag),
        PeopleVerb::AclServices { name } => access::services(context, &name),
        PeopleVerb::Tokens(app) => tokens::list(context, &app),
        PeopleVerb::TokensCreate { name, flag, days } => tokens::create(context, &name, &flag, days),
        PeopleVerb::TokensRevoke { name, flag } => tokens::revoke(context, &name, &flag),
        PeopleVerb::Users => users::list(context, false),
        PeopleVerb::Admins => users::list(context, true),
        PeopleVerb::UserAdd { user, key, admin, group } => users::add(context, &user, &key, admin, group),
        PeopleVerb::UserSet { user, admin, group, no_groups } => users::set(context, &user, admin, group, no_groups),
        PeopleVerb::UserKey { user, key } => users::keys(context, &user, &key),
        PeopleVerb::UserRemove(user) => users::remove(context, &user),
        PeopleVerb::PrivateLogin => private_login::show(context),
        PeopleVerb::Locked => private_login::locked(context),
        PeopleVerb::Lock { words } => private_login::lock(context, &words),
        PeopleVerb::Unlock { words } => private_login::unlock(context, &words),
        PeopleVerb::RotateLogin { now, confirm } => private_login::rotate(context, now, confirm.as_deref()),
        PeopleVerb::Audit { limit } => users::audit(context, limit),
    }
}

fn node(context: &Context, verb: NodeVerb) -> Result<u8> {
    match verb {
        NodeVerb::NodeLocation(app) => apps::location(context, &app),
        NodeVerb::RestartAll { yes } => nodes::restart_all(context, yes),
        NodeVerb::Nodes => nodes::list(context, false),
        NodeVerb::NodeJson => nodes::list(context, true),
        NodeVerb::Stats => stats::stats(context),
        NodeVerb::NetworkHealth(flag) => stats::networks(context, &flag),
        NodeVerb::LabelAdd { label, node } => nodes::label(context, &node, &label, true),
        NodeVerb::LabelRemove { label, node } => nodes::label(context, &node, &label, false),
    }
}
