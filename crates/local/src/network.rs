//! The VPC on this machine: a network namespace with one bridge that carries every subnet's gateway and the link-local
//! services. Nothing routes out of it.

pub mod names;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::Ipv4Net;

use crate::child::{self, args};
use crate::error::{Error, Result, file};

/// The bridge's name inside the namespace.
pub const BRIDGE: &str = "vpc";
/// Instance metadata.
pub const IMDS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The AWS API for nodes, under AWS's names; on AWS it is anywhere.
pub const API: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 250);
/// Where the operator's SSH comes from: this machine is the world to the nodes, and not a part of their VPC.
pub const OPERATOR: Ipv4Addr = API;
/// Amazon's resolver, the same in every VPC.
pub const DNS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
/// `ip` answers in milliseconds.
const DEADLINE: Duration = Duration::from_secs(20);

/// The namespace of one cluster.
#[derive(Debug, Clone)]
pub struct Network {
    name: String,
}

impl Network {
    /// The namespace called `name`; nothing is made.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    /// The file that names the namespace.
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// Makes the namespace with its bridge and services' addresses.
    pub async fn create(&self) -> Result<()> {
        ip(&["netns", "add", &self.name], None).await?;
        self.ip(&["link", "set", "lo", "up"]).await?;
        // No delay before forwarding: there are no loops, and a guest's first DHCP request must get through.
        self.ip(&["link", "add", BRIDGE, "type", "bridge", "forward_delay", "0", "stp_state", "0"]).await?;
        self.ip(&["link", "set", BRIDGE, "up"]).await?;
        for address in [IMDS, API, DNS] {
            self.ip(&["addr", "add", &format!("{address}/32"), "dev", BRIDGE]).await?;
        }
        // Subnets share the bridge, so the kernel would tell guests to talk to each other directly; the VPC's router does not.
        for (setting, value) in [
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv4/conf/all/send_redirects", "0"),
            ("net/ipv4/conf/default/send_redirects", "0"),
            ("net/ipv4/conf/vpc/send_redirects", "0"),
        ] {
            self.set(setting, value).await?;
        }
        Ok(())
    }

    /// Writes a kernel setting of the namespace.
    async fn set(&self, setting: &str, value: &'static str) -> Result<()> {
        let path = Path::new("/proc/sys").join(setting);
        self.inside(move || std::fs::write(&path, value).map_err(file("cannot write", &path))).await?
    }

    /// Runs `work` on a thread that lives in the namespace; what it opens stays there and can be used from anywhere.
    pub async fn inside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let path = self.path();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            use std::os::fd::AsFd as _;
            let entered = std::fs::File::open(&path).and_then(|namespace| {
                let kind = Some(rustix::thread::LinkNameSpaceType::Network);
                rustix::thread::move_into_link_name_space(namespace.as_fd(), kind).map_err(Into::into)
            });
            let result = entered.map(|()| work()).map_err(file("cannot enter the network namespace", &path));
            // The receiver is gone only when the daemon is ending.
            let _unheard = sender.send(result);
        });
        receiver.await.map_err(|_| Error::Config("the thread in the network namespace ended early".to_owned()))?
    }

    /// A listener inside the namespace.
    pub async fn listen(&self, address: Ipv4Addr, port: u16) -> Result<tokio::net::TcpListener> {
        let address = SocketAddr::V4(SocketAddrV4::new(address, port));
        let bound = self.inside(move || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        let failed =
            |error: std::io::Error| Error::Config(format!("cannot listen on {address} inside {}: {error}", self.name));
        tokio::net::TcpListener::from_std(bound.await?.map_err(failed)?).map_err(failed)
    }

    /// A connection from an address inside the namespace to another one there.
    pub async fn connect(&self, from: Ipv4Addr, to: SocketAddrV4, deadline: Duration) -> Result<tokio::net::TcpStream> {
        let failed = |reason: String| Error::Config(format!("cannot connect to {to} inside {}: {reason}", self.name));
        // A socket stays in the namespace in which it was made.
        let socket = self.inside(tokio::net::TcpSocket::new_v4).await?.map_err(|error| failed(error.to_string()))?;
        socket.bind(SocketAddr::V4(SocketAddrV4::new(from, 0))).map_err(|error| failed(error.to_string()))?;
        match tokio::time::timeout(deadline, socket.connect(SocketAddr::V4(to))).await {
            Ok(connected) => connected.map_err(|error| failed(error.to_string())),
            Err(_) => Err(failed(format!("no answer within {} s", deadline.as_secs()))),
        }
    }

    /// Puts the gateway address of each subnet (its first) on the bridge.
    pub async fn set_subnets(&self, old: &BTreeSet<Ipv4Net>, new: &BTreeSet<Ipv4Net>) -> Result<()> {
        for subnet in old.difference(new) {
            self.ip(&["addr", "del", &gateway_cidr(*subnet), "dev", BRIDGE]).await?;
        }
        for subnet in new.difference(old) {
            // Not `add`: what an attempt that broke off has done must not stop the next one.
            self.ip(&["addr", "replace", &gateway_cidr(*subnet), "dev", BRIDGE]).await?;
        }
        Ok(())
    }

    /// Puts the address of a service of the VPC on the bridge.
    pub async fn add_address(&self, address: Ipv4Addr) -> Result<()> {
        self.ip(&["addr", "replace", &format!("{address}/32"), "dev", BRIDGE]).await
    }

    /// Takes such an address away.
    pub async fn remove_address(&self, address: Ipv4Addr) -> Result<()> {
        self.ip(&["addr", "del", &format!("{address}/32"), "dev", BRIDGE]).await
    }

    /// Makes a tap on the bridge.
    pub async fn add_tap(&self, tap: &str) -> Result<()> {
        self.ip(&["tuntap", "add", "dev", tap, "mode", "tap"]).await?;
        self.ip(&["link", "set", tap, "master", BRIDGE, "up"]).await
    }

    /// Unplugs a machine that has ended.
    pub async fn remove_tap(&self, tap: &str) -> Result<()> {
        self.ip(&["link", "del", tap]).await
    }

    async fn ip(&self, arguments: &[&str]) -> Result<()> {
        ip(arguments, Some(&self.path())).await
    }

    /// Ends what still runs in the namespace and removes it, with everything in it. Does nothing when it does not exist.
    pub async fn destroy(&self) -> Result<()> {
        if !self.path().exists() {
            return Ok(());
        }
        let pids = child::run(&args(["ip", "netns", "pids", &self.name]), None, DEADLINE).await.unwrap_or_default();
        for pid in pids.split_whitespace().filter_map(|pid| pid.parse().ok()).filter_map(rustix::process::Pid::from_raw)
        {
            // It may have ended meanwhile; the namespace is ours, so whatever is in it is too.
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        ip(&["netns", "del", &self.name], None).await
    }
}

/// The first address of a subnet, with its prefix length.
fn gateway_cidr(subnet: Ipv4Net) -> String {
    format!("{}/{}", gateway(subnet), subnet.prefix_len())
}

/// The VPC's router in a subnet: network address plus one, as on AWS.
pub fn gateway(subnet: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(subnet.network()) + 1)
}

async fn ip(arguments: &[&str], netns: Option<&Path>) -> Result<()> {
    let mut argv = args(["ip"]);
    argv.extend(args(arguments.iter().copied()));
    child::run(&argv, netns, DEADLINE).await.map(|_| ())
}
