//! Requests to the control service: how long one takes, and how many requests to S3 the list of apps costs.

use std::time::{Duration, Instant};

use futuswarm_rpc::message::{Answer, Request};
use futuswarm_store::{MemoryBucket, Store};
use futuswarm_vault::MemoryVault;
use serde::Serialize;

use crate::cluster::{self, Client};
use crate::simulated::SimulatedS3;

/// The line of the audit is written after the answer was sent.
const AFTERWARDS: Duration = Duration::from_millis(500);

/// How long requests took.
#[derive(Debug, Serialize)]
pub(crate) struct Dispatch {
    requests: u32,
    /// In milliseconds, as the others.
    median_ms: f64,
    p99_ms: f64,
    slowest_ms: f64,
}

/// Asks for the access list of an app again and again: the record of who asks and that of the app are read, it is decided whether they
/// may, and the row is sent.
pub(crate) async fn dispatch(requests: u32) -> anyhow::Result<Dispatch> {
    let folder = tempfile::tempdir()?;
    let bucket = MemoryBucket::default();
    let store = Store::new(bucket.clone());
    cluster::make_user(&store).await?;
    cluster::make_app(&store, "hello", 5).await?;
    let socket = cluster::start(&SimulatedS3::new(bucket, Duration::ZERO), folder.path()).await?;
    let request = Request::Access { app: "hello".to_owned() };
    let mut took = Vec::new();
    for _ in 0..requests {
        let client = Client::connect(&socket).await?;
        let began = Instant::now();
        let answer = client.ask(&request).await?;
        took.push(began.elapsed());
        anyhow::ensure!(matches!(&answer, Answer::Access(rows) if rows.len() == 1), "another answer: {answer:?}");
    }
    took.sort();
    let at = |share: f64| took.get((took.len() as f64 * share) as usize).or(took.last()).copied().unwrap_or_default();
    let milliseconds = |share: f64| at(share).as_secs_f64() * 1000.0;
    Ok(Dispatch { requests, median_ms: milliseconds(0.5), p99_ms: milliseconds(0.99), slowest_ms: milliseconds(1.0) })
}

/// What the list of apps costs.
#[derive(Debug, Serialize)]
pub(crate) struct List {
    apps: usize,
    /// To S3, with the record of who asks and the line of the audit.
    requests: u32,
    /// From the connection to the answer.
    milliseconds: f64,
}

/// Lists so many apps with so many releases each.
pub(crate) async fn list(apps: u32, releases: u64, milliseconds: u64) -> anyhow::Result<List> {
    let folder = tempfile::tempdir()?;
    let bucket = MemoryBucket::default();
    let store = Store::new(bucket.clone());
    cluster::make_user(&store).await?;
    for number in 0..apps {
        cluster::make_app(&store, &format!("app{number}"), releases).await?;
    }
    let faults = futuswarm_faults::Faults::none();
    cluster::records(bucket.clone(), MemoryVault::new(faults)).rebuild_index().await?;
    let s3 = SimulatedS3::new(bucket, Duration::from_millis(milliseconds));
    let socket = cluster::start(&s3, folder.path()).await?;
    let began = Instant::now();
    let answer = Client::connect(&socket).await?.ask(&Request::Apps).await?;
    let took = began.elapsed();
    let Answer::Apps(rows) = answer else { anyhow::bail!("another answer") };
    anyhow::ensure!(rows.len() == apps as usize, "{} apps are listed", rows.len());
    tokio::time::sleep(AFTERWARDS).await;
    Ok(List { apps: rows.len(), requests: s3.take_count(), milliseconds: took.as_secs_f64() * 1000.0 })
}
