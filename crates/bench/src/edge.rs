//! The edge's HAProxy with the configuration that is generated for it, against HAProxy with one that is written by hand. Both are the
//! tools tree's, on loopback of this machine: how long a new service takes until it is served needs machines, and is not measured here.

mod by_hand;
mod generated;
mod haproxy;
mod load;
mod names;
mod services;
mod tasks;
mod traffic;

use anyhow::Context as _;
use clap::Subcommand;
use serde::Serialize;

#[derive(Debug, Subcommand)]
pub(crate) enum Edge {
    /// Requests through one service, and how long each takes.
    Load(load::Load),
    /// Many services: rendered, checked, loaded, and in memory.
    Services(services::Services),
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Figures {
    Load(load::Figures),
    Services(services::Figures),
}

impl Edge {
    pub(crate) async fn run(self) -> anyhow::Result<Figures> {
        Ok(match self {
            Self::Load(load) => Figures::Load(load.run().await?),
            Self::Services(services) => Figures::Services(services.run().await?),
        })
    }
}

/// The host name of a service.
fn host(service: &str) -> String {
    format!("{service}.apps.example.com")
}

/// Numbers of the processors that this program may run on.
fn processors() -> anyhow::Result<Vec<usize>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let mut all = Vec::new();
    for part in list.context("/proc/self/status names no processors")?.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        all.extend(first.parse::<usize>()?..=last.parse()?);
    }
    Ok(all)
}

/// The upper one of the two in the middle, of an even number.
fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
