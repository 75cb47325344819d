//! Databases: a PostgreSQL server for each instance of the emulator's RDS, inside the network namespace.

mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ec2::types::Filter;
use aws_sdk_rds::primitives::DateTime;
use aws_sdk_rds::types::DbInstance;
use futuswarm_aws::Error as AwsError;
use futuswarm_tools::ToolsTree;
use ipnet::Ipv4Net;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::ca::Authority;
use crate::error::{Error, Result, file};
use crate::network::Network;
use crate::sandbox::{self, Sandbox};
use crate::state_dir::StateDir;
use futuswarm_aws_front::catalogue::Catalogue;
use futuswarm_aws_front::clients::Clients;
use server::{Instance, Server};

/// The user of the tools tree that servers run as.
const USER: &str = "postgres";
/// Between two checks of a server.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Before a server that did not start is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// How a database ends: with a last snapshot of this file, or without.
type End = Option<PathBuf>;

/// A database whose server is kept running.
struct ManagedDatabase {
    instance: Instance,
    /// When the emulator made it: another one of the same name was made at another moment.
    made: Option<DateTime>,
    end: oneshot::Sender<End>,
    task: JoinHandle<()>,
}

/// Reconciles the servers with the emulator's instances.
pub struct Databases {
    /// By the bypass, where nothing is completed.
    inner: Clients,
    catalogue: Catalogue,
    network: Network,
    dir: PathBuf,
    tree: PathBuf,
    ids: (u32, u32),
    authority: Arc<Authority>,
    managed: BTreeMap<String, ManagedDatabase>,
    /// Databases that are being taken down; their names are not free yet.
    ending: BTreeMap<String, JoinHandle<()>>,
}

