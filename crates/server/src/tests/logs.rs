//! Lines of tasks: which of them come, and what is said of those that do not.

use std::sync::Arc;

use futuswarm_model::{AppRole, Outcome};
use futuswarm_rpc::message::{Answer, Event, Kind, LogLine, Logs, LogsEnd, Request};
use futuswarm_swarm::TaskApi as _;

use super::world::*;
use crate::Control;

/// One task on each of the three nodes.
const FILE: &str = "replicas = 3\nmemory = \"64 MiB\"\n";

fn request() -> Logs {
    Logs { app: "hello".to_owned(), ..Logs::default() }
}

fn notes(heard: &Heard) -> Vec<&str> {
    let texts = heard.events.iter().filter_map(|event| match event {
        Event::Note { text } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

fn lines(heard: &Heard) -> Vec<&LogLine> {
    let lines = heard.events.iter().filter_map(|event| match event {
        Event::Log(line) => Some(line),
        _ => None,
    });
    lines.collect()
}

/// Texts of lines, each once, in the order of the alphabet.
fn texts(heard: &Heard) -> Vec<&str> {
    let mut texts: Vec<&str> = lines(heard).iter().map(|line| line.line.as_str()).collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

fn end(heard: &Heard) -> LogsEnd {
    match heard.end().unwrap() {
        Answer::Logs(end) => end,
        other => panic!("{other:?}"),
    }
}

async fn asked(control: &Arc<Control<Memory>>, logs: Logs) -> Heard {
    ask(control, "jane", &Request::Logs(logs)).await
}

/// A world in which three tasks of jane's app have written these lines.
async fn wrote<S: Into<String>>(log: impl IntoIterator<Item = S>) -> (World, Arc<Control<Memory>>) {
    let world = World::new().await;
    let control = world.manager("i-1");
    deploys(&world, &control, "1", log).await;
    (world, control)
}

async fn deploys<S: Into<String>>(
    world: &World,
    control: &Arc<Control<Memory>>,
    tag: &str,
    log: impl IntoIterator<Item = S>,
) {
    world.image("hello", tag, good().with_log(log));
    let deployed = deployment(&ask(control, "jane", &deploy("hello", &format!("hello:{tag}"), Some(FILE))).await);
    assert_eq!(deployed.outcome, Some(Outcome::Deployed), "{deployed:?}");
    seconds(30).await;
}

#[tokio::test(start_paused = true)]
async fn words_are_looked_for_in_all_lines_unless_a_number_of_them_is_said() {
    let log = (0..300).map(|number| if number == 7 { "ERROR 7".to_owned() } else { format!("line {number:03}") });
    let (_world, control) = wrote(log).await;
    let usual = asked(&control, request()).await;
    assert_eq!((end(&usual).lines, texts(&usual)[0]), (300, "line 200"), "the last hundred of each of three tasks");
    let last = asked(&control, Logs { tail: Some(1), ..request() }).await;
    assert_eq!((end(&last).lines, texts(&last)), (3, vec!["line 299"]));

    let grep = Some("ERROR".to_owned());
    let found = asked(&control, Logs { grep: grep.clone(), ..request() }).await;
    assert_eq!((end(&found).lines, texts(&found)), (3, vec!["ERROR 7"]));
    assert!(notes(&found).is_empty());
    let missed = asked(&control, Logs { grep, tail: Some(50), ..request() }).await;
    assert_eq!(end(&missed).lines, 0);
    assert!(notes(&missed)[0].contains("only the last 50 lines of each task"), "{:?}", notes(&missed));
}

#[tokio::test(start_paused = true)]
async fn lines_are_those_of_the_time_and_the_tasks_that_are_meant() {
    let (world, control) = wrote(["old"]).await;
    let old = world.engine.list_tasks(Some("hello")).await.unwrap().remove(0);
    seconds(100).await;
    let since = Some(world.now());
    deploys(&world, &control, "2", ["new"]).await;

    assert_eq!(texts(&asked(&control, request()).await), ["new"], "of tasks that run");
    let previous = asked(&control, Logs { previous: true, ..request() }).await;
    assert_eq!((end(&previous).lines, texts(&previous)), (6, vec!["new", "old"]));
    let late = asked(&control, Logs { previous: true, since, ..request() }).await;
    assert_eq!((end(&late).lines, texts(&late)), (3, vec!["new"]));
    assert!(lines(&late).iter().all(|line| Some(line.at) >= since), "{late:?}");
    seconds(100).await;
    let later = Some(world.now());
    assert_eq!(end(&asked(&control, Logs { since: later, ..request() }).await).lines, 0);

    let slot = asked(&control, Logs { task: Some("2".to_owned()), ..request() }).await;
    assert_eq!((end(&slot).lines, lines(&slot)[0].slot), (1, 2));
    // One that is named by its id is meant, although it is over.
    let named = asked(&control, Logs { task: Some(old.id.clone()), ..request() }).await;
    assert_eq!((end(&named).lines, texts(&named)), (1, vec!["old"]));
    assert_eq!(lines(&named)[0].task, old.id);
    let nobody = asked(&control, Logs { task: Some("9".to_owned()), previous: true, ..request() }).await;
    assert_eq!(end(&nobody).lines, 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_hangs_is_named_although_the_swarm_names_none() {
    let (world, control) = wrote(["hello"]).await;
    world.swarm.hang_logs("i-3", true);
    let heard = asked(&control, request()).await;
    assert_eq!(end(&heard), LogsEnd { lines: 2, silent: vec!["i-3".to_owned()] });
    assert!(notes(&heard)[0].contains("10 s, so i-3 does not answer"), "{:?}", notes(&heard));
    // Words that are not in its lines do not make a node silent.
    let filtered = asked(&control, Logs { grep: Some("nothing".to_owned()), ..request() }).await;
    assert_eq!(end(&filtered), LogsEnd { lines: 0, silent: vec!["i-3".to_owned()] });
    world.swarm.hang_logs("i-3", false);
    assert_eq!(end(&asked(&control, request()).await), LogsEnd { lines: 3, silent: Vec::new() });
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_down_is_named_also_to_who_follows() {
    let (world, control) = wrote(["hello"]).await;
    ask(&control, "jane", &grant("hello", "joe", AppRole::Viewer)).await.end().unwrap();
    world.swarm.set_running("i-3", false);
    seconds(60).await;
    let heard = asked(&control, request()).await;
    assert_eq!(end(&heard).silent, ["i-3"]);
    let following = tokio::spawn({
        let (control, logs) = (Arc::clone(&control), Logs { follow: true, ..request() });
        async move { ask(&control, "joe", &Request::Logs(logs)).await }
    });
    seconds(60).await;
    let revoke = Request::Revoke { app: "hello".to_owned(), principal: "joe".parse().unwrap() };
    ask(&control, "jane", &revoke).await.end().unwrap();
    let heard = following.await.unwrap();
    assert!(notes(&heard)[0].contains("does not reach i-3"), "{:?}", notes(&heard));
    let progress = heard.events.iter().filter(|event| matches!(event, Event::Progress { .. })).count();
    assert_eq!(progress, 0, "who follows waits for lines");
}

#[tokio::test(start_paused = true)]
async fn who_looks_for_words_hears_that_it_goes_on_while_no_line_has_them() {
    let (_world, control) = wrote(["hello"]).await;
    ask(&control, "jane", &grant("hello", "joe", AppRole::Viewer)).await.end().unwrap();
    let following = tokio::spawn({
        let logs = Logs { follow: true, grep: Some("nothing".to_owned()), ..request() };
        let control = Arc::clone(&control);
        async move { ask(&control, "joe", &Request::Logs(logs)).await }
    });
    seconds(100).await;
    let revoke = Request::Revoke { app: "hello".to_owned(), principal: "joe".parse().unwrap() };
    ask(&control, "jane", &revoke).await.end().unwrap();
    let heard = following.await.unwrap();
    let told: Vec<(&str, u64)> = heard
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Progress { text, elapsed, .. } => Some((text.as_str(), *elapsed)),
            _ => None,
        })
        .collect();
    assert!(told.len() >= 6 && told.iter().all(|(text, _)| *text == "has read 3 lines"), "{told:?}");
    assert!(told.windows(2).all(|two| two[1].1 - two[0].1 <= 15_100), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn an_app_that_runs_nothing_has_no_lines_to_look_at() {
    let world = World::new().await;
    let control = world.manager("i-1");
    ask(&control, "jane", &stage("hello", Kind::Config, &[("A", "b")])).await.end().unwrap();
    let refused = asked(&control, request()).await.end().unwrap_err();
    assert!(refused.message.contains("runs nothing"), "{}", refused.message);
}
