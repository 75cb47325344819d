//! DHCP and DNS of the VPC, by dnsmasq inside the namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Stdio;

use futuswarm_aws_front::addressing;
use futuswarm_tools::ToolsTree;
use ipnet::Ipv4Net;
use tokio::process::Child;

use crate::child::{self, Argv, args};
use crate::error::{Error, Result, file};
use crate::network::{API, DNS, Network, gateway};
use crate::state_dir::write_atomically;

/// The name server and its files.
pub struct Dnsmasq {
    dir: PathBuf,
    network: Network,
    region: String,
    program: Argv,
    process: Option<Child>,
}

impl Dnsmasq {
    /// A name server that keeps its files in `dir`; it is started with the first subnets.
    pub fn new(dir: PathBuf, network: Network, region: String, tools: &ToolsTree) -> Result<Self> {
        std::fs::create_dir_all(&dir).map_err(file("cannot create", &dir))?;
        Ok(Self { dir, network, region, program: host_argv(tools, "dnsmasq")?, process: None })
    }

    /// Starts it again for a set of subnets: ranges are read at start only, and subnets exist before instances do.
    pub async fn set_subnets(&mut self, subnets: &BTreeSet<Ipv4Net>) -> Result<()> {
        let config = self.dir.join("dnsmasq.conf");
        let text = render(subnets, &self.region, &self.dir.to_string_lossy());
        write_atomically(&config, text.as_bytes())?;
        for file in ["hosts", "names", "world"].map(|name| self.dir.join(name)).iter().filter(|file| !file.exists()) {
            write_atomically(file, b"")?;
        }
        if let Some(mut old) = self.process.take() {
            old.kill()
                .await
                .map_err(|error| Error::Command { command: "dnsmasq".to_owned(), detail: error.to_string() })?;
        }
        let log = self.dir.join("dnsmasq.log");
        let output =
            std::fs::File::options().create(true).append(true).open(&log).map_err(file("cannot open", &log))?;
        let mut argv = self.program.clone();
        let mut option = std::ffi::OsString::from("--conf-file=");
        option.push(&config);
        argv.push(option);
        let process = child::command(&argv, Some(&self.network.path()))
            .stdout(Stdio::null())
            .stderr(Stdio::from(output))
            .spawn()
            .map_err(|error| Error::Command { command: child::command_line(&argv), detail: error.to_string() })?;
        self.process = Some(process);
        Ok(())
    }

    /// Replaces the leases: MAC → address.
    pub fn set_hosts(&self, hosts: &BTreeMap<String, Ipv4Addr>) -> Result<()> {
        let mut text = String::new();
        for (mac, address) in hosts {
            let _infallible = writeln!(text, "{mac},{address},{},infinite", host_name(*address));
        }
        write_atomically(&self.dir.join("hosts"), text.as_bytes())?;
        self.read_again()
    }

    /// Replaces the names of what is not a machine: name → address.
    pub fn set_names(&self, names: &BTreeMap<String, Ipv4Addr>) -> Result<()> {
        self.put("names", names)
    }

    /// Replaces the names of what is not in the VPC: name → address.
    pub fn set_world(&self, names: &BTreeMap<String, Ipv4Addr>) -> Result<()> {
        self.put("world", names)
    }

    fn put(&self, file: &str, names: &BTreeMap<String, Ipv4Addr>) -> Result<()> {
        let text: String = names.iter().map(|(name, address)| format!("{address} {name}\n")).collect();
        write_atomically(&self.dir.join(file), text.as_bytes())?;
        self.read_again()
    }

    fn read_again(&self) -> Result<()> {
        let pid = self.process.as_ref().and_then(Child::id).and_then(|pid| rustix::process::Pid::from_raw(pid as i32));
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, rustix::process::Signal::HUP)
                .map_err(|errno| Error::Command { command: "dnsmasq".to_owned(), detail: errno.to_string() })?;
        }
        Ok(())
    }

    /// Its exit status if it ended by itself.
    pub fn ended(&mut self) -> Option<String> {
        self.process.as_mut().and_then(|process| process.try_wait().ok().flatten()).map(|status| status.to_string())
    }
}

/// The argument list of a program of the tools tree.
pub fn host_argv(tools: &ToolsTree, program: &str) -> Result<Argv> {
    let command = tools.command(program)?;
    let mut argv = args([command.get_program()]);
    argv.extend(command.get_args().map(Into::into));
    Ok(argv)
}

/// The private DNS name's first label, as on AWS.
pub fn host_name(address: Ipv4Addr) -> String {
    format!("ip-{}", address.to_string().replace('.', "-"))
}

/// dnsmasq.conf for these subnets.
fn render(subnets: &BTreeSet<Ipv4Net>, region: &str, dir: &str) -> String {
    let domain = format!("{region}.compute.internal");
    let mut text = format!(
        "# DHCP and DNS of the local cloud. Names outside the VPC are refused at once: nothing here reaches the outside.\n\
         keep-in-foreground\nlog-facility=-\nuser=root\ngroup=root\npid-file=\nno-hosts\nno-resolv\nno-poll\ninterface=vpc\nexcept-interface=lo\n\
         domain={domain}\nlocal=/{domain}/\n\
         dhcp-authoritative\nno-ping\nquiet-dhcp\ndhcp-rapid-commit\ndhcp-leasefile={dir}/leases\ndhcp-hostsfile={dir}/hosts\naddn-hosts={dir}/names\naddn-hosts={dir}/world\n\
         dhcp-option=option:dns-server,{DNS}\ndhcp-option=option:domain-name,{domain}\n"
    );
    // AWS's own names, and those of buckets below them. `local`: that there is no other address is an answer, too.
    for name in addressing::names(region) {
        let _infallible = writeln!(text, "address=/{name}/{API}\nlocal=/{name}/");
    }
    for (index, subnet) in subnets.iter().enumerate() {
        let _infallible = write!(
            text,
            "dhcp-range=set:s{index},{},static,{},infinite\ndhcp-option=tag:s{index},option:router,{}\n\
             synth-domain={domain},{subnet},ip-\n",
            subnet.network(),
            subnet.netmask(),
            gateway(*subnet)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subnet_has_its_range_and_router() {
        // Those of two clusters: every machine has a name, not only those of the first VPC.
        let subnets = ["10.42.0.0/20", "10.42.16.0/20", "10.43.0.0/20"].map(|subnet| subnet.parse().unwrap()).into();
        insta::assert_snapshot!(render(&subnets, "eu-west-1", "/state"));
    }

    #[test]
    fn host_names_are_those_of_aws() {
        assert_eq!(host_name(Ipv4Addr::new(10, 42, 0, 9)), "ip-10-42-0-9");
    }
}
