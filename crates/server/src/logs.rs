//! Lines of an app's tasks, over all nodes. It ends although a node is down, and says which did not answer.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures_util::StreamExt as _;
use futuswarm_paas::access::CORE_APPS;
use futuswarm_rpc::message::{Answer, Event, LogLine, Logs, LogsEnd};
use futuswarm_swarm::{LogApi as _, NodeApi as _, ServiceApi as _, TaskApi as _};
use futuswarm_swarm::{LogItem, LogOptions, LogSource, Node, NodeState, SILENCE, Task};
use tokio::time::{Instant, sleep_until};

use crate::client::Client;
use crate::refusal::Refused;
use crate::{Control, Error, Platform, clock};

/// A line is cut there, in bytes; JSON makes more of them.
const LONGEST_LINE: usize = 64 << 10;
/// So many lines of each task, when nothing is said of it. Where words are looked for, all are read: they may be in any.
const USUAL_TAIL: u32 = 100;
/// So often it is said that reading goes on while no line is one that was asked for: the command line waits for two minutes.
const WORD: Duration = Duration::from_secs(15);

/// Sends the lines that were asked for.
pub(crate) async fn logs<P: Platform>(
    control: &Control<P>,
    request: Logs,
    client: &mut Client,
) -> Result<Answer, Refused> {
    // The platform's own have no record, and admins may read what they write.
    if !CORE_APPS.contains(&request.app.as_str()) {
        control.existing(&request.app).await?;
    }
    let engine = &control.engine;
    let service = engine.inspect_service(&request.app).await.map_err(Error::from)?;
    let service = service.ok_or_else(|| {
        Refused::not_found(format!("{} runs nothing: it was never deployed, or its service was removed", request.app))
    })?;
    let nodes = engine.list_nodes().await.map_err(Error::from)?;
    let mut tasks = by_id(engine.list_tasks(Some(&service.id)).await.map_err(Error::from)?);
    let mut nodes = Nodes::of(nodes, &request, &tasks);
    begin(&request, &nodes, client).await?;
    let mut stream = engine.logs(LogSource::Service(&service.id), options(&request)).await.map_err(Error::from)?;
    let (mut lines, mut read, mut told) = (0, 0_u64, Instant::now());
    loop {
        let item = tokio::select! {
            item = stream.next() => item,
            // Who follows without looking for words waits for lines, and for nothing else.
            () = sleep_until(told + WORD), if !request.follow || request.grep.is_some() => {
                told = Instant::now();
                client.progress(format!("has read {read} lines"), None);
                continue;
            }
            () = client.gone() => return Err(Refused::gone()),
        };
        let line = match item {
            None => break,
            Some(Err(error)) => return Err(Error::from(error).into()),
            Some(Ok(LogItem::Gap { reason, nodes: named })) => {
                nodes.silent.extend(named);
                client.send(&Event::Note { text: format!("not all lines could be had: {reason}") }).await?;
                continue;
            }
            Some(Ok(LogItem::Silence)) => {
                client.send(&Event::Note { text: nodes.fell_silent() }).await?;
                continue;
            }
            Some(Ok(LogItem::Line(line))) => line,
        };
        read += 1;
        nodes.hear(&line.node);
        if !tasks.contains_key(&line.task) && request.follow {
            tasks = by_id(engine.list_tasks(Some(&service.id)).await.map_err(Error::from)?);
        }
        let task = tasks.get(&line.task);
        if !wanted(&request, &line.task, task) {
            continue;
        }
        let cut = line.line.get(..LONGEST_LINE).unwrap_or(&line.line);
        let text = String::from_utf8_lossy(cut).into_owned();
        if request.grep.as_ref().is_some_and(|part| !text.contains(part)) {
            continue;
        }
        lines += 1;
        told = Instant::now();
        let line = LogLine {
            at: clock::milliseconds(&line.at),
            slot: task.and_then(|task| u32::try_from(task.slot).ok()).unwrap_or_default(),
            node: nodes.name(&line.node),
            task: line.task,
            stderr: line.stderr,
            line: text,
        };
        client.send(&Event::Log(line)).await?;
    }
    Ok(Answer::Logs(LogsEnd { lines, silent: nodes.names_of(&nodes.silent).into_iter().collect() }))
}

