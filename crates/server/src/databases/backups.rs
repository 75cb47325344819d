//! Backups of an app's database: pg_dump's custom format, streamed to the bucket and back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futuswarm_database::{Databases as _, Names, dump, restore as restoring};
use futuswarm_model::{AppRecord, keys};
use futuswarm_paas::access::{Actor, Verb};
use futuswarm_rpc::message::{Answer, Backup};
use futuswarm_store::Blobs as _;
use futuswarm_swarm::{Attached, Output, ProgramApi as _, ProgramSpec};
use tokio::io::AsyncWriteExt as _;

use super::lease::{Claim, leased};
use super::parts::{self, Writer};
use super::session::{Session, spec, start};
use crate::client::Client;
use crate::clock::Clock as _;
use crate::refusal::Refused;
use crate::{Control, Error, Platform};

/// A program that has not ended by then is ended.
const LONGEST: Duration = Duration::from_secs(12 * 3600);
/// So much of what a program says of its failure is told, in bytes.
const LAST_WORDS: usize = 2000;

/// Backups of the app in this life of it, the newest first.
pub(super) async fn list<P: Platform>(control: &Control<P>, record: &AppRecord) -> Result<Vec<Backup>, Refused> {
    let folder = keys::app_backups(&record.name, record.created_at);
    let there = control.records.store().bucket().list_blobs(&folder).await;
    let there = there.map_err(|error| Error::from(crate::records::Error::from(error)))?;
    let backup = |blob: futuswarm_store::Blob| {
        let name = blob.key.strip_prefix(&folder)?.strip_suffix(".dump")?;
        let at = name.split_once('-')?.0.parse().ok()?;
        Some(Backup { backup: name.to_owned(), at, bytes: blob.length })
    };
    let mut backups: Vec<Backup> = there.into_iter().filter_map(backup).collect();
    backups.sort_by(|one, other| (other.at, &other.backup).cmp(&(one.at, &one.backup)));
    Ok(backups)
}

/// Takes a backup.
pub(crate) async fn back_up<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    record: &AppRecord,
    client: &mut Client,
) -> Result<Answer, Refused> {
    let names = Names::of(&record.name);
    let state = match &record.database {
        Some(_) => control.databases.state(&names).await.map_err(Error::from)?,
        None => None,
    };
    state.ok_or_else(|| super::none(&record.name))?;
    Ok(Answer::Backup(take(control, actor, record, &names, client).await?))
}

/// Takes a backup of a database that is there. It is listed once it is whole.
pub(super) async fn take<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    record: &AppRecord,
    names: &Names,
    client: &Client,
) -> Result<Backup, Refused> {
    let app = &record.name;
    client.progress(format!("takes a backup of {app}"), None);
    let endpoint = control.databases.endpoint().await.map_err(Error::from)?;
    let session = Session::open(control, names, names.database(), actor).await?;
    let at = control.clock.unix_millis();
    let name = format!("{at}-{}", super::random());
    let command = dump(&endpoint, names.database(), &session.role, &session.secret);
    let taken = async {
        let spec = spec(control, app, actor, command, false).await?;
        let key = keys::app_backup(app, record.created_at, &name);
        pull(control, &spec, &key, client).await
    };
    let taken = taken.await;
    session.close().await;
    Ok(Backup { backup: name, at, bytes: taken? })
}

/// Writes what a program writes into an object; returns its length.
async fn pull<P: Platform>(
    control: &Arc<Control<P>>,
    spec: &ProgramSpec,
    key: &str,
    client: &Client,
) -> Result<u64, Refused> {
    let (mut guard, attached) = start(control, spec).await?;
    let mut writer = Writer::begin(control.records.store().bucket(), key).await?;
    let mut words = LastWords::default();
    let pulled = tokio::time::timeout(LONGEST, async {
        let Attached { mut input, mut output } = attached;
        // It reads nothing, and may have ended.
        let _closed = input.shutdown().await;
        let mut told = 0;
        while let Some(piece) = output.next().await {
            match piece.map_err(Error::from)? {
                Output::Stdout(bytes) => writer.write(&bytes).await?,
                Output::Stderr(bytes) => words.add(&bytes),
            }
            if writer.written() - told >= parts::PIECE {
                told = writer.written();
                client.progress(format!("takes a backup: {} MB", told / 1_000_000), Some(LONGEST));
            }
        }
        Ok::<_, Refused>(control.engine.wait_program(&spec.name).await.map_err(Error::from)?)
    });
    let code = pulled.await.unwrap_or_else(|_| Err(late()));
    guard.clear().await;
    match code {
        Ok(0) => writer.finish().await,
        failed => {
            writer.abandon().await;
            Err(words.failure("pg_dump", failed?))
        }
    }
}

fn late() -> Refused {
    Refused::failed(format!("it took more than {} h and was ended", LONGEST.as_secs() / 3600))
}

/// The end of what a program says.
#[derive(Default)]
struct LastWords(VecDeque<u8>);

