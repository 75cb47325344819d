//! Taking an app's config and secrets out of the old tool's bucket, which is only read: `PREFIX/ENVIRONMENT/KEY` is config, and
//! `PREFIX/docker-secret/KEY` are secrets.
//!
//! Only an admin may ask for it, and only the bucket and the key of the specification's `[import]` are read: that table is what gives
//! managers the right to. One object that cannot be read or opened ends nothing but itself.

mod decide;
mod old;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futuswarm_model::{ImportSource, app_name, keys};
use futuswarm_paas::access::{self, Actor, Target, Verb};
use futuswarm_rpc::message::{Answer, Import, ImportOutcome, Imported, ImportedObject, Kind};
use serde::Deserialize;

use crate::client::Client;
use crate::clock::Clock as _;
use crate::refusal::Refused;
use crate::values::{self, Content};
use crate::{Control, Error, Platform, records};
use decide::{Decision, decide};
pub(crate) use old::OldBuckets;
use old::{Old, Wanted};

/// The old environment whose values were Docker secrets.
const DOCKER_SECRETS: &str = "docker-secret";
/// The longest service or environment in bytes: S3 takes keys of 1024.
const LONGEST_NAME: usize = 512;

/// The part of the cluster's specification that is read, as provisioning writes it to the bucket.
#[derive(Deserialize)]
struct Specification {
    #[serde(default)]
    import: Option<ImportSource>,
}

/// What the app has, and at which versions.
#[derive(Default)]
struct Before {
    config: Content,
    secrets: Content,
    config_version: Option<String>,
    secrets_version: Option<String>,
}

/// Takes what can be taken, each document in one change, or says what that would be.
pub(crate) async fn import<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    request: Import,
    client: &mut Client,
) -> Result<Answer, Refused> {
    let app = app_name(&request.app).map_err(Refused::usage)?.to_owned();
    let wanted = wanted(&app, &request)?;
    let source = source(control, &request).await?;
    let old = Old::new(&control.old, &source);
    let listed = old.list(&wanted).await?;
    if listed.is_empty() {
        return Err(Refused::not_found(format!(
            "there is nothing at s3://{}/{}/{}/ and s3://{}/{}/{DOCKER_SECRETS}/: `--prefix` is the name of the old service, and `--env` its environment",
            source.bucket, wanted.prefix, wanted.environment, source.bucket, wanted.prefix
        )));
    }
    let found = old.read(listed, client).await;
    let before = before(control, actor, &app).await?;
    let mut decision = decide(found, &before.config, &before.secrets);
    // Both are looked at before either is written.
    values::with(Kind::Config, &before.config, &decision.config)?;
    values::with(Kind::Secrets, &before.secrets, &decision.secrets)?;
    let mut imported = Imported {
        app: app.clone(),
        bucket: request.bucket,
        plan: request.plan,
        objects: std::mem::take(&mut decision.objects),
        config: before.config_version,
        secrets: before.secrets_version,
        deployment: None,
    };
    if request.plan || (decision.config.is_empty() && decision.secrets.is_empty()) {
        return Ok(Answer::Imported(imported));
    }
    let names = |content: &Content| content.keys().cloned().collect::<BTreeSet<String>>();
    let asked = [(Kind::Config, names(&decision.config)), (Kind::Secrets, names(&decision.secrets))];
    let changed = write(control, actor, &mut imported, decision, client).await?;
    if !request.stage && (changed || is_behind(control, &app, &asked).await?) {
        imported.deployment = values::release(control, actor, Verb::WriteConfig, &app, request.wait, client).await?;
    }
    Ok(Answer::Imported(imported))
}