fn by_id(tasks: Vec<Task>) -> HashMap<String, Task> {
    tasks.into_iter().map(|task| (task.id.clone(), task)).collect()
}

/// Which lines the nodes are asked for.
fn options(request: &Logs) -> LogOptions {
    let is_usual = request.since.is_none() && request.grep.is_none();
    let tail = request.tail.or_else(|| is_usual.then_some(USUAL_TAIL));
    LogOptions { follow: request.follow, since: request.since, tail }
}

/// Says before the first line what nobody would see from the lines.
async fn begin(request: &Logs, nodes: &Nodes, client: &Client) -> Result<(), Refused> {
    if let (Some(tail), Some(_)) = (request.tail, &request.grep) {
        let text = format!("only the last {tail} lines of each task are looked through, because of `--tail`");
        client.send(&Event::Note { text }).await?;
    }
    // What is not followed names them at its end.
    if request.follow && !nodes.silent.is_empty() {
        let names: Vec<String> = nodes.names_of(&nodes.silent).into_iter().collect();
        let text =
            format!("the Swarm does not reach {}: lines of tasks there are missing until it does", names.join(", "));
        client.send(&Event::Note { text }).await?;
    }
    Ok(())
}

/// Nodes by the Swarm's ids, and which of them did not answer.
struct Nodes {
    hostnames: HashMap<String, String>,
    /// Nodes of tasks whose lines are wanted.
    asked: BTreeSet<String>,
    /// Those that a line has come from.
    heard: BTreeSet<String>,
    silent: BTreeSet<String>,
}

impl Nodes {
    /// Those that the Swarm does not reach are silent from the beginning: of one that is followed nobody would say so later.
    fn of(nodes: Vec<Node>, request: &Logs, tasks: &HashMap<String, Task>) -> Self {
        // One without a container has written nothing.
        let has_lines = |task: &&Task| task.container.is_some() && wanted(request, &task.id, Some(*task));
        let asked: BTreeSet<String> = tasks.values().filter(has_lines).filter_map(|task| task.node.clone()).collect();
        let is_lost = |node: &&Node| node.state != NodeState::Ready && asked.contains(&node.id);
        let silent = nodes.iter().filter(is_lost).map(|node| node.id.clone()).collect();
        let hostnames = nodes.into_iter().map(|node| (node.id, node.hostname)).collect();
        Self { hostnames, asked, heard: BTreeSet::new(), silent }
    }

    /// A line has come from a node: it is back, or was never away.
    fn hear(&mut self, node: &str) {
        if !self.heard.contains(node) {
            self.heard.insert(node.to_owned());
            self.silent.remove(node);
        }
    }

    /// Nobody says who did not answer: it is among those who have said nothing. Returns what there is to say of it.
    fn fell_silent(&mut self) -> String {
        let quiet: BTreeSet<String> = self.asked.difference(&self.heard).cloned().collect();
        let names: Vec<String> = self.names_of(&quiet).into_iter().collect();
        self.silent.extend(quiet);
        let who = match names.is_empty() {
            true => "a node".to_owned(),
            false => names.join(" or "),
        };
        format!("not all lines could be had: nothing more came for {} s, so {who} does not answer", SILENCE.as_secs())
    }

    fn name(&self, id: &str) -> String {
        self.hostnames.get(id).cloned().unwrap_or_else(|| id.to_owned())
    }

    fn names_of(&self, ids: &BTreeSet<String>) -> BTreeSet<String> {
        ids.iter().map(|id| self.name(id)).collect()
    }
}

/// Whether lines of a task are wanted. What the Swarm does not list any more is gone.
fn wanted(request: &Logs, id: &str, task: Option<&Task>) -> bool {
    let chosen = request.task.as_ref().is_none_or(|chosen| {
        id.starts_with(chosen.as_str()) || task.is_some_and(|task| task.slot.to_string() == *chosen)
    });
    let lives = task.is_some_and(|task| !task.state.is_over());
    // A task that was asked for by its id is meant, whatever became of it.
    chosen && (lives || request.previous || request.task.as_ref().is_some_and(|chosen| id.starts_with(chosen.as_str())))
}
