//! The control service's clients, and the one way from a request to its answer: who asks, whether they may, and who does it.

mod names;

use std::collections::BTreeMap;
use std::sync::Arc;

use futuswarm_database::Databases;
use futuswarm_model::{AppRecord, CliRelease, Release, SshAuthority, app_name, keys};
use futuswarm_paas::access::{self, Actor, Target, Verb};
use futuswarm_rpc::message::{Admit, Answer, CommandLine, Event, Kind, Request, Whoami};
use futuswarm_rpc::{Caller, Identity};
use futuswarm_store::{Blobs, Bucket};
use futuswarm_swarm::{Engine, Environment, NetworkApi as _};
use futuswarm_vault::DataKeys;

use crate::audit::Audited;
use crate::client::Client;
use crate::clock::Clock;
use crate::desired::{self, Content};
use crate::import::{self, OldTool};
use crate::records::Records;
use crate::refusal::Refused;
use crate::registry::Registry;
use crate::rollout::Drives;
use crate::serve::Connections;
use crate::verbs::{self, Subject};
use crate::{
    Error, admission, apps, collect, databases, deploy, links, login, logs, networks, nodes, people, push, records,
    removal, rollout, run, standing, stats, values,
};

/// The types of a control service's clients.
pub trait Platform: Send + Sync + Sized + 'static {
    /// The cluster's bucket.
    type Bucket: Bucket + Blobs + Clone + 'static;
    /// What opens sealed documents.
    type Keys: DataKeys + Clone + 'static;
    /// The node's Docker Engine.
    type Engine: Engine;
    /// The node's image registry.
    type Registry: Registry;
    /// The cluster's database server.
    type Databases: Databases + 'static;
    /// The wall clock.
    type Clock: Clock;
    /// Where the old tool's objects are.
    type Old: OldTool;
}

/// What the service knows of its cluster and its node.
#[derive(Debug, Clone)]
pub struct Facts {
    /// As in its specification; encryption contexts name it.
    pub cluster: String,
    /// Apps are named below it.
    pub domain: String,
    /// The instance's id, by which managers tell each other apart.
    pub node: String,
    /// How visitors reach the balancer: `https`, and a port where it is not the usual one.
    pub public: String,
}

/// The container image that programs of the node's own `/usr` run in, out of the node's image and not of a registry.
#[derive(Debug, Clone)]
pub struct Tools {
    /// Its name on the node.
    pub image: String,
    /// What it is loaded from when it is not there.
    pub archive: std::path::PathBuf,
}

/// The control service.
pub struct Control<P: Platform> {
    pub(crate) records: Records<P::Bucket, P::Keys>,
    pub(crate) engine: P::Engine,
    pub(crate) registry: P::Registry,
    pub(crate) clock: P::Clock,
    pub(crate) old: P::Old,
    pub(crate) facts: Facts,
    pub(crate) drives: Drives,
    pub(crate) shares: collect::Shares,
    pub(crate) databases: P::Databases,
    /// What PostgreSQL's programs run in.
    pub(crate) tools: Tools,
    pub(crate) connections: Connections,
    /// Where the secrets of one-off programs are, in memory.
    pub(crate) programs: std::path::PathBuf,
    /// Where lines of the audit go; a task of its own writes them to the bucket.
    pub(crate) audits: tokio::sync::mpsc::Sender<Audited>,
}

