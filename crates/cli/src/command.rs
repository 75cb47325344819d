//! What the commands do: a request each, and how its answer is shown. One file for each topic.

use std::cell::RefCell;
use std::time::Duration;

use futuswarm_rpc::message::{Answer, Event, Request};

use crate::arguments::{Arguments, Verb};
use crate::connection::{Connection, Incoming, PATIENCE, Trust};
use crate::failure::{Code, Failure, Result};
use crate::home::{Cluster, Home};
use crate::output::{self, Progress};
use crate::reference;

mod access;
mod app_name;
mod apps;
mod config;
mod deploy;
mod doctor;
mod images;
mod login;
mod logs;
mod nodes;
mod run;
mod tokens;
mod users;
mod values;

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
        if rows.iter().any(|row| row.app == app) {
            return failure;
        }
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
    let Arguments { json, quiet, cluster, verb } = arguments;
    if let Verb::Completions { shell } = verb {
        return reference::completions(shell);
    }
    let context = Context { json, quiet, home: Home::find()?, wanted: cluster, cluster: RefCell::new(None) };
    let context = &context;
    match verb {
        Verb::Login(options) => login::login(context, &context.home, context.wanted.as_deref(), &options),
        Verb::Whoami => login::whoami(context),
        Verb::Clusters => login::clusters(context, &context.home),
        Verb::ClustersUse { name } => login::choose(&context.home, &name),
        Verb::VersionCheck => login::version_check(context),
        Verb::Doctor(app) => doctor::doctor(context, &app),
        Verb::Deploy(options) => deploy::deploy(context, &options),
        Verb::Restart { app, waiting } => deploy::restart(context, &app, &waiting),
        Verb::Scale { flag, words, waiting } => deploy::scale(context, &flag, &words, &waiting),
        Verb::Rollback { flag, words, waiting } => deploy::rollback(context, &flag, &words, &waiting),
        Verb::Watch { app, release } => deploy::watch(context, &app, release),
        Verb::Cancel(app) => deploy::cancel(context, &app),
        Verb::Apps(flag) => apps::list(context, &flag),
        Verb::Inspect(app) => apps::inspect(context, &app),
        Verb::Ps(app) => apps::ps(context, &app),
        Verb::NodeLocation(app) => apps::location(context, &app),
        Verb::Releases(latest) => apps::releases(context, &latest),
        Verb::Why { app, release } => apps::why(context, &app, release),
        Verb::Open { app, print } => apps::open(context, &app, print),
        Verb::Remove { app, confirm } => apps::remove(context, &app, confirm.as_deref()),
        Verb::Logs(options) => logs::logs(context, &options),
        Verb::Run(options) => run::run(context, &options),
        Verb::Shell(app) => run::shell(context, &app),
        Verb::Config(list) => config::list(context, &list, config::CONFIG),
        Verb::ConfigGet(get) => config::get(context, &get, config::CONFIG),
        Verb::ConfigSet(set) => config::set(context, &set, config::CONFIG),
        Verb::ConfigUnset(unset) => config::unset(context, &unset, config::CONFIG),
        Verb::ConfigEdit(edit) => config::edit(context, &edit),
        Verb::ConfigImport(import) => config::import(context, &import),
        Verb::ConfigHistory(latest) => config::history(context, &latest, config::CONFIG),
        Verb::ConfigDiff(diff) => config::diff(context, &diff),
        Verb::Secret(list) => config::list(context, &list, config::SECRETS),
        Verb::SecretGet(get) => config::get(context, &get, config::SECRETS),
        Verb::SecretSet(set) => config::set(context, &set, config::SECRETS),
        Verb::SecretUnset(unset) => config::unset(context, &unset, config::SECRETS),
        Verb::SecretHistory(latest) => config::history(context, &latest, config::SECRETS),
        Verb::ImagePush(push) => images::push(context, &context.home, &push),
        Verb::ImageList(app) => images::list(context, &app),
        Verb::AclList(app) => access::list(context, &app),
        Verb::AclAdd(grant) => access::add(context, &grant),
        Verb::AclRemove { principal, flag } => access::remove(context, &principal, &flag),
        Verb::AclServices { name } => access::services(context, &name),
        Verb::Tokens(app) => tokens::list(context, &app),
        Verb::TokensCreate { name, flag, days } => tokens::create(context, &name, &flag, days),
        Verb::TokensRevoke { name, flag } => tokens::revoke(context, &name, &flag),
        Verb::Users => users::list(context, false),
        Verb::Admins => users::list(context, true),
        Verb::UserAdd { user, key, admin, group } => users::add(context, &user, &key, admin, group),
        Verb::UserSet { user, admin, group, no_groups } => users::set(context, &user, admin, group, no_groups),
        Verb::UserKey { user, key } => users::keys(context, &user, &key),
        Verb::UserRemove(user) => users::remove(context, &user),
        Verb::Audit { limit } => users::audit(context, limit),
        Verb::RestartAll { yes } => nodes::restart_all(context, yes),
        Verb::Nodes => nodes::list(context, false),
        Verb::NodeJson => nodes::list(context, true),
        Verb::LabelAdd { label, node } => nodes::label(context, &node, &label, true),
        Verb::LabelRemove { label, node } => nodes::label(context, &node, &label, false),
        // Answered above, without a folder of our own.
        Verb::Completions { .. } => Ok(0),
    }
}