impl LastWords {
    fn add(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        let over = self.0.len().saturating_sub(LAST_WORDS);
        self.0.drain(..over);
    }

    fn failure(&self, program: &str, code: i64) -> Refused {
        let bytes: Vec<u8> = self.0.iter().copied().collect();
        let words = String::from_utf8_lossy(&bytes);
        Refused::failed(format!("{program} ended with the code {code}: {}", words.trim()))
    }
}

/// Puts a backup in the place of what is there.
pub(crate) async fn restore<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    record: &AppRecord,
    backup: Option<String>,
    safely: bool,
    client: &mut Client,
) -> Result<Answer, Refused> {
    let (app, names) = (&record.name, Names::of(&record.name));
    let mut there = list(control, record).await?.into_iter();
    let chosen = match &backup {
        Some(name) => there.find(|backup| backup.backup == *name),
        None => there.next(),
    };
    let chosen = chosen.ok_or_else(|| match &backup {
        Some(name) => Refused::not_found(format!("{app} has no backup {name}; `futuswarm db:list {app}` lists them")),
        None => Refused::not_found(format!("{app} has no backup yet; `futuswarm db:backup {app}` takes one")),
    })?;
    let claim = Claim { app, actor, verb: Verb::RestoreDatabase, begins: false };
    leased(control, claim, async {
        control.databases.state(&names).await.map_err(Error::from)?.ok_or_else(|| super::none(app))?;
        let before = match safely {
            true => Some(take(control, actor, record, &names, client).await?.backup),
            false => None,
        };
        client.progress(format!("restores {}", chosen.backup), None);
        let copy = names.copy(&super::random());
        let loaded = load(control, actor, record, &names, &copy, &chosen, client).await;
        if let Err(refused) = loaded {
            if let Err(error) = control.databases.abandon_restore(&names, &copy).await {
                tracing::warn!(%error, copy, "a copy goes with the next restoring");
            }
            return Err(refused);
        }
        client.progress("puts it in place", None);
        control.databases.finish_restore(&names, &copy).await.map_err(Error::from)?;
        let before = before.map_or(String::new(), |name| format!("; what was there before is the backup {name}"));
        Ok(Answer::Done(format!("the database of {app} is as it was at the backup {}{before}", chosen.backup)))
    })
    .await
}

/// Restores a backup into a database of its own: nothing of the app's changes.
async fn load<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    record: &AppRecord,
    names: &Names,
    copy: &str,
    backup: &Backup,
    client: &Client,
) -> Result<(), Refused> {
    let app = &record.name;
    let endpoint = control.databases.endpoint().await.map_err(Error::from)?;
    control.databases.begin_restore(names, copy).await.map_err(Error::from)?;
    let session = Session::open(control, names, copy, actor).await?;
    let command = restoring(&endpoint, copy, &session.role, &session.secret);
    let loaded = async {
        let spec = spec(control, app, actor, command, false).await?;
        let key = keys::app_backup(app, record.created_at, &backup.backup);
        push(control, &spec, &key, backup.bytes, client).await
    };
    let loaded = loaded.await;
    session.close().await;
    loaded
}

/// Has a program read an object of so many bytes.
async fn push<P: Platform>(
    control: &Arc<Control<P>>,
    spec: &ProgramSpec,
    key: &str,
    length: u64,
    client: &Client,
) -> Result<(), Refused> {
    let (mut guard, attached) = start(control, spec).await?;
    let mut words = LastWords::default();
    let pushed = tokio::time::timeout(LONGEST, async {
        let Attached { mut input, mut output } = attached;
        let bucket = control.records.store().bucket();
        let feed = async {
            let mut offset = 0;
            while let Some(piece) = parts::read(bucket, key, offset).await? {
                offset += piece.len() as u64;
                if input.write_all(&piece).await.is_err() || input.flush().await.is_err() {
                    // It has ended, and says why.
                    return Ok(());
                }
                client
                    .progress(format!("restores: {} of {} MB", offset / 1_000_000, length / 1_000_000), Some(LONGEST));
            }
            if offset != length {
                return Err(Refused::failed(format!(
                    "the backup has {offset} bytes of the {length} that it had a moment ago: somebody has changed it"
                )));
            }
            let _closed = input.shutdown().await;
            Ok(())
        };
        let drain = async {
            while let Some(piece) = output.next().await {
                if let Output::Stderr(bytes) = piece.map_err(Error::from)? {
                    words.add(&bytes);
                }
            }
            Ok::<_, Refused>(())
        };
        tokio::pin!(drain);
        tokio::select! {
            fed = feed => {
                fed?;
                drain.await?;
            }
            // Nobody reads the rest.
            drained = &mut drain => drained?,
        }
        Ok::<_, Refused>(control.engine.wait_program(&spec.name).await.map_err(Error::from)?)
    });
    let code = pushed.await.unwrap_or_else(|_| Err(late()));
    guard.clear().await;
    match code? {
        0 => Ok(()),
        code => Err(words.failure("pg_restore", code)),
    }
}