impl<P: Platform> Control<P> {
    /// The version of this program.
    pub(crate) fn program(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// Who is calling, as their record says now: a connection may be older than its end.
    pub(crate) async fn actor(&self, caller: &Caller) -> Result<Actor, Refused> {
        match &caller.identity {
            Identity::User(name) => {
                let user = self.records.user(name).await.map_err(Error::from)?;
                standing::person(caller, name, user.as_ref())
            }
            Identity::Token { app, name } => {
                let record = self.records.app(app).await.map_err(Error::from)?;
                standing::program(caller, app, name, record.as_ref())
            }
        }
    }

    /// Whether the actor may, and the app's record where there is one.
    async fn authorise(&self, actor: &Actor, request: &Request) -> Result<Option<AppRecord>, Refused> {
        let (Some(verb), subject) = verbs::verb(request) else { return Ok(None) };
        let now = self.clock.unix_millis();
        let Subject::App(name) = subject else {
            access::decide(actor, verb, Target::Cluster, now)?;
            return Ok(None);
        };
        app_name(name).map_err(Refused::usage)?;
        let record = self.records.app(name).await.map_err(Error::from)?;
        let target = match &record {
            Some(record) => Target::App { name, access: &record.access },
            None => Target::NewApp { name },
        };
        match (access::decide(actor, verb, target, now), &record) {
            (Ok(()), _) => Ok(record),
            // A user may know that a name is free: the first deployment of it says so anyway.
            (Err(_), None)
                if matches!(actor, Actor::User { .. })
                    && !verb.begins_an_app()
                    && !access::CORE_APPS.contains(&name) =>
            {
                Err(Refused::not_found(format!("there is no app {name}")))
            }
            (Err(denied), _) => Err(denied.into()),
        }
    }

    /// Does what was asked for, if the actor may.
    pub(crate) async fn handle(
        self: &Arc<Self>,
        actor: &Actor,
        request: Request,
        client: &mut Client,
    ) -> Result<Answer, Refused> {
        let record = self.authorise(actor, &request).await?;
        match request {
            Request::Whoami => self.whoami(actor).await,
            Request::Apps => apps::list(self, actor, None).await,
            Request::AppsOf { user } => apps::list(self, actor, Some(&user)).await,
            Request::App { app } => apps::show(self, actor, self.existing_or(record, &app)?).await,
            Request::Releases { app, limit } => apps::releases(self, self.existing_or(record, &app)?, limit).await,
            Request::Why { app, release } => apps::why(self, self.existing_or(record, &app)?, release).await,
            Request::Remove { app } => removal::remove(self, &app).await,
            Request::Deploy(request) => deploy::deploy(self, actor, request, client).await,
            Request::Rollback { app, to, wait } => {
                deploy::rollback(self, actor, &app, to, &wait, client).await.map(Answer::Deployment)
            }
            Request::Scale { app, replicas, wait } => {
                deploy::scale(self, actor, &app, replicas, &wait, client).await.map(Answer::Deployment)
            }
            Request::Restart { app, wait } => {
                deploy::restart(self, actor, &app, &wait, client).await.map(Answer::Deployment)
            }
            Request::Cancel { app } => deploy::cancel(self, &app).await,
            Request::Watch { app, release } => {
                let record = self.existing_or(record, &app)?;
                let number = release.unwrap_or(record.latest);
                deploy::watch(self, &app, number, record.release, client).await.map(Answer::Deployment)
            }
            Request::Values { app, kind, show, key, version } => {
                values::show(self, &app, kind, show, key.as_deref(), version.as_deref()).await
            }
            request @ Request::Change { .. } => values::change(self, actor, request, client).await,
            Request::Import(request) => import::import(self, actor, request, client).await,
            Request::History { app, kind, limit } => values::history(self, &app, kind, limit).await,
            Request::CompareVersions { app, kind, from, to } => {
                values::compare(self, &app, kind, &from, to.as_deref()).await
            }
            Request::Logs(request) => logs::logs(self, request, client).await,
            Request::Run { app, argv, terminal } => {
                run::run(self, actor, self.existing_or(record, &app)?, argv, terminal, client).await
            }
            Request::Access { app } => people::access(self.existing_or(record, &app)?),
            Request::Grant { app, principal, role } => people::grant(self, actor, &app, principal, role).await,
            Request::Revoke { app, principal } => people::revoke(self, actor, &app, &principal).await,
            Request::Users { admins } => people::users(self, admins).await,
            Request::PutUser { name, create, keys, admin, groups } => {
                people::put(self, people::Change { name, create, keys, admin, groups }, client).await
            }
            Request::RemoveUser { name } => people::remove(self, actor, &name).await,
            Request::Tokens { app } => people::tokens(self.existing_or(record, &app)?),
            Request::CreateToken { app, name, key, days } => {
                people::create_token(self, actor, &app, &name, &key, days).await
            }
            Request::RevokeToken { app, name } => people::revoke_token(self, &app, &name).await,
            Request::Nodes => nodes::list(self).await,
            Request::LabelNode { node, label, value } => nodes::label(self, &node, &label, value.as_deref()).await,
            Request::Audit { limit } => nodes::audit(self, limit).await,
            Request::RestartAll => apps::restart_all(self, actor, client).await,
            // Nothing is there of an app that is not: its name may be that of one which is being removed.
            Request::FindBlobs { app, digests } => {
                // What a push asks first; the app begins with its first layer.
                if record.is_none() {
                    self.note_slip(&app, actor, Verb::PushImage, client).await;
                }
                push::find(self, record.is_some(), &app, &digests, client).await
            }
            Request::PutBlob { app, digest, length } => {
                // Who pushes first begins the app, so that nobody's bytes are kept for a name that nobody has.
                if record.is_none() {
                    push::announced(&digest, length)?;
                    self.create_unless_there(&app, actor, Verb::PushImage).await?;
                }
                push::blob(self, actor, &app, &digest, length, client).await
            }
            Request::PutManifest { app, tag, media_type, manifest } => {
                push::manifest(self, actor, &app, push::Named { tag, media_type, manifest }, client).await
            }
            Request::Images { app } => push::images(self, &app).await,
            Request::CollectImages { app, keep, plan, wait } => {
                collect::collect(self, actor, collect::Wanted { app, keep, plan, wait }, client).await
            }
            Request::Stats => stats::stats(self).await,
            Request::Networks => networks::networks(self, actor).await,
            Request::Link(request) => links::change(self, actor, request, client).await,
            Request::Links { app } => links::list(self, self.existing_or(record, &app)?).await,
            Request::Admit(Admit { app, change: None }) => admission::show(self, self.existing_or(record, &app)?).await,
            Request::Admit(Admit { app, change: Some(change) }) => admission::change(self, actor, &app, &change).await,
            Request::Login { order } => login::handle(self, order).await,
            Request::Database { app } => databases::show(self, self.existing_or(record, &app)?, client).await,
            Request::CreateDatabase { app, wait } => databases::create(self, actor, &app, wait, client).await,
            Request::RotateDatabase { app, wait } => databases::rotate(self, actor, &app, wait, client).await,
            Request::BackUpDatabase { app } => {
                databases::back_up(self, actor, &self.existing_or(record, &app)?, client).await
            }
            Request::RestoreDatabase { app, backup, without_backup } => {
                let safely = !without_backup;
                databases::restore(self, actor, &self.existing_or(record, &app)?, backup, safely, client).await
            }
            Request::OpenDatabase { app, terminal } => {
                databases::open(self, actor, &self.existing_or(record, &app)?, terminal, client).await
            }
            Request::DropDatabase { app, without_backup } => {
                databases::end(self, actor, &self.existing_or(record, &app)?, !without_backup, client).await
            }
        }
    }

    async fn whoami(&self, actor: &Actor) -> Result<Answer, Refused> {
        let (name, token_of, admin, groups) = match actor.clone() {
            Actor::User { name, admin, groups } => (name, None, admin, groups),
            Actor::Token { name, app, .. } => (name, Some(app), false, std::collections::BTreeSet::new()),
        };
        let (host_ca, command_line) = tokio::join!(self.host_ca(), self.command_line());
        Ok(Answer::Whoami(Whoami {
            name,
            token_of,
            admin,
            groups,
            cluster: self.facts.cluster.clone(),
            domain: self.facts.domain.clone(),
            node: self.facts.node.clone(),
            version: self.program().to_owned(),
            host_ca: host_ca?,
            command_line,
        }))
    }

    /// What the main page offers. Whoever asks who they are need not know it: what cannot be read is left out.
    async fn command_line(&self) -> Option<CommandLine> {
        let document = match self.records.store().peek::<CliRelease>(keys::CLI_RELEASE).await {
            Ok(document) => document?.value,
            Err(error) => {
                tracing::warn!(%error, "which command line is offered is not known");
                return None;
            }
        };
        document.check().ok()?;
        let CliRelease { version, sha256, bytes } = document;
        Some(CommandLine { version, sha256, bytes, url: format!("{}/cli/futuswarm", self.at(&self.facts.domain)) })
    }

    /// The public half of the authority that signs host keys; empty before there is one.
    async fn host_ca(&self) -> Result<String, Refused> {
        let document = self.records.store().peek::<SshAuthority>(keys::SSH_AUTHORITY).await;
        let document = document.map_err(|error| Refused::from(records::Error::from(error)))?;
        Ok(document.map(|document| document.value.public).unwrap_or_default())
    }

    fn existing_or(&self, record: Option<AppRecord>, app: &str) -> Result<AppRecord, Refused> {
        record.ok_or_else(|| Refused::not_found(format!("there is no app {app}")))
    }

    /// The record of an app that has to exist.
    pub(crate) async fn existing(&self, app: &str) -> Result<AppRecord, Refused> {
        let record = self.records.app(app).await.map_err(Error::from)?;
        self.existing_or(record, app)
    }

    /// Where an app is served.
    pub(crate) fn url(&self, app: &str) -> String {
        self.at(&desired::host(app, &self.facts.domain))
    }

    /// How visitors reach a host of the cluster.
    fn at(&self, host: &str) -> String {
        let (scheme, port) = self.facts.public.split_once(':').unwrap_or((&self.facts.public, ""));
        if port.is_empty() { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") }
    }

    /// What a release runs with, out of the bucket and the Swarm; on the networks that the app's `record` says, whatever it was on when
    /// the release was made.
    pub(crate) async fn content(&self, release: &Release, record: Option<&AppRecord>) -> Result<Content, Error> {
        let app = &release.app;
        let config = match &release.config {
            Some(version) => self.opened(app, Kind::Config, version).await?,
            None => BTreeMap::new(),
        };
        let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
        let config: Environment = config.into_iter().map(|(key, value)| (key, text(value))).collect();
        let secrets = match &release.secrets {
            Some(version) => {
                let values = self.opened(app, Kind::Secrets, version).await?;
                rollout::secrets(&self.engine, app, version, &values).await?
            }
            None => Vec::new(),
        };
        // Its own network first: on that the edge reaches it.
        let mut networks = vec![self.engine.ensure_overlay(&desired::network_name(app)).await?];
        if let Some(record) = record {
            networks.extend(links::ensured(self, record).await?);
        }
        Ok(Content { config, secrets, networks, domain: self.facts.domain.clone() })
    }

    /// [`Control::create_unless_there`], which says so when the name may be a slip for that of another app.
    pub(crate) async fn begin(&self, app: &str, actor: &Actor, verb: Verb, client: &Client) -> Result<bool, Refused> {
        let is_new = self.create_unless_there(app, actor, verb).await?;
        if is_new {
            self.note_slip(app, actor, verb, client).await;
        }
        Ok(is_new)
    }

    /// Names the app that was meant perhaps, if the actor may do the same to that one. Nothing fails by it.
    async fn note_slip(&self, app: &str, actor: &Actor, verb: Verb, client: &Client) {
        let apps = match self.records.apps().await {
            Ok(apps) => apps,
            Err(error) => {
                tracing::debug!(%error, app, "whether its name is like that of another app is not known");
                return;
            }
        };
        let now = self.clock.unix_millis();
        let meant = apps.into_iter().find(|(name, entry)| {
            let target = Target::App { name: name.as_str(), access: &entry.access };
            names::is_a_slip(app, name) && access::decide(actor, verb, target, now).is_ok()
        });
        if let Some((meant, _)) = meant {
            let text = format!(
                "{app} is a new app, and there is {meant}, too: if you meant that one, `futuswarm app:remove {app}` takes {app} away again"
            );
            let _gone = client.send(&Event::Note { text }).await;
        }
    }

    /// Makes an app that nobody has: who begins it owns it. Returns whether there was none until now.
    pub(crate) async fn create_unless_there(&self, app: &str, actor: &Actor, verb: Verb) -> Result<bool, Refused> {
        if let Some(record) = self.records.app(app).await.map_err(Error::from)? {
            // It may have been made since the request was allowed, by somebody else.
            return self.allowed(actor, verb, &record).map(|()| false);
        }
        let Actor::User { name, .. } = actor else { return Err(Refused::not_found(format!("there is no app {app}"))) };
        let mut made = self.records.create_app(app, name, self.clock.unix_millis()).await;
        // Somebody has left the removal of the app before it: it is carried on with here, so that nothing of that app is this one's.
        if matches!(made, Err(records::Error::BeingRemoved(_))) && removal::carry_on(self, app).await? {
            made = self.records.create_app(app, name, self.clock.unix_millis()).await;
        }
        match made {
            // At the same moment, perhaps by the same person: who owns it may go on.
            Err(records::Error::AppExists(_)) => self.allowed(actor, verb, &self.existing(app).await?).map(|()| false),
            made => made.map(|_| true).map_err(|error| Error::from(error).into()),
        }
    }

    /// Whether the actor may do this to the app as its record is now.
    pub(crate) fn allowed(&self, actor: &Actor, verb: Verb, record: &AppRecord) -> Result<(), Refused> {
        let target = Target::App { name: &record.name, access: &record.access };
        Ok(access::decide(actor, verb, target, self.clock.unix_millis())?)
    }

    /// Leaves a line for the audit.
    pub(crate) fn audit(&self, audited: Audited) {
        // The journal has it already; a bucket that does not answer for so long is not waited for.
        if self.audits.try_send(audited).is_err() {
            tracing::warn!("a line of the audit is in the journal only: the bucket takes none");
        }
    }
}
