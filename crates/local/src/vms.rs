//! Making virtual machines match the emulator's instances, again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use futuswarm_aws::Error as AwsError;
use ipnet::Ipv4Net;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;

use crate::aws::Clients;
use crate::dnsmasq::Dnsmasq;
use crate::ec2::{self, Machine, View};
use crate::error::{Error, Result};
use crate::images::Images;
use crate::layout::Layout;
use crate::network::Network;
use crate::qemu::Hypervisor;

/// An instance that the emulator put somewhere else in its life; the tag that an Auto Scaling group leaves.
const GROUP_TAG: &str = "aws:autoscaling:groupName";

/// A running virtual machine.
struct Vm {
    machine: Machine,
    process: Child,
    powered_on: SystemTime,
    /// Whether the guest was asked to shut down because the instance is to stop.
    stopping: bool,
}

/// What `status` says of a machine.
#[derive(Debug, Clone, Serialize, serde::Deserialize)]
pub struct VmStatus {
    /// Instance id.
    pub instance: String,
    /// Primary address.
    pub address: String,
    /// Availability zone.
    pub zone: String,
    /// AMI id.
    pub image: String,
    /// AMI name.
    pub image_name: String,
    /// Auto Scaling group.
    pub group: String,
    /// Always `running`: others have no machine.
    pub state: String,
    /// Seconds since the epoch at power-on.
    pub powered_on: u64,
    /// QEMU's process.
    pub pid: u32,
}

/// The machines and what they are made of.
pub struct Vms {
    clients: Clients,
    layout: Layout,
    network: Network,
    hypervisor: Hypervisor,
    dnsmasq: Dnsmasq,
    images: Arc<RwLock<Images>>,
    view: Arc<RwLock<View>>,
    subnets: BTreeSet<Ipv4Net>,
    vms: BTreeMap<String, Vm>,
}

impl Vms {
    /// No machines yet.
    pub fn new(
        clients: Clients,
        layout: Layout,
        network: Network,
        hypervisor: Hypervisor,
        dnsmasq: Dnsmasq,
        images: Arc<RwLock<Images>>,
        view: Arc<RwLock<View>>,
    ) -> Self {
        let (subnets, vms) = (BTreeSet::new(), BTreeMap::new());
        Self { clients, layout, network, hypervisor, dnsmasq, images, view, subnets, vms }
    }

    /// Looks, so that the metadata service knows the instances, and starts nothing.
    ///
    /// # Errors
    /// When the emulator cannot be asked.
    pub async fn look(&self) -> Result<(View, Images)> {
        let before = self.view.read().unwrap_or_else(PoisonError::into_inner).clone();
        let images = self.images.read().unwrap_or_else(PoisonError::into_inner).clone();
        let view = ec2::observe(&self.clients, &images, &before).await?;
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = view.clone();
        Ok((view, images))
    }

    /// Looks, and lets the network follow, but starts no machine.
    ///
    /// # Errors
    /// When the emulator cannot be asked, or the network not be changed.
    pub async fn look_and_connect(&mut self) -> Result<()> {
        let (view, _) = self.look().await?;
        self.match_subnets(&view).await
    }

    /// Replaces the names of what is not a machine.
    ///
    /// # Errors
    /// When the name server cannot be told.
    pub fn set_names(&self, names: &BTreeMap<String, Ipv4Addr>) -> Result<()> {
        self.dnsmasq.set_names(names)
    }

    /// One look and what follows from it.
    ///
    /// # Errors
    /// When the emulator cannot be asked; trouble with one machine is logged and tried again.
    pub async fn reconcile(&mut self) -> Result<()> {
        self.reap().await;
        let (view, images) = self.look().await?;
        self.match_subnets(&view).await?;

        let gone: Vec<String> = self.vms.keys().filter(|id| !view.running.contains_key(*id)).cloned().collect();
        for id in gone {
            if view.stopped.contains(&id) {
                self.shut_down(&id).await;
            } else {
                self.power_off(&id).await;
                self.remove(&id, true).await;
            }
        }
        let new: Vec<&Machine> = view.running.values().filter(|machine| !self.vms.contains_key(&machine.id)).collect();
        if !new.is_empty() {
            let hosts = view.running.values().map(|machine| (machine.mac.clone(), machine.address)).collect();
            self.dnsmasq.set_hosts(&hosts)?;
        }
        for machine in new {
            if let Err(error) = self.start(machine, &images).await {
                tracing::warn!(instance = machine.id, %error, "cannot start the machine; will try again");
            }
        }
        Ok(())
    }

    async fn match_subnets(&mut self, view: &View) -> Result<()> {
        let wanted: BTreeSet<Ipv4Net> = view.subnets.values().copied().collect();
        let ended = self.dnsmasq.ended();
        if let Some(status) = &ended {
            tracing::warn!(status, "dnsmasq ended; starting it again");
        }
        if wanted != self.subnets {
            self.network.set_subnets(&self.subnets, &wanted).await?;
        }
        if wanted != self.subnets || ended.is_some() {
            self.dnsmasq.set_subnets(&wanted).await?;
            tracing::info!(subnets = ?wanted, "DHCP and DNS serve these subnets");
            self.subnets = wanted;
        }
        Ok(())
    }

