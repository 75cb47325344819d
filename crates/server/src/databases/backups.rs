//! Backups of an app's database: pg_dump's custom format, streamed to the bucket and back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futuswarm_database::{Databases as _, MAJOR, Names, State, dump, restore as restoring};
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
/// What the name of a backup ends with that somebody has asked for.
pub(super) const AT_WILL: &str = "";
/// What the name of one ends with that restoring has taken of what was there before. It is restored only by its name: whoever tries to
/// restore again what they have tried means the same backup.
const BEFORE_RESTORE: &str = "-before-restore";

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
    client: &Client,
) -> Result<Answer, Refused> {
    let names = Names::of(&record.name);
    let state = match &record.database {
        Some(_) => control.databases.state(&names).await.map_err(Error::from)?,
        None => None,
    };
    check_version(&state.ok_or_else(|| super::none(&record.name))?)?;
    Ok(Answer::Backup(take(control, actor, record, &names, AT_WILL, client).await?))
}

/// Refuses what pg_dump and pg_restore do with no server but one of their own version.
pub(super) fn check_version(state: &State) -> Result<(), Refused> {
    match state.major {
        MAJOR => Ok(()),
        other => Err(Refused::failed(format!(
            "the database server is PostgreSQL {other}, and backups are taken and restored by pg_dump and pg_restore {MAJOR}, which need a server of their version: whoever runs the cluster sets `engine_version` in `[rds]` of its specification to \"{MAJOR}\" and deploys it"
        ))),
    }
}

/// Takes a backup of a database that is there. It is listed once it is whole.
pub(super) async fn take<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    record: &AppRecord,
    names: &Names,
    why: &str,
    client: &Client,
) -> Result<Backup, Refused> {
    let app = &record.name;
    client.progress(format!("takes a backup of {app}"), None);
    let endpoint = control.databases.endpoint().await.map_err(Error::from)?;
    let session = Session::open(control, names, names.database(), actor).await?;
    let at = control.clock.unix_millis();
    let name = format!("{at}-{}{why}", super::random());
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
    let code = tokio::select! {
        code = pulled => code.unwrap_or_else(|_| Err(late())),
        refused = client.ending() => Err(refused),
    };
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

/// The backup that is meant, out of all that there are.
fn choose(app: &str, there: Vec<Backup>, named: Option<&str>) -> Result<Backup, Refused> {
    let is_none = there.is_empty();
    let is_meant = |backup: &Backup| match named {
        Some(name) => backup.backup == name,
        None => !backup.backup.ends_with(BEFORE_RESTORE),
    };
    there.into_iter().find(is_meant).ok_or_else(|| {
        Refused::not_found(match (named, is_none) {
            (Some(name), _) => format!("{app} has no backup {name}; `futuswarm db:list {app}` lists them"),
            (None, true) => format!("{app} has no backup yet; `futuswarm db:backup {app}` takes one"),
            (None, false) => format!(
                "{app} has no backup but those that `db:restore` has taken of what was there before it: name one of them with `--backup`; `futuswarm db:list {app}` lists them"
            ),
        })
    })
}

/// Puts a backup in the place of what is there.
pub(crate) async fn restore<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    record: &AppRecord,
    backup: Option<String>,
    safely: bool,
    client: &Client,
) -> Result<Answer, Refused> {
    let (app, names) = (&record.name, Names::of(&record.name));
    let chosen = choose(app, list(control, record).await?, backup.as_deref())?;
    // Before anything is done: the command line tells its user which one it is, so that they can name it again.
    client.progress(format!("restores {}", chosen.backup), None);
    let claim = Claim { app, actor, verb: Verb::RestoreDatabase, begins: false };
    leased(control, claim, async {
        let state = control.databases.state(&names).await.map_err(Error::from)?;
        check_version(&state.ok_or_else(|| super::none(app))?)?;
        let before = match safely {
            true => Some(take(control, actor, record, &names, BEFORE_RESTORE, client).await?.backup),
            false => None,
        };
        client.progress(format!("restores {}", chosen.backup), None);
        let copy = names.copy(&super::random());
        let loaded = load(control, actor, record, &names, &copy, &chosen, client).await;
        // It may have taken hours, in which somebody has lost the right to restore anything.
        if let Err(refused) = loaded.and_then(|()| client.ended().map_or(Ok(()), Err)) {
            if let Err(error) = control.databases.abandon_restore(&names, &copy).await {
                tracing::warn!(%error, copy, "a copy goes with the next restoring");
            }
            return Err(refused);
        }
        client.progress("puts it in place", None);
        control.databases.finish_restore(&names, &copy).await.map_err(Error::from)?;
        let before = before.map_or(String::new(), |name| format!("; {name} is a backup of what it was at the beginning"));
        Ok(Answer::Done(format!(
            "the database of {app} is as it was at the backup {}; the one before, with what was written until now, is kept as {} until the next db:restore or db:drop{before}",
            chosen.backup,
            names.replaced_by(&copy)
        )))
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
    let code = tokio::select! {
        code = pushed => code.unwrap_or_else(|_| Err(late())),
        refused = client.ending() => Err(refused),
    };
    guard.clear().await;
    match code? {
        0 => Ok(()),
        code => Err(words.failure("pg_restore", code)),
    }
}
