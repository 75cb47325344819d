//! Making virtual machines match the emulator's instances, again and again.

pub mod power;
pub mod powered;
mod qmp;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use futuswarm_aws::Error as AwsError;
use ipnet::Ipv4Net;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::dnsmasq::Dnsmasq;
use crate::error::{Error, Result};
use crate::network::Network;
use crate::observed_instances::{self, Machine, View};
use crate::qemu::Hypervisor;
use crate::state_dir::StateDir;
use futuswarm_aws_front::clients::Clients;
use futuswarm_aws_front::images::Images;
use futuswarm_aws_front::operations::reboots::Reboots;
use power::{Conflict, Fate, Step};
use powered::{Ended, GROUP_TAG, Powered};

/// What machines are made of, and what they are connected to.
pub struct Surroundings {
    /// The emulator, as its account's owner.
    pub clients: Clients,
    /// The cloud's files.
    pub state_dir: StateDir,
    pub network: Network,
    /// QEMU.
    pub hypervisor: Hypervisor,
    /// DHCP and DNS; the databases' names go there, too.
    pub dnsmasq: Arc<Mutex<Dnsmasq>>,
    /// Images and their disks.
    pub images: Arc<RwLock<Images>>,
    /// What the emulator said last.
    pub view: Arc<RwLock<View>>,
    /// Instances that somebody wants to start again.
    pub reboots: Reboots,
}

/// Reconciles the machines with the emulator's instances.
pub struct Vms {
    around: Surroundings,
    powered: Powered,
    subnets: BTreeSet<Ipv4Net>,
    /// Conflicts that were told already.
    told: BTreeSet<Conflict>,
}

impl Vms {
    /// No machines yet; they will be in `powered`.
    pub fn new(around: Surroundings, powered: Powered) -> Self {
        Self { around, powered, subnets: BTreeSet::new(), told: BTreeSet::new() }
    }

    /// Observes the instances, so that the metadata service knows them, and starts nothing.
    ///
    /// # Errors
    /// When the emulator cannot be asked.
    pub async fn observe(&self) -> Result<(View, Images)> {
        let before = self.around.view.read().unwrap_or_else(PoisonError::into_inner).clone();
        let images = self.around.images.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut view = observed_instances::observe(&self.around.clients, &images, &before).await?;
        view.ending = self.powered.beyond(&view.running);
        *self.around.view.write().unwrap_or_else(PoisonError::into_inner) = view.clone();
        Ok((view, images))
    }

    /// Observes the instances, and lets the network follow, but starts no machine.
    ///
    /// # Errors
    /// When the emulator cannot be asked, or the network not be changed.
    pub async fn observe_and_connect(&mut self) -> Result<()> {
        let (view, _) = self.observe().await?;
        self.match_subnets(&view).await
    }

    /// Observes the instances, and does what follows from it.
    ///
    /// # Errors
    /// When the emulator cannot be asked; trouble with one machine is logged and tried again.
    pub async fn reconcile(&mut self) -> Result<()> {
        let (view, images) = self.observe().await?;
        self.reap(&view).await;
        self.match_subnets(&view).await?;
        self.end_machines(&view).await;
        self.start_machines(&images).await
    }

    async fn match_subnets(&mut self, view: &View) -> Result<()> {
        let desired: BTreeSet<Ipv4Net> = view.subnets.values().copied().collect();
        let mut dnsmasq = self.around.dnsmasq.lock().await;
        let ended = dnsmasq.ended();
        if let Some(status) = &ended {
            tracing::warn!(status, "dnsmasq ended; starting it again");
        }
        if desired != self.subnets {
            self.around.network.set_subnets(&self.subnets, &desired).await?;
        }
        if desired != self.subnets || ended.is_some() {
            dnsmasq.set_subnets(&desired).await?;
            tracing::info!(subnets = ?desired, "DHCP and DNS serve these subnets");
            self.subnets = desired;
        }
        Ok(())
    }

    /// Lets the machines end whose instances no longer run or are to start again: by their power buttons, and by their power
    /// when that takes too long.
    async fn end_machines(&self, view: &View) {
        let (now, reboots) = (Instant::now(), self.around.reboots.take());
        for id in self.powered.addresses().into_keys() {
            let fate = power::fate(view, &id);
            if (fate != Fate::Run || reboots.contains(&id)) && self.powered.begin_end(&id, now) {
                tracing::info!(instance = id, ?fate, "asking the guest to shut down");
            }
        }
        let mut presses = JoinSet::new();
        for (id, step) in self.powered.steps(now) {
            if step == Step::Cut {
                tracing::warn!(
                    instance = id,
                    seconds = power::SOFT.as_secs(),
                    "the guest did not shut down in time; cutting its power"
                );
                self.powered.cut(&id);
                continue;
            }
            let socket = self.around.state_dir.vm(&id).join("qmp.sock");
            presses.spawn(async move { (id, qmp::press_power_button(&socket).await) });
        }
        while let Some(pressed) = presses.join_next().await {
            match pressed {
                Ok((_, Ok(()))) => {}
                Ok((id, Err(error))) => tracing::warn!(instance = id, %error, "cannot press the power button"),
                Err(error) => tracing::warn!(%error, "cannot press a power button"),
            }
        }
    }

