//! One-off containers of an engine in memory.

use std::fmt;

use futures_util::StreamExt as _;
use futures_util::stream::unfold;
use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::behaviour::Script;
use super::tasks::FakeTask;
use super::{FakeEngine, clock, refused};
use crate::{Attached, CheckResult, Error, Output, Program, ProgramApi, ProgramSpec, TaskState};

/// What is on its way between somebody who is attached and a program at most, in bytes.
const BUFFER: usize = 64 << 10;

/// What has been asked of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramView {
    /// What it was made from.
    pub spec: ProgramSpec,
    /// Sizes of its terminal, rows and columns, in the order in which they were told.
    pub sizes: Vec<(u16, u16)>,
    /// Signals that it got.
    pub signals: Vec<String>,
    /// Its exit code, once it has ended.
    pub code: Option<i64>,
}

pub(super) struct FakeProgram {
    spec: ProgramSpec,
    script: Script,
    created: Instant,
    started: bool,
    sizes: Vec<(u16, u16)>,
    signals: Vec<String>,
    ended: watch::Sender<Option<i64>>,
    /// The program's ends of what is attached.
    attached: Option<(DuplexStream, mpsc::UnboundedSender<Output>)>,
}

impl fmt::Debug for FakeProgram {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(formatter)
    }
}

impl FakeProgram {
    pub(super) fn view(&self) -> ProgramView {
        let (spec, sizes, signals) = (self.spec.clone(), self.sizes.clone(), self.signals.clone());
        ProgramView { spec, sizes, signals, code: *self.ended.borrow() }
    }

    pub(super) fn image(&self) -> &str {
        &self.spec.image
    }

    fn runs(&self) -> bool {
        self.started && self.ended.borrow().is_none()
    }
}

impl FakeEngine {
    /// Starts a program; `false` when there is none of this name.
    pub(super) fn start_program(&self, name: &str) -> Result<bool, Error> {
        let mut world = self.world("container start")?;
        let machine = world.machines.get_mut(&self.hostname);
        let Some(program) = machine.and_then(|machine| machine.programs.get_mut(name)) else { return Ok(false) };
        if !program.started {
            program.started = true;
            let attached = program.attached.take();
            tokio::spawn(play(program.script.clone(), attached, program.ended.clone()));
        }
        Ok(true)
    }

    /// The task of this machine whose container it is.
    fn task_of(&self, container: &str) -> Result<Option<FakeTask>, Error> {
        let world = self.world("container inspect")?;
        let Some((swarm, node)) = world.member(&self.hostname) else { return Ok(None) };
        let tasks = world.clusters.get(swarm).into_iter().flat_map(|cluster| cluster.tasks.values());
        let mut here = tasks.filter(|task| task.node.as_deref() == Some(node));
        Ok(here.find(|task| task.container().as_deref() == Some(container)).cloned())
    }

    fn with_program<T>(
        &self,
        operation: &'static str,
        name: &str,
        act: impl FnOnce(&mut FakeProgram) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut world = self.world(operation)?;
        let machine = world.machines.get_mut(&self.hostname);
        let missing = || refused(operation, 404, format!("No such container: {name}"));
        act(machine.and_then(|machine| machine.programs.get_mut(name)).ok_or_else(missing)?)
    }
}

async fn play(
    script: Script,
    attached: Option<(DuplexStream, mpsc::UnboundedSender<Output>)>,
    ended: watch::Sender<Option<i64>>,
) {
    let mut killed = ended.subscribe();
    let run = async {
        if let Some((mut input, output)) = attached {
            // Whoever was attached may have gone.
            for piece in script.output {
                let _gone = output.send(piece);
            }
            let mut piece = vec![0; BUFFER];
            if script.echoes {
                while let Ok(read @ 1..) = input.read(&mut piece).await {
                    let _gone = output.send(Output::Stdout(piece[..read].to_vec()));
                }
            }
            tokio::time::sleep(script.lasts).await;
        } else {
            tokio::time::sleep(script.lasts).await;
        }
    };
    tokio::select! {
        () = run => {
            ended.send_if_modified(|code| code.is_none() && code.replace(script.code).is_none());
        }
        _ = killed.wait_for(Option::is_some) => {}
    }
}

