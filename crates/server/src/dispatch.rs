//! The one way from a request to its answer: who asks, whether they may, and who does it.

use std::sync::Arc;

use futuswarm_model::{AppRecord, CliRelease, SshAuthority, app_name, keys};
use futuswarm_paas::access::{self, Actor, Target, Verb};
use futuswarm_rpc::message::{Admit, Answer, CommandLine, Request, Whoami};
use futuswarm_rpc::{Caller, Identity};

use crate::client::Client;
use crate::clock::Clock as _;
use crate::refusal::Refused;
use crate::verbs::{self, Subject};
use crate::{
    Control, Error, Platform, admission, apps, collect, databases, deploy, import, links, login, logs, networks, nodes,
    people, push, records, removal, run, standing, stats, values,
};

impl<P: Platform> Control<P> {
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
}
