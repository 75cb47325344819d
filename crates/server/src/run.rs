//! Programs that run once: in a container of their own on this manager, with the app's image, config, secrets and networks.
//!
//! Not in a task that runs: what somebody tries out may use up the memory of the task and take it down, and there may be none. Not as
//! a job of the Swarm: those have no input.

use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futuswarm_model::{AppRecord, Release};
use futuswarm_paas::access::Actor;
use futuswarm_rpc::Channel;
use futuswarm_rpc::message::{Answer, Event, Kind, Notice, Terminal};
use futuswarm_swarm::{
    APP_LABEL, Attached, Capabilities, ContainerApi as _, ImageApi as _, Output, PlatformMount, ProgramApi as _,
    ProgramSpec, ServiceSpec,
};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use crate::client::{Client, Input};
use crate::desired::{self, Content};
use crate::limits::What;
use crate::refusal::Refused;
use crate::{Control, Error, Platform, deploy};

/// How long a program is given to end once its user is gone.
const GRACE: Duration = Duration::from_secs(10);
/// A program that nobody has ended by then is.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// The most bytes of all arguments: Linux takes no more for one of them (execve(2)).
const LONGEST_ARGUMENTS: usize = 128 << 10;
/// The most arguments with the program's name: each costs memory beside its bytes, also when it has none.
const MOST_WORDS: usize = 4096;

/// Runs a program, or opens a shell for somebody who has a terminal.
pub(crate) async fn run<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    record: AppRecord,
    argv: Vec<String>,
    terminal: Option<Terminal>,
    client: &mut Client,
) -> Result<Answer, Refused> {
    check(&argv)?;
    let _place = control.connections.limits.take(What::Program, actor)?;
    let Some(release) = deploy::current(control, Some(&record)).await? else {
        return Err(Refused::failed(format!("{} has no release yet: deploy it first", record.name)));
    };
    let content = control.content(&release, Some(&record)).await?;
    let Some(service) = desired::service(&release, &content) else {
        return Err(Refused::failed(format!("release {} of {} has no image", release.number, record.name)));
    };
    client.progress("pulls the image", None);
    control.engine.pull_image(&service.image, &mut |_| ()).await.map_err(Error::from)?;
    // The pull may have taken minutes, in which somebody lost the right to run anything.
    client.still_there()?;
    let name = format!("run-{}-{:08x}", record.name, fastrand::u32(..));
    let secrets = Secrets::write(control, &release, &name).await?;
    let spec = spec(&name, &service, &content, argv, terminal.as_ref(), secrets.as_ref(), actor)?;
    let mut guard = Guard::of(control, &name);
    guard.secrets = secrets;
    let ended = program(control, &spec, terminal.as_ref(), client).await;
    guard.clear().await;
    ended.map(Answer::Exited)
}

fn check(argv: &[String]) -> Result<(), Refused> {
    if argv.first().is_none_or(String::is_empty) {
        return Err(Refused::usage("say which program: `futuswarm run -a APP -- PROGRAM ARGUMENTS`"));
    }
    if argv.len() > MOST_WORDS {
        return Err(Refused::usage(format!("{} words are too many for a program; {MOST_WORDS} fit", argv.len())));
    }
    if argv.iter().any(|word| word.contains('\0')) {
        return Err(Refused::usage("an argument has a byte 0, which no program can be given"));
    }
    match argv.iter().map(String::len).sum::<usize>() {
        length if length <= LONGEST_ARGUMENTS => Ok(()),
        length => Err(Refused::usage(format!("{length} bytes of arguments are too many; {LONGEST_ARGUMENTS} fit"))),
    }
}