impl ProgramApi for FakeEngine {
    async fn create_program(&self, spec: &ProgramSpec) -> Result<(), Error> {
        let operation = "container create";
        let mut world = self.world(operation)?;
        let script = world.images.get(&spec.image).map(|image| image.script.clone()).unwrap_or_default();
        let Some(machine) = world.machines.get_mut(&self.hostname) else { return Ok(()) };
        if !machine.images.contains(&spec.image) {
            return Err(refused(operation, 404, format!("No such image: {}", spec.image)));
        }
        if machine.programs.contains_key(&spec.name) || machine.containers.contains_key(&spec.name) {
            let message = format!("Conflict. The container name \"/{}\" is already in use", spec.name);
            return Err(refused(operation, 409, message));
        }
        let program = FakeProgram {
            spec: spec.clone(),
            script,
            created: Instant::now(),
            started: false,
            sizes: Vec::new(),
            signals: Vec::new(),
            ended: watch::Sender::new(None),
            attached: None,
        };
        machine.programs.insert(spec.name.clone(), program);
        Ok(())
    }

    async fn attach_program(&self, name: &str, _terminal: bool) -> Result<Attached, Error> {
        let (input, theirs) = duplex(BUFFER);
        let (sender, receiver) = mpsc::unbounded_channel();
        self.with_program("container attach", name, |program| {
            if !program.started {
                program.attached = Some((theirs, sender));
            }
            Ok(())
        })?;
        let next = |mut receiver: mpsc::UnboundedReceiver<Output>| async move {
            receiver.recv().await.map(|piece| (Ok(piece), receiver))
        };
        Ok(Attached { input: Box::new(input), output: unfold(receiver, next).boxed() })
    }

    async fn resize_program(&self, name: &str, rows: u16, columns: u16) -> Result<(), Error> {
        let operation = "container resize";
        self.with_program(operation, name, |program| {
            if !program.runs() {
                return Err(refused(operation, 409, format!("container {name} is not running")));
            }
            program.sizes.push((rows, columns));
            Ok(())
        })
    }

    async fn signal_program(&self, name: &str, signal: &str) -> Result<(), Error> {
        self.with_program("container kill", name, |program| {
            let number = match signal {
                "HUP" => 1,
                "INT" => 2,
                "QUIT" => 3,
                "KILL" => 9,
                "TERM" => 15,
                _ => return Err(refused("container kill", 400, format!("invalid signal: SIG{signal}"))),
            };
            if program.runs() {
                program.signals.push(signal.to_owned());
                program.ended.send_replace(Some(128 + number));
            }
            Ok(())
        })
    }

    async fn wait_program(&self, name: &str) -> Result<i64, Error> {
        let mut ended = self.with_program("container wait", name, |program| Ok(program.ended.subscribe()))?;
        let code = ended.wait_for(Option::is_some).await.ok().and_then(|code| *code);
        code.ok_or_else(|| refused("container wait", 404, format!("No such container: {name}")))
    }

    async fn memory_ran_out(&self, container: &str) -> Result<Option<bool>, Error> {
        let found = self.task_of(container)?;
        Ok(found.map(|task| task.image.behaviour.out_of_memory && task.exit_code == Some(137)))
    }

    async fn last_check(&self, container: &str) -> Result<Option<CheckResult>, Error> {
        let Some(task) = self.task_of(container)? else { return Ok(None) };
        let (healthy, answer) = match task.state {
            TaskState::Running => (Some(true), String::new()),
            TaskState::Failed if task.error.contains("unhealthy") => (Some(false), task.image.behaviour.answer),
            _ => (None, task.image.behaviour.answer),
        };
        Ok(Some(CheckResult { healthy, answer }))
    }

    async fn list_programs(&self) -> Result<Vec<Program>, Error> {
        let world = self.world("container ls")?;
        let began = world.began;
        let program = |(name, program): (&String, &FakeProgram)| Program {
            name: name.clone(),
            labels: program.spec.labels.clone(),
            running: program.runs(),
            created_at: i64::try_from(clock::unix(began, program.created)).unwrap_or_default(),
        };
        Ok(world.machines[&self.hostname].programs.iter().map(program).collect())
    }
}