/// Whether tasks are without any of these: they were staged, or what was imported never got a release.
async fn is_behind<P: Platform>(
    control: &Control<P>,
    app: &str,
    asked: &[(Kind, BTreeSet<String>)],
) -> Result<bool, Refused> {
    for (kind, names) in asked {
        if !values::behind(control, app, *kind, Some(names)).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whose objects are wanted.
fn wanted(app: &str, request: &Import) -> Result<Wanted, Refused> {
    let prefix = request.prefix.as_deref().unwrap_or(app).trim_matches('/').to_owned();
    let environment = request.environment.as_deref().unwrap_or(keys::DEFAULT_ENVIRONMENT).to_owned();
    for (name, what) in [(&prefix, "prefix"), (&environment, "environment")] {
        if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
            return Err(Refused::usage(format!(
                "the {what} has to be the name of a folder in the old bucket, of 1 to {LONGEST_NAME} bytes"
            )));
        }
    }
    match environment.contains('/') {
        true => Err(Refused::usage(format!("{environment:?} is no environment of the old tool: it has a slash in it"))),
        false => Ok(Wanted { prefix, environment }),
    }
}

/// The bucket and the key that managers may use, if they are those that were asked for.
async fn source<P: Platform>(control: &Control<P>, request: &Import) -> Result<ImportSource, Refused> {
    let document = control.records.store().peek::<Specification>(keys::SPEC).await;
    let document = document.map_err(|error| Refused::from(records::Error::from(error)))?;
    let Some(source) = document.and_then(|document| document.value.import) else {
        return Err(Refused::usage(
            "the cluster may read no old bucket: write `[import]` with its `bucket` and `key` into the cluster's specification, and run `cargo xtask deploy-cluster` with it",
        ));
    };
    if request.bucket != source.bucket {
        return Err(Refused::usage(format!(
            "the cluster may read the bucket {} and not {:?}: another one has to be written into `[import]` of the cluster's specification",
            source.bucket, request.bucket
        )));
    }
    match &request.key_arn {
        Some(key) if *key != source.key => Err(Refused::usage(format!(
            "the cluster may use the key {} and not {key:?}: another one has to be written into `[import]` of the cluster's specification",
            source.key
        ))),
        _ => Ok(source),
    }
}

/// What an app has; nothing where there is no app, and one of that name may begin.
async fn before<P: Platform>(control: &Control<P>, actor: &Actor, app: &str) -> Result<Before, Refused> {
    if control.records.app(app).await.map_err(Error::from)?.is_none() {
        let now = control.clock.unix_millis();
        access::decide(actor, Verb::WriteConfig, Target::NewApp { name: app }, now)?;
        return Ok(Before::default());
    }
    let config = control.document(app, Kind::Config, None).await?;
    let secrets = control.document(app, Kind::Secrets, None).await?;
    let (config_version, config) = config.unzip();
    let (secrets_version, secrets) = secrets.unzip();
    Ok(Before {
        config: config.unwrap_or_default(),
        secrets: secrets.unwrap_or_default(),
        config_version,
        secrets_version,
    })
}

/// Writes both documents. What became of each object is told by what was there when it was written. Returns whether anything changed.
async fn write<P: Platform>(
    control: &Control<P>,
    actor: &Actor,
    imported: &mut Imported,
    decision: Decision,
    client: &Client,
) -> Result<bool, Refused> {
    let app = imported.app.clone();
    client.progress(format!("writing the config and secrets of {app}"), None);
    let is_new = control.begin(&app, actor, Verb::WriteConfig, client).await?;
    let mut changed = false;
    if !decision.config.is_empty() {
        let written = values::set(control, actor, &app, Kind::Config, decision.config).await;
        let written = written.map_err(|refused| values::not_set(refused, is_new, &app, Kind::Config))?;
        settle(&mut imported.objects, Kind::Config, &written.keys);
        changed |= !written.keys.is_empty();
        imported.config = written.version;
    }
    if !decision.secrets.is_empty() {
        let written = values::set(control, actor, &app, Kind::Secrets, decision.secrets).await;
        let written = written.map_err(|refused| match changed {
            true => refused.after(&format!(
                "the config of {app} was imported and its secrets were not, the same command again takes what is missing"
            )),
            false => values::not_set(refused, is_new, &app, Kind::Secrets),
        })?;
        settle(&mut imported.objects, Kind::Secrets, &written.keys);
        changed |= !written.keys.is_empty();
        imported.secrets = written.version;
    }
    Ok(changed)
}

/// Notes what a written change did to each key.
fn settle(objects: &mut [ImportedObject], kind: Kind, keys: &BTreeMap<String, String>) {
    let taken = |object: &&mut ImportedObject| object.kind == kind && object.outcome != ImportOutcome::NotTaken;
    for object in objects.iter_mut().filter(taken) {
        object.outcome = match keys.get(&object.key).map(String::as_str) {
            None => ImportOutcome::Unchanged,
            Some("added") => ImportOutcome::Added,
            Some(_) => ImportOutcome::Changed,
        };
    }
}
