//! The steps that change something outside of the record. Each may be done twice, and may have been done although its answer was lost.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use futuswarm_model::Release;
use futuswarm_paas::rollout::{Image, Step, time_back};
use futuswarm_swarm::{APP_LABEL, SecretApi as _, SecretFile, ServiceApi as _, ServiceSpec};
use sha2::{Digest as _, Sha256};

use super::observe::Memory;
use crate::desired::{self, Content};
use crate::registry::Registry as _;
use crate::{Control, Error, Platform, images};

/// How long the way back is waited for: as long as tasks of the release and of the one before it may take by what their files say.
pub(super) async fn way_back<P: Platform>(control: &Control<P>, release: &Release, to: Option<u64>) -> Duration {
    let own = time_back(&release.settings);
    let Some(to) = to else { return own };
    // What cannot be read is no reason to stay where it is.
    match control.records.release(&release.app, to).await {
        Ok(Some(earlier)) => own.max(time_back(&earlier.settings)),
        Ok(None) | Err(_) => own,
    }
}

/// What a step does, for people.
pub(super) fn in_words(step: &Step) -> &'static str {
    match step {
        Step::FindImage => "looks for the image",
        Step::Pull { .. } => "has the nodes pull the image",
        Step::RunHook => "starts the release hook",
        Step::Apply { .. } => "replaces the tasks",
        Step::RollBack { .. } => "puts the release before back",
        Step::Wait { .. }
        | Step::NoteDigest { .. }
        | Step::NoteUpdate { .. }
        | Step::NoteHealthy { .. }
        | Step::NoteBack { .. }
        | Step::End { .. } => "notes how far it is",
    }
}

/// Does a step.
pub(super) async fn act<P: Platform>(
    control: &Control<P>,
    release: &Release,
    content: &Content,
    step: &Step,
    memory: &mut Memory,
) -> Result<(), Error> {
    let engine = &control.engine;
    match step {
        Step::FindImage => memory.image = find(control, release).await?,
        Step::Pull { .. } => match is_there(control, release).await? {
            true => create(engine, desired::pull(release)).await?,
            false => memory.image = Image::Missing,
        },
        Step::RunHook => create(engine, desired::hook(release, content)).await?,
        Step::Apply { base } => apply(engine, *base, desired::service(release, content)).await?,
        Step::RollBack { to } => back(control, release, *to).await?,
        // Notes are the driver's.
        Step::Wait { .. }
        | Step::NoteDigest { .. }
        | Step::NoteUpdate { .. }
        | Step::NoteHealthy { .. }
        | Step::NoteBack { .. }
        | Step::End { .. } => {}
    }
    Ok(())
}

async fn find<P: Platform>(control: &Control<P>, release: &Release) -> Result<Image, Error> {
    // What was found once stays what it is, whatever its tag names by now.
    let image = release.digest.as_ref().map_or_else(|| release.image.clone(), |digest| format!("@{digest}"));
    Ok(match images::find(&control.registry, &release.app, &image).await? {
        None => Image::Missing,
        Some(found) if found.runs_here() => {
            let (digest, has_health_check) = (found.digest.as_str().to_owned(), found.has_health_check);
            Image::Present { digest, has_health_check }
        }
        Some(found) => Image::OtherPlatform { has: found.platforms.join(", ") },
    })
}

/// Whether the registry has what a release runs. A digest that was noted long ago may be that of an image which was deleted since: a node
/// that has it still would run it, and no other node ever could.
async fn is_there<P: Platform>(control: &Control<P>, release: &Release) -> Result<bool, Error> {
    let Some(digest) = &release.digest else { return Ok(true) };
    Ok(control.registry.manifest(&release.app, digest).await?.is_some())
}

/// Makes a service unless it is there: by an earlier attempt, whose answer was lost.
async fn create(engine: &impl futuswarm_swarm::ServiceApi, spec: Option<ServiceSpec>) -> Result<(), Error> {
    let Some(spec) = spec else { return Ok(()) };
    match engine.create_service(&spec).await {
        Err(error) if error.is_conflict() => Ok(()),
        made => made.map(|_| ()).map_err(Error::from),
    }
}

