//! As many services as a cluster may have: how long they take to be rendered, checked and loaded, and how much memory HAProxy has for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use futuswarm_edge::{Expressions, Rendered, Routes, Service, render};
use futuswarm_tools::free_port;
use serde::Serialize;
use tokio::time::sleep;

use super::haproxy::{Haproxy, INSIDE, check};
use super::{by_hand, generated, host, median, names, processors, tasks, traffic};

/// Places for tasks of a service with one task.
const PLACES: u32 = 8;
/// From the last task that was found until memory is looked at.
const SETTLES: Duration = Duration::from_secs(3);
/// Between two reloads, and between two requests beside them.
const BETWEEN: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(3);
/// A label for each thing that a route can have.
const EVERYTHING: [(&str, &str); 14] = [
    ("servicePathExclude", "/private"),
    ("httpsOnly", "true"),
    ("allowedMethods", "GET,POST"),
    ("deniedMethods", "PUT"),
    ("addReqHeader", "X-A \"a b\",X-B 'c \"d\"'"),
    ("setResHeader", "Content-Security-Policy \"default-src 'self'; img-src https://a.com\""),
    ("delReqHeader", "X-C,Cookie"),
    ("reqPathSearchReplace", "^/old/([^/]+)/(.*)$,/new/\\2/\\1:/a,/b,gi"),
    ("timeoutServer", "30"),
    ("timeoutTunnel", "7200"),
    ("sessionType", "sticky-server"),
    ("balanceGroup", "random"),
    ("compressionAlgo", "gzip"),
    ("compressionType", "text/html application/json"),
];

#[derive(Debug, Args)]
pub(crate) struct Services {
    /// So many services.
    #[arg(long, default_value_t = 1000)]
    count: usize,
    /// So many times everything but memory; medians count.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
}

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    services: usize,
    /// From labels to routes, which the Swarm's leader does.
    decide_ms: f64,
    /// From routes to the text, which each node does.
    render_ms: f64,
    /// With every label that there is.
    render_everything_ms: f64,
    check_seconds: f64,
    by_hand_check_seconds: f64,
    reload_seconds: f64,
    /// Requests to one service while HAProxy reloaded, and those of them without an answer.
    asked: u32,
    lost: u32,
    /// Of all processes of HAProxy.
    memory_mib: f64,
    by_hand_memory_mib: f64,
    /// By hand, with a place for one task of each service, which a second task would need a change for.
    by_hand_one_place_memory_mib: f64,
}

impl Services {
    pub(crate) async fn run(self) -> anyhow::Result<Figures> {
        let Self { count, rounds } = self;
        ensure!(count > 0 && rounds > 0, "nothing would be measured");
        let tasks = tasks::start(1).await?;
        let names = names::start(tasks.addresses.clone()).await?;
        let services: Vec<String> = (0..count).map(|index| format!("app{index}")).collect();
        let labelled = |more: &[(&str, &str)]| -> Vec<Service> {
            services.iter().map(|name| generated::service(name, tasks.port, 1, more)).collect()
        };
        let (plain, everything) = (labelled(&[]), labelled(&EVERYTHING));
        let routes = generated::decided(&plain)?;
        ensure!(routes.routes.iter().all(|route| route.slots == PLACES), "a service has other places than {PLACES}");
        let all_labels = generated::decided(&everything)?;
        let decide_ms = milliseconds(rounds, || generated::decided(&plain).map(drop))?;
        let render_ms = milliseconds(rounds, || rendered(&routes).map(drop))?;
        let render_everything_ms = milliseconds(rounds, || rendered(&all_labels).map(drop))?;
        let port = free_port()?;
        let hand = by_hand::many(&services, port, tasks.port, names, PLACES);
        let one_place = by_hand::many(&services, port, tasks.port, names, 1);
        let (check_seconds, by_hand_check_seconds) = checks(rounds, &rendered(&routes)?, &hand).await?;
        let first = host(&services[0]);
        // One after the other: what processes share is divided among those that there are.
        let by_hand_memory_mib = served(&hand, port, &first, count).await?.memory_mib()?;
        let by_hand_one_place_memory_mib = served(&one_place, port, &first, count).await?.memory_mib()?;
        let haproxy = served(&generated::rendered(&routes, port, names)?, port, &first, count).await?;
        let memory_mib = haproxy.memory_mib()?;
        let over = Arc::new(AtomicBool::new(false));
        let beside = tokio::spawn(steady(port, first, Arc::clone(&over)));
        let mut seconds = Vec::new();
        for _ in 0..rounds {
            sleep(BETWEEN).await;
            seconds.push(haproxy.reload().await?.as_secs_f64());
        }
        sleep(BETWEEN).await;
        over.store(true, Ordering::Relaxed);
        let (asked, lost) = beside.await?;
        Ok(Figures {
            services: count,
            decide_ms,
            render_ms,
            render_everything_ms,
            check_seconds,
            by_hand_check_seconds,
            reload_seconds: median(seconds),
            asked,
            lost,
            memory_mib,
            by_hand_memory_mib,
            by_hand_one_place_memory_mib,
        })
    }
}

/// As it is rendered for a check.
fn rendered(routes: &Routes) -> anyhow::Result<Rendered> {
    Ok(render(routes, true, INSIDE, Expressions::Interpreted)?)
}

fn milliseconds(rounds: u32, work: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let mut all = Vec::new();
    for _ in 0..rounds {
        let began = Instant::now();
        work()?;
        all.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(median(all))
}

/// Seconds in which HAProxy checks either, by turns.
async fn checks(rounds: u32, ours: &Rendered, by_hand: &Rendered) -> anyhow::Result<(f64, f64)> {
    let (mut of_ours, mut of_hand) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        of_ours.push(check(ours).await?.as_secs_f64());
        of_hand.push(check(by_hand).await?.as_secs_f64());
    }
    Ok((median(of_ours), median(of_hand)))
}

/// A HAProxy that reaches a task of each of so many services.
async fn served(rendered: &Rendered, port: u16, host: &str, count: usize) -> anyhow::Result<Haproxy> {
    let all: Vec<String> = processors()?.iter().map(usize::to_string).collect();
    let mut haproxy = Haproxy::start(rendered, &all.join(","))?;
    haproxy.wait(port, host).await?;
    haproxy.wait_for_tasks(count).await?;
    sleep(SETTLES).await;
    Ok(haproxy)
}

/// Asks one service again and again; how often, and how often in vain.
async fn steady(port: u16, host: String, over: Arc<AtomicBool>) -> (u32, u32) {
    let (mut asked, mut lost) = (0, 0);
    while !over.load(Ordering::Relaxed) {
        asked += 1;
        lost += u32::from(traffic::once(port, &host).await.is_err());
        sleep(PAUSE).await;
    }
    (asked, lost)
}