fn spec(
    name: &str,
    service: &ServiceSpec,
    content: &Content,
    argv: Vec<String>,
    terminal: Option<&Terminal>,
    secrets: Option<&Secrets>,
    actor: &Actor,
) -> Result<ProgramSpec, Refused> {
    let mut environment = service.environment.clone();
    if let Some(terminal) = terminal.filter(|terminal| terminal.kind.bytes().all(|byte| byte.is_ascii_graphic())) {
        environment.0.retain(|entry| !entry.starts_with("TERM="));
        environment.0.push(format!("TERM={}", terminal.kind));
    }
    let mounts = secrets.map(|_| PlatformMount::program_secrets(name));
    let mount = mounts.map(|mount| mount.ok_or_else(|| Refused::failed("the program's secrets have no place")));
    let app = service.labels.get(APP_LABEL).cloned().unwrap_or_default();
    Ok(ProgramSpec {
        name: name.to_owned(),
        image: service.image.clone(),
        argv,
        environment,
        labels: [(APP_LABEL.to_owned(), app), ("futuswarm.by".to_owned(), actor.to_string())].into(),
        mounts: mount.transpose()?.into_iter().collect(),
        networks: content.networks.iter().map(futuswarm_swarm::NetworkAttachment::new).collect(),
        resources: service.resources,
        capabilities: Capabilities::App,
        read_only: service.read_only,
        terminal: terminal.is_some(),
    })
}

/// A program whose input and output are the client's, from its start to its end.
pub(crate) async fn program<P: Platform>(
    control: &Control<P>,
    spec: &ProgramSpec,
    terminal: Option<&Terminal>,
    client: &mut Client,
) -> Result<i64, Refused> {
    let engine = &control.engine;
    let refused = |error: futuswarm_swarm::Error| Refused::failed(format!("the program cannot be started: {error}"));
    engine.create_program(spec).await.map_err(refused)?;
    let attached = engine.attach_program(&spec.name, spec.terminal).await.map_err(refused)?;
    engine.start_container(&spec.name).await.map_err(refused)?;
    if let Some(terminal) = terminal {
        // A program that has ended already has no terminal any more.
        let _ended = engine.resize_program(&spec.name, terminal.rows, terminal.columns).await;
    }
    client.send(&Event::Ready { offset: 0 }).await?;
    match tokio::time::timeout(LONGEST, relay(control, &spec.name, attached, client)).await {
        Ok(relayed) => relayed?,
        Err(_) => return Err(Refused::failed(format!("the program was ended after {} h", LONGEST.as_secs() / 3600))),
    }
    let code = engine.wait_program(&spec.name).await.map_err(Error::from)?;
    if engine.memory_ran_out(&spec.name).await.is_ok_and(|ran_out| ran_out == Some(true)) {
        let limit = spec.resources.memory_bytes >> 20;
        client.send(&Event::Note { text: format!("the program used more than the {limit} MiB that it may") }).await?;
    }
    Ok(code)
}

/// Passes bytes both ways until the program has closed its output, or the client is gone. Neither way waits for the other: a program
/// that writes before it reads on would stop both.
async fn relay<P: Platform>(
    control: &Control<P>,
    name: &str,
    attached: Attached,
    client: &mut Client,
) -> Result<(), Refused> {
    let Attached { input, mut output } = attached;
    let sink = client.output();
    let out = async {
        while let Some(piece) = output.next().await {
            match piece.map_err(Error::from)? {
                Output::Stdout(bytes) => sink.bytes(Channel::Output, &bytes).await?,
                Output::Stderr(bytes) => sink.bytes(Channel::Error, &bytes).await?,
            }
        }
        Ok(())
    };
    let (bytes, pieces) = mpsc::channel(4);
    tokio::select! {
        ended = out => ended,
        ended = listen(control, name, bytes, client) => ended,
        never = feed(input, pieces) => match never {},
    }
}

/// Writes what it is given to a program. It goes on when the program reads nothing more: its output and its end tell.
async fn feed(
    mut input: Box<dyn AsyncWrite + Send + Unpin>,
    mut pieces: mpsc::Receiver<Vec<u8>>,
) -> std::convert::Infallible {
    while let Some(bytes) = pieces.recv().await {
        if input.write_all(&bytes).await.is_err() || input.flush().await.is_err() {
            break;
        }
    }
    let _closed = input.shutdown().await;
    std::future::pending().await
}

/// Does what the client says, until it is gone.
async fn listen<P: Platform>(
    control: &Control<P>,
    name: &str,
    bytes: mpsc::Sender<Vec<u8>>,
    client: &mut Client,
) -> Result<(), Refused> {
    let mut bytes = Some(bytes);
    loop {
        match client.input().await {
            None => return Err(Refused::gone()),
            Some(Input::Bytes(piece)) => {
                let Some(sender) = &bytes else { continue };
                tokio::select! {
                    // A program that reads nothing more takes none.
                    sent = sender.send(piece) => if sent.is_err() { bytes = None },
                    () = client.gone() => return Err(Refused::gone()),
                }
            }
            Some(Input::End) => bytes = None,
            Some(Input::Notice(Notice::Resize { rows, columns })) => {
                let _ended = control.engine.resize_program(name, rows, columns).await;
            }
            Some(Input::Notice(Notice::Signal { name: signal })) => {
                if let Err(error) = control.engine.signal_program(name, &signal).await {
                    client.send(&Event::Note { text: error.to_string() }).await?;
                }
            }
        }
    }
}