    async fn start(&mut self, machine: &Machine, images: &Images) -> Result<()> {
        let Some(image) = images.by_ami(&machine.ami) else {
            return Err(Error::Config(format!(
                "the image {} has no disk here: publish it first (`cargo xtask publish --local`)",
                machine.ami
            )));
        };
        let dir = self.layout.vm(&machine.id);
        self.hypervisor.prepare(machine, &image.disk, &dir).await?;
        let tap = machine.tap();
        if let Err(error) = self.network.add_tap(&tap).await {
            tracing::debug!(tap, %error, "a tap was left behind; making it anew");
            self.network.remove_tap(&tap).await?;
            self.network.add_tap(&tap).await?;
        }
        let process = self.hypervisor.start(machine, &dir, &self.network.path())?;
        tracing::info!(instance = machine.id, address = %machine.address, zone = machine.zone, pid = process.id(), "power on");
        let vm = Vm { machine: machine.clone(), process, powered_on: SystemTime::now(), stopping: false };
        self.vms.insert(machine.id.clone(), vm);
        Ok(())
    }

    /// Cuts the power of a machine, as `kill` asks for. The next look ends its instance.
    pub fn cut_power(&mut self, instance: &str) -> bool {
        let Some(vm) = self.vms.get_mut(instance) else { return false };
        tracing::info!(instance, "power cut asked for");
        vm.process.start_kill().is_ok()
    }

    async fn power_off(&mut self, id: &str) {
        if let Some(vm) = self.vms.get_mut(id)
            && let Err(error) = vm.process.kill().await
        {
            tracing::debug!(instance = id, %error, "the machine had ended");
        }
    }

    /// Asks a guest to shut down, once; `reap` sees it end.
    async fn shut_down(&mut self, id: &str) {
        let socket = self.layout.vm(id).join("qmp.sock");
        let Some(vm) = self.vms.get_mut(id).filter(|vm| !vm.stopping) else { return };
        vm.stopping = true;
        if let Err(error) = press_power_button(&socket).await {
            tracing::warn!(instance = id, %error, "cannot ask the guest to shut down; cutting its power");
            self.power_off(id).await;
        }
    }

    /// Removes what a machine used; its disk only when the instance is gone for good.
    async fn remove(&mut self, id: &str, for_good: bool) {
        let Some(vm) = self.vms.remove(id) else { return };
        if let Err(error) = self.network.remove_tap(&vm.machine.tap()).await {
            tracing::warn!(instance = id, %error, "the tap stays behind");
        }
        let dir = self.layout.vm(id);
        if for_good && let Err(error) = std::fs::remove_dir_all(&dir) {
            tracing::warn!(instance = id, %error, "the machine's folder stays behind");
        }
        tracing::info!(instance = id, "the machine is gone");
    }

    /// Looks for machines that ended by themselves and tells the emulator, as the hypervisor tells EC2.
    async fn reap(&mut self) {
        let ended: Vec<(String, std::process::ExitStatus)> = self
            .vms
            .iter_mut()
            .filter_map(|(id, vm)| vm.process.try_wait().ok().flatten().map(|status| (id.clone(), status)))
            .collect();
        for (id, status) in ended {
            let Some(vm) = self.vms.get(&id) else { continue };
            if vm.stopping {
                self.remove(&id, false).await;
                continue;
            }
            // A guest that shuts down in order makes QEMU exit with 0; anything else is a power cut. An Auto Scaling group
            // replaces what stops running, either way.
            let in_order = status.signal().is_none() && status.success();
            let terminate = !in_order || vm.machine.terminates_on_shutdown || vm.machine.tags.contains_key(GROUP_TAG);
            tracing::info!(instance = id, %status, in_order, terminate, "the machine ended by itself");
            let told = if terminate {
                let sent = self.clients.ec2.terminate_instances().instance_ids(&id).send().await;
                sent.map(|_| ()).map_err(|error| AwsError::new("TerminateInstances", error))
            } else {
                let sent = self.clients.ec2.stop_instances().instance_ids(&id).send().await;
                sent.map(|_| ()).map_err(|error| AwsError::new("StopInstances", error))
            };
            match told {
                Ok(()) => self.remove(&id, terminate).await,
                Err(error) => tracing::warn!(instance = id, %error, "will be told again"),
            }
        }
    }

    /// All machines.
    pub fn status(&self) -> Vec<VmStatus> {
        let images = self.images.read().unwrap_or_else(PoisonError::into_inner);
        let status = |vm: &Vm| VmStatus {
            instance: vm.machine.id.clone(),
            address: vm.machine.address.to_string(),
            zone: vm.machine.zone.clone(),
            image: vm.machine.ami.clone(),
            image_name: images.by_ami(&vm.machine.ami).map(|image| image.name.clone()).unwrap_or_default(),
            group: vm.machine.tags.get(GROUP_TAG).cloned().unwrap_or_default(),
            state: "running".to_owned(),
            powered_on: vm.powered_on.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            pid: vm.process.id().unwrap_or(0),
        };
        self.vms.values().map(status).collect()
    }

    /// Cuts every machine's power.
    pub async fn end(&mut self) {
        for id in self.vms.keys().cloned().collect::<Vec<_>>() {
            self.power_off(&id).await;
        }
    }
}

/// Presses a machine's power button through QMP.
async fn press_power_button(socket: &std::path::Path) -> std::io::Result<()> {
    let exchange = async {
        let stream = tokio::net::UnixStream::connect(socket).await?;
        let (reader, mut writer) = stream.into_split();
        let mut lines = tokio::io::BufReader::new(reader).lines();
        lines.next_line().await?;
        for command in ["qmp_capabilities", "system_powerdown"] {
            writer.write_all(format!("{{\"execute\":\"{command}\"}}\n").as_bytes()).await?;
            lines.next_line().await?;
        }
        Ok(())
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), exchange)
        .await
        .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut)))
}