impl Databases {
    /// No databases yet.
    ///
    /// # Errors
    /// When the tools tree has no PostgreSQL.
    pub fn new(
        inner: Clients,
        catalogue: Catalogue,
        state_dir: &StateDir,
        network: Network,
        authority: Arc<Authority>,
        tools: &ToolsTree,
    ) -> Result<Self> {
        let (dir, tree) = (state_dir.databases(), tools.root().to_owned());
        let ids = sandbox::ids(&tree, USER)?;
        let snapshots = dir.join("snapshots");
        std::fs::create_dir_all(&snapshots).map_err(file("cannot create", &snapshots))?;
        let (managed, ending) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { inner, catalogue, network, dir, tree, ids, authority, managed, ending })
    }

    /// Observes the emulator, and does what follows from it. Returns the names of all databases when they have changed.
    ///
    /// # Errors
    /// When the emulator cannot be asked.
    pub async fn reconcile(&mut self) -> Result<Option<BTreeMap<String, Ipv4Addr>>> {
        self.ending.retain(|_, task| !task.is_finished());
        let mut pages = self.inner.rds.describe_db_instances().into_paginator().send();
        let mut desired = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| AwsError::new("DescribeDBInstances", error))?;
            for found in page.db_instances.unwrap_or_default() {
                if found.engine() == Some("postgres") {
                    desired.insert(found.db_instance_identifier().unwrap_or_default().to_owned(), found);
                }
            }
        }
        for snapshot in self.catalogue.dropped() {
            let path = self.snapshot(&snapshot);
            if path.exists() {
                std::fs::remove_file(&path).map_err(file("cannot remove", &path))?;
            }
        }
        // A task ends only when it is told to; one that ended otherwise has taken its server with it.
        let lost = |(_, managed): &(&String, &ManagedDatabase)| managed.task.is_finished();
        let lost: Vec<String> = self.managed.iter().filter(lost).map(|(id, _)| id.clone()).collect();
        let mut changed = !lost.is_empty();
        for id in lost {
            tracing::error!(database = id, "the database's task has ended; starting it again");
            self.managed.remove(&id);
        }
        // Also what was deleted and made again between two polls.
        let same = |(id, managed): &(&String, &ManagedDatabase)| {
            desired.get(*id).is_some_and(|found| found.instance_create_time().copied() == managed.made)
        };
        let gone: Vec<String> =
            self.managed.iter().filter(|managed| !same(managed)).map(|(id, _)| id.clone()).collect();
        for id in gone {
            self.end(&id).await?;
            changed = true;
        }
        for (id, found) in &desired {
            if self.managed.contains_key(id) || self.ending.contains_key(id) {
                continue;
            }
            match self.create(id, found).await {
                Ok(()) => changed = true,
                Err(error) => tracing::warn!(database = id, %error, "cannot make the database; will try again"),
            }
        }
        let name = |managed: &ManagedDatabase| (managed.instance.name.clone(), managed.instance.address);
        Ok(changed.then(|| self.managed.values().map(name).collect()))
    }

    async fn create(&mut self, id: &str, found: &DbInstance) -> Result<()> {
        let address = self.free_address(found).await?;
        let endpoint = found.endpoint().and_then(|endpoint| endpoint.address());
        let name = endpoint.ok_or_else(|| Error::Incomplete(format!("the database {id} has no endpoint")))?.to_owned();
        let port = found.endpoint().and_then(|endpoint| endpoint.port()).and_then(|port| u16::try_from(port).ok());
        let origin = self.catalogue.origin(id).map(|snapshot| self.snapshot(&snapshot));
        if let Some(snapshot) = origin.as_ref().filter(|path| !path.exists()) {
            // Its server may be stopping still. An empty database in its place would look like lost data.
            return Err(Error::Config(format!("its snapshot is not there yet: {}", snapshot.display())));
        }
        let instance = Instance {
            id: id.to_owned(),
            name,
            address,
            port: port.unwrap_or(5432),
            master: found.master_username().unwrap_or("postgres").to_owned(),
            database: found.db_name().map(str::to_owned),
            origin,
        };
        self.network.add_address(address).await?;
        let sandbox =
            Sandbox { tree: self.tree.clone(), folder: self.dir.join(id), netns: self.network.path(), ids: self.ids };
        tracing::info!(database = id, %address, "making the database");
        let (end, ended) = oneshot::channel();
        let task = DatabaseTask {
            instance: instance.clone(),
            sandbox,
            catalogue: self.catalogue.clone(),
            authority: Arc::clone(&self.authority),
            network: self.network.clone(),
            log: self.dir.join(format!("{id}.log")),
        };
        // On the daemon's one thread, as every child must be started.
        let task = tokio::spawn(task.run(ended));
        let made = found.instance_create_time().copied();
        self.managed.insert(id.to_owned(), ManagedDatabase { instance, made, end, task });
        Ok(())
    }

    /// Ends a database that the emulator no longer has; its last snapshot is the one that has no file yet.
    async fn end(&mut self, id: &str) -> Result<()> {
        let found =
            self.inner.rds.describe_db_snapshots().db_instance_identifier(id).snapshot_type("manual").send().await;
        let found = found.map_err(|error| AwsError::new("DescribeDBSnapshots", error))?;
        let names = found.db_snapshots().iter().filter_map(|snapshot| snapshot.db_snapshot_identifier());
        let last = names.map(|name| self.snapshot(name)).rfind(|path| !path.exists());
        if let Some(managed) = self.managed.remove(id) {
            self.catalogue.stops(id);
            // It may have ended by itself; then there is nobody to tell.
            let _ended = managed.end.send(last);
            self.ending.insert(id.to_owned(), managed.task);
        }
        Ok(())
    }

    fn snapshot(&self, name: &str) -> PathBuf {
        // Names come from clients of the API; the emulator allows letters, digits and hyphens only.
        let plain: String = name.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-').collect();
        self.dir.join("snapshots").join(format!("{plain}.tar"))
    }

    /// The last free address of the database's first subnet: the emulator gives instances the first ones.
    async fn free_address(&self, found: &DbInstance) -> Result<Ipv4Addr> {
        let subnets = found.db_subnet_group().map(|group| group.subnets()).unwrap_or_default();
        let ids: Vec<String> =
            subnets.iter().filter_map(|subnet| subnet.subnet_identifier().map(str::to_owned)).collect();
        let filter = match ids.is_empty() {
            true => Filter::builder().name("default-for-az").values("true").build(),
            false => Filter::builder().name("subnet-id").set_values(Some(ids)).build(),
        };
        let found = self.inner.ec2.describe_subnets().filters(filter).send().await;
        let found = found.map_err(|error| AwsError::new("DescribeSubnets", error))?;
        let mut networks: Vec<Ipv4Net> =
            found.subnets().iter().filter_map(|subnet| subnet.cidr_block()?.parse().ok()).collect();
        networks.sort_unstable();
        let taken: BTreeSet<Ipv4Addr> = self.managed.values().map(|managed| managed.instance.address).collect();
        let network = networks.first().ok_or_else(|| Error::Incomplete("the database is in no subnet".to_owned()))?;
        free(*network, &taken).ok_or_else(|| Error::Config(format!("no address is free in {network}")))
    }
}