    async fn start_machines(&mut self, images: &Images) -> Result<()> {
        let view = self.around.view.read().unwrap_or_else(PoisonError::into_inner).clone();
        let (new, conflicts) = power::startable(&view, &self.powered.addresses());
        for Conflict { instance, holder } in conflicts.iter().filter(|conflict| !self.told.contains(conflict)) {
            tracing::warn!(
                instance,
                holder,
                "the instance's address is still that of another machine, so its own must wait"
            );
        }
        self.told = conflicts.into_iter().collect();
        if !new.is_empty() {
            let machines = view.running.values().chain(view.ending.values());
            let hosts: BTreeMap<String, Ipv4Addr> =
                machines.map(|machine| (machine.mac.clone(), machine.address)).collect();
            self.around.dnsmasq.lock().await.set_hosts(&hosts)?;
        }
        for machine in new {
            if let Err(error) = self.start(machine, images).await {
                tracing::warn!(instance = machine.id, %error, "cannot start the machine; will try again");
            }
        }
        Ok(())
    }

    async fn start(&self, machine: &Machine, images: &Images) -> Result<()> {
        let Some(image) = images.by_ami(&machine.ami) else {
            return Err(Error::Config(format!(
                "the image {} has no disk here: publish it first (`cargo xtask publish --local`)",
                machine.ami
            )));
        };
        let (network, hypervisor) = (&self.around.network, &self.around.hypervisor);
        let dir = self.around.state_dir.vm(&machine.id);
        hypervisor.prepare(machine, &image.disk, &dir).await?;
        let tap = machine.tap();
        if let Err(error) = network.add_tap(&tap).await {
            tracing::debug!(tap, %error, "a tap was left behind; making it again");
            network.remove_tap(&tap).await?;
            network.add_tap(&tap).await?;
        }
        let process = hypervisor.start(machine, &dir, &network.path())?;
        tracing::info!(instance = machine.id, address = %machine.address, zone = machine.zone, pid = process.id(), "power on");
        self.powered.add(machine.clone(), process);
        Ok(())
    }

    /// Removes what a machine used; its disk only when the instance is gone for good.
    async fn remove(&self, machine: &Machine, for_good: bool) {
        let id = &machine.id;
        if let Err(error) = self.around.network.remove_tap(&machine.tap()).await {
            tracing::warn!(instance = id, %error, "the tap stays behind");
        }
        let dir = self.around.state_dir.vm(id);
        if for_good && let Err(error) = std::fs::remove_dir_all(&dir) {
            tracing::warn!(instance = id, %error, "the machine's folder stays behind");
        }
        self.powered.remove(id);
        self.around.view.write().unwrap_or_else(PoisonError::into_inner).ending.remove(id);
        tracing::info!(instance = id, "the machine is gone");
    }

    /// Removes machines that have ended. Of those that ended by themselves the emulator is told, as EC2 is by the hypervisor.
    async fn reap(&self, view: &View) {
        for Ended { machine, status, asked } in self.powered.ended() {
            let id = &machine.id;
            // A guest that shuts down in order makes QEMU exit with 0; anything else is a power cut.
            let in_order = status.signal().is_none() && status.success();
            let fate = power::fate(view, id);
            if asked || fate != Fate::Run {
                tracing::info!(instance = id, %status, in_order, ?fate, "the machine has ended");
                self.remove(&machine, fate == Fate::Terminate).await;
                continue;
            }
            // An Auto Scaling group replaces what stops running, either way.
            let terminate = !in_order || machine.terminates_on_shutdown || machine.tags.contains_key(GROUP_TAG);
            tracing::info!(instance = id, %status, in_order, terminate, "the machine ended by itself");
            let ec2 = &self.around.clients.ec2;
            let told = if terminate {
                let sent = ec2.terminate_instances().instance_ids(id).send().await;
                sent.map(|_| ()).map_err(|error| AwsError::new("TerminateInstances", error))
            } else {
                let sent = ec2.stop_instances().instance_ids(id).send().await;
                sent.map(|_| ()).map_err(|error| AwsError::new("StopInstances", error))
            };
            match told {
                Ok(()) => {
                    self.remove(&machine, terminate).await;
                    // It did run at the poll before; it must not be started for that.
                    self.around.view.write().unwrap_or_else(PoisonError::into_inner).running.remove(id);
                }
                Err(error) => tracing::warn!(instance = id, %error, "will be told again"),
            }
        }
    }
}