/// Secrets of a program, as files in memory: a container that is no task cannot have those of the Swarm.
struct Secrets(PathBuf);

impl Secrets {
    /// Writes the release's secrets; `None` when it has none.
    async fn write<P: Platform>(
        control: &Control<P>,
        release: &Release,
        program: &str,
    ) -> Result<Option<Self>, Refused> {
        let Some(version) = &release.secrets else { return Ok(None) };
        let values = control.opened(&release.app, Kind::Secrets, version).await?;
        if values.is_empty() {
            return Ok(None);
        }
        let dir = control.programs.join(program);
        let written = || -> std::io::Result<()> {
            // What is above keeps everybody else of the node out; in the container every user may read them.
            let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&control.programs)?;
            std::fs::DirBuilder::new().mode(0o700).create(&dir)?;
            for (key, value) in &values {
                // Keys are names of files (`values::check_secrets`), so none leads out of the folder.
                let path = dir.join(key);
                let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(&path)?;
                std::io::Write::write_all(&mut file, value)?;
                mode(&path, 0o444)?;
            }
            mode(&dir, 0o755)
        };
        let secrets = Self(dir.clone());
        written().map_err(|error| Refused::failed(format!("the program's secrets cannot be written: {error}")))?;
        Ok(Some(secrets))
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, dir = %self.0.display(), "secrets of a program are still there");
        }
    }
}

/// Ends a program and takes its container away, also when the request was given up.
pub(crate) struct Guard<P: Platform> {
    control: Arc<Control<P>>,
    name: Option<String>,
    secrets: Option<Secrets>,
}

impl<P: Platform> Guard<P> {
    /// For a program of this name without secrets.
    pub(crate) fn of(control: &Arc<Control<P>>, name: &str) -> Self {
        Self { control: Arc::clone(control), name: Some(name.to_owned()), secrets: None }
    }

    pub(crate) async fn clear(&mut self) {
        if let Some(name) = self.name.take() {
            end(&self.control, &name).await;
        }
        self.secrets = None;
    }
}

impl<P: Platform> Drop for Guard<P> {
    fn drop(&mut self) {
        let (Some(name), secrets) = (self.name.take(), self.secrets.take()) else { return };
        let control = Arc::clone(&self.control);
        tokio::spawn(async move {
            end(&control, &name).await;
            drop(secrets);
        });
    }
}

async fn end<P: Platform>(control: &Control<P>, name: &str) {
    let engine = &control.engine;
    // One that has ended takes no notice of it.
    let _ended = engine.signal_program(name, "TERM").await;
    let _waited = tokio::time::timeout(GRACE, engine.wait_program(name)).await;
    if let Err(error) = engine.remove_container(name).await {
        tracing::warn!(%error, name, "a program is removed later");
    }
}

/// Removes what a service that died has left behind.
pub(crate) async fn clear<P: Platform>(control: &Control<P>, programs: &Path) -> Result<(), Error> {
    for program in control.engine.list_programs().await? {
        tracing::info!(name = program.name, "removes a program that nobody waits for");
        control.engine.remove_container(&program.name).await?;
    }
    if let Err(error) = std::fs::remove_dir_all(programs)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "secrets of programs are still there");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_also_when_they_have_no_letters() {
        let words = |count: usize| [vec!["true".to_owned()], vec![String::new(); count - 1]].concat();
        assert!(check(&words(MOST_WORDS)).is_ok());
        let refused = check(&words(MOST_WORDS + 1)).unwrap_err().to_string();
        assert_eq!(refused, "4097 words are too many for a program; 4096 fit");
        let long = check(&["true".to_owned(), "x".repeat(LONGEST_ARGUMENTS)]).unwrap_err().to_string();
        assert!(long.contains("131072 fit"), "{long}");
    }
}