async fn apply(
    engine: &impl futuswarm_swarm::ServiceApi,
    base: Option<u64>,
    spec: Option<ServiceSpec>,
) -> Result<(), Error> {
    let Some(spec) = spec else { return Ok(()) };
    let Some(version) = base else { return create(engine, Some(spec)).await };
    match engine.update_service(version, &spec).await {
        // Somebody was faster, or our own attempt before: the next observation tells which.
        Err(error) if error.is_conflict() => Ok(()),
        updated => updated.map_err(Error::from),
    }
}

/// Puts the content of an earlier release back, or nothing where there was none.
async fn back<P: Platform>(control: &Control<P>, release: &Release, to: Option<u64>) -> Result<(), Error> {
    let app = &release.app;
    let service = control.engine.inspect_service(app).await?;
    // A service that is another release's by now is not ours to change.
    let Some(service) = service.filter(|service| service.release() == Some(release.number)) else { return Ok(()) };
    let Some(to) = to else { return Ok(control.engine.remove_service(&service.id).await?) };
    let Some(earlier) = control.records.release(app, to).await? else {
        return Err(Error::Missing(format!("release {to} of {app}")));
    };
    // With the links that there are now: one that has ended since does not come back.
    let record = control.records.app(app).await?;
    let content = control.content(&earlier, record.as_ref()).await?;
    apply(&control.engine, Some(service.version), desired::service(&earlier, &content)).await
}

/// Removes the jobs of a release that has ended.
pub(super) async fn remove_jobs(engine: &impl futuswarm_swarm::ServiceApi, release: &Release) -> Result<(), Error> {
    for job in [desired::pull_name(&release.app, release.number), desired::hook_name(&release.app, release.number)] {
        engine.remove_service(&job).await?;
    }
    Ok(())
}

/// Removes the jobs of a release that has ended, and secrets that no service names any more.
pub(super) async fn clean<P: Platform>(control: &Control<P>, release: &Release) -> Result<(), Error> {
    let engine = &control.engine;
    remove_jobs(engine, release).await?;
    let used: HashSet<String> = match engine.inspect_service(&release.app).await? {
        Some(service) => service.spec.secrets.into_iter().map(|secret| secret.id).collect(),
        None => HashSet::new(),
    };
    for secret in engine.list_secrets(APP_LABEL, &release.app).await? {
        if used.contains(&secret.id) {
            continue;
        }
        match engine.remove_secret(&secret.id).await {
            // The spec that the Swarm would go back to may name it.
            Err(error) if error.is_in_use() => {}
            removed => removed?,
        }
    }
    Ok(())
}

/// The app's secrets of a version of their document as the Swarm has them, made where they are not there yet.
pub(crate) async fn secrets(
    engine: &impl futuswarm_swarm::SecretApi,
    app: &str,
    version: &str,
    values: &BTreeMap<String, Vec<u8>>,
) -> Result<Vec<SecretFile>, Error> {
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let mut known: HashMap<String, String> =
        engine.list_secrets(APP_LABEL, app).await?.into_iter().map(|secret| (secret.name, secret.id)).collect();
    let labels = HashMap::from([(APP_LABEL.to_owned(), app.to_owned())]);
    let mut files = Vec::new();
    for (key, value) in values {
        let name = secret_name(app, key, version);
        let id = match known.remove(&name) {
            Some(id) => id,
            None => match engine.create_secret(&name, &labels, value).await {
                Ok(id) => id,
                // Made meanwhile, perhaps by us: its answer was lost.
                Err(error) if error.is_conflict() => {
                    let secrets = engine.list_secrets(APP_LABEL, app).await?;
                    let made = secrets.into_iter().find(|secret| secret.name == name);
                    made.ok_or(Error::Swarm(error))?.id
                }
                Err(error) => return Err(error.into()),
            },
        };
        files.push(SecretFile { id, name, file: key.clone() });
    }
    Ok(files)
}

/// At most 64 characters (Swarm's limit): the app, and a digest of key and version. Not of the value: who lists names could guess it.
fn secret_name(app: &str, key: &str, version: &str) -> String {
    let digest = Sha256::digest(format!("{key}\n{version}"));
    let digest: String = digest.iter().take(10).map(|byte| format!("{byte:02x}")).collect();
    format!("{app}_{digest}")
}