/// The highest address that is neither taken nor AWS's own (the last one, and the first four).
fn free(network: Ipv4Net, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    let (first, last) = (u32::from(network.network()), u32::from(network.broadcast()));
    (first.saturating_add(4)..last).rev().map(Ipv4Addr::from).find(|address| !taken.contains(address))
}

/// Runs a database's server from its creation to its end.
struct DatabaseTask {
    instance: Instance,
    sandbox: Sandbox,
    catalogue: Catalogue,
    authority: Arc<Authority>,
    network: Network,
    log: PathBuf,
}

impl DatabaseTask {
    async fn run(self, mut ended: oneshot::Receiver<End>) {
        let id = self.instance.id.clone();
        let mut server = None;
        let end = loop {
            if server.is_none() {
                let started = self.start().await;
                match started {
                    Ok(new) => {
                        server = Some(new);
                        // It may have been deleted meanwhile, and forgotten.
                        if ended.is_empty() {
                            self.catalogue.accepts(&id);
                            tracing::info!(database = id, address = %self.instance.address, "the database accepts connections");
                        }
                    }
                    Err(error) => tracing::warn!(database = id, %error, "will try again"),
                }
            }
            let pause = if server.is_some() { POLL_INTERVAL } else { AGAIN };
            match tokio::time::timeout(pause, &mut ended).await {
                Ok(Ok(end)) => break end,
                // The reconciler is gone, and with it the daemon.
                Ok(Err(_)) => return,
                Err(_) => {}
            }
            if let Some(running) = server.as_mut() {
                if let Some(status) = running.ended() {
                    tracing::warn!(database = id, status, "the database ended; starting it again");
                    server = None;
                } else if let Err(error) = running.set_password(self.catalogue.password(&id)).await {
                    tracing::warn!(database = id, %error, "the master password stays as it was; will try again");
                }
            }
        };
        if let Err(error) = self.remove(server, end).await {
            tracing::warn!(database = id, %error, "something of the database stays behind");
        }
        tracing::info!(database = id, "the database is gone");
    }

    async fn start(&self) -> Result<Server> {
        let password = self.catalogue.password(&self.instance.id);
        Server::start(&self.instance, self.sandbox.clone(), &self.authority, password, &self.log).await
    }

    async fn remove(&self, server: Option<Server>, end: End) -> Result<()> {
        if let Some(server) = server {
            server.stop().await?;
        }
        if let Some(snapshot) = end {
            match server::is_complete(&self.sandbox) {
                true => server::pack(self.sandbox.folder.clone(), snapshot).await?,
                false => tracing::warn!(
                    database = self.instance.id,
                    "it was never complete, so nothing can be restored from its last snapshot"
                ),
            }
        }
        let folder = &self.sandbox.folder;
        if folder.exists() {
            std::fs::remove_dir_all(folder).map_err(file("cannot remove", folder))?;
        }
        self.network.remove_address(self.instance.address).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_take_addresses_from_the_end() {
        let network = "10.0.0.0/29".parse().unwrap();
        let address = |last: u8| Ipv4Addr::new(10, 0, 0, last);
        assert_eq!(free(network, &BTreeSet::new()), Some(address(6)));
        assert_eq!(free(network, &[address(6)].into()), Some(address(5)));
        assert_eq!(free(network, &[address(6), address(5), address(4)].into()), None);
    }
}
