//! Lines of an app's tasks, over all nodes. It ends although a node is down, and says which did not answer.

use std::collections::{BTreeSet, HashMap};

use futures_util::StreamExt as _;
use futuswarm_rpc::message::{Answer, Event, LogLine, Logs, LogsEnd};
use futuswarm_swarm::{LogApi as _, NodeApi as _, ServiceApi as _, TaskApi as _};
use futuswarm_swarm::{LogItem, LogOptions, LogSource, Task};

use crate::client::Client;
use crate::refusal::Refused;
use crate::{Control, Error, Platform, clock};

/// A line is cut there, in bytes; JSON makes more of them.
const LONGEST_LINE: usize = 64 << 10;
/// So many lines of each task, when nothing is said of it.
const USUAL_TAIL: u32 = 100;

/// Sends the lines that were asked for.
pub(crate) async fn logs<P: Platform>(
    control: &Control<P>,
    request: Logs,
    client: &mut Client,
) -> Result<Answer, Refused> {
    control.existing(&request.app).await?;
    let engine = &control.engine;
    let service = engine.inspect_service(&request.app).await.map_err(Error::from)?;
    let service = service.ok_or_else(|| {
        Refused::not_found(format!("{} runs nothing: it was never deployed, or its service was removed", request.app))
    })?;
    let nodes = engine.list_nodes().await.map_err(Error::from)?;
    let hostnames: HashMap<String, String> = nodes.into_iter().map(|node| (node.id, node.hostname)).collect();
    let tasks = engine.list_tasks(Some(&service.id)).await.map_err(Error::from)?;
    let mut tasks: HashMap<String, Task> = tasks.into_iter().map(|task| (task.id.clone(), task)).collect();
    let options = LogOptions {
        follow: request.follow,
        since: request.since,
        tail: request.tail.or_else(|| request.since.is_none().then_some(USUAL_TAIL)),
    };
    let mut stream = engine.logs(LogSource::Service(&service.id), options).await.map_err(Error::from)?;
    let (mut lines, mut silent) = (0, BTreeSet::new());
    loop {
        let item = tokio::select! {
            item = stream.next() => item,
            () = client.gone() => return Err(Refused::gone()),
        };
        match item {
            None => break,
            Some(Err(error)) => return Err(Error::from(error).into()),
            Some(Ok(LogItem::Gap { reason, nodes })) => {
                let nodes = nodes.into_iter().map(|id| hostnames.get(&id).cloned().unwrap_or(id));
                silent.extend(nodes);
                client.send(&Event::Note { text: format!("not all lines could be had: {reason}") }).await?;
            }
            Some(Ok(LogItem::Line(line))) => {
                if !tasks.contains_key(&line.task) && request.follow {
                    let listed = engine.list_tasks(Some(&service.id)).await.map_err(Error::from)?;
                    tasks = listed.into_iter().map(|task| (task.id.clone(), task)).collect();
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
                let line = LogLine {
                    at: clock::milliseconds(&line.at),
                    slot: task.and_then(|task| u32::try_from(task.slot).ok()).unwrap_or_default(),
                    node: hostnames.get(&line.node).cloned().unwrap_or(line.node),
                    task: line.task,
                    stderr: line.stderr,
                    line: text,
                };
                client.send(&Event::Log(line)).await?;
            }
        }
    }
    Ok(Answer::Logs(LogsEnd { lines, silent: silent.into_iter().collect() }))
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
