//! The load balancers: HAProxy on the host's loopback, with servers inside the namespace.

mod classic;
mod model;
mod observe;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_sdk_acm::types::CertificateStatus;
use futuswarm_aws::Error as AwsError;
use futuswarm_tools::ToolsTree;
use sha2::{Digest as _, Sha256};
use tokio::process::Child;

use crate::ca::Authority;
use crate::child::{self, Argv, args};
use crate::dnsmasq::host_argv;
use crate::error::{Error, Result, file};
use crate::observed_instances::View;
use crate::state_dir::write_atomically;
use futuswarm_aws_front::clients::Clients;
use model::{Listener, Model};

/// HAProxy checks a configuration in milliseconds.
const CHECK_DEADLINE: Duration = Duration::from_secs(20);

/// What was logged already: polls repeat, warnings do not.
#[derive(Debug, Default)]
struct Notes(BTreeSet<String>);

impl Notes {
    fn say(&mut self, note: String) {
        if !self.0.contains(&note) {
            tracing::warn!("{note}");
            self.0.insert(note);
        }
    }
}

/// The two loopback ports.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// Stands for port 80.
    pub http: u16,
    /// Stands for port 443.
    pub https: u16,
}

/// The load balancer and its process.
pub struct Balancer {
    clients: Clients,
    view: Arc<RwLock<View>>,
    dir: PathBuf,
    program: Argv,
    authority: Arc<Authority>,
    /// ARN of a certificate of ACM → our file for it.
    certificates: BTreeMap<String, String>,
    notes: Notes,
    base: Model,
    current: Option<Model>,
    process: Option<Child>,
    /// Older processes that still serve their last connections.
    draining: Vec<Child>,
}

impl Balancer {
    /// Nothing is started yet.
    pub fn new(
        clients: Clients,
        view: Arc<RwLock<View>>,
        dir: PathBuf,
        netns: String,
        ports: Ports,
        authority: Arc<Authority>,
        tools: &ToolsTree,
    ) -> Result<Self> {
        std::fs::create_dir_all(&dir).map_err(file("cannot create", &dir))?;
        let socket = dir.join("haproxy.sock").to_string_lossy().into_owned();
        let program = host_argv(tools, "haproxy")?;
        let base = Model {
            http_port: ports.http,
            https_port: ports.https,
            netns,
            socket,
            listeners: Vec::new(),
            pools: Vec::new(),
        };
        Ok(Self {
            clients,
            view,
            dir,
            program,
            authority,
            certificates: BTreeMap::new(),
            notes: Notes::default(),
            base,
            current: None,
            process: None,
            draining: Vec::new(),
        })
    }

    /// Observes the emulator and, if something changed, a hitless reload.
    pub async fn reconcile(&mut self) -> Result<()> {
        self.draining.retain_mut(|process| matches!(process.try_wait(), Ok(None)));
        let ended = self.process.as_mut().and_then(|process| process.try_wait().ok().flatten());
        if let Some(status) = ended {
            tracing::warn!(%status, "the load balancer ended; starting it again");
            self.process = None;
            self.current = None;
        }
        let model = self.observe().await?;
        if self.current.as_ref() == Some(&model) {
            return Ok(());
        }
        self.load(&model).await?;
        self.current = Some(model);
        Ok(())
    }

    async fn observe(&mut self) -> Result<Model> {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut found = observe::observe(&self.clients, &view, &mut self.notes).await?;
        classic::observe(&self.clients, &view, &mut found, &mut self.notes).await?;
        let mut taken = BTreeSet::new();
        let mut listeners = Vec::new();
        for mut listener in found.listeners {
            let (port, balancer) = (listener.port, &listener.balancer);
            if self.base.local_port(port).is_none() {
                self.notes.say(format!("port {port} of {balancer} has no port here: only 80 and 443 do"));
                continue;
            }
            if taken.contains(&port) {
                self.notes.say(format!("port {port} of {balancer} is served by another load balancer here"));
                continue;
            }
            if !self.certify(&mut listener).await? {
                continue;
            }
            taken.insert(port);
            listeners.push(listener);
        }
        listeners.sort_by_key(|listener| listener.port);
        let pools = found.pools.into_values().collect();
        Ok(Model { listeners, pools, ..self.base.clone() })
    }

    /// Replaces the ARNs of a listener's certificates by files. Says no when it is for TLS and none can be used.
    async fn certify(&mut self, listener: &mut Listener) -> Result<bool> {
        let arns = std::mem::take(&mut listener.certificates);
        for arn in &arns {
            if let Some(path) = self.certificate(arn).await? {
                listener.certificates.push(path);
            }
        }
        if !arns.is_empty() && listener.certificates.is_empty() {
            self.notes
                .say(format!("port {} of {} has no certificate that is issued", listener.port, listener.balancer));
            return Ok(false);
        }
        Ok(true)
    }

    /// Our file for a certificate of ACM: the same names, signed by our authority.
    async fn certificate(&mut self, arn: &str) -> Result<Option<String>> {
        if let Some(path) = self.certificates.get(arn) {
            return Ok(Some(path.clone()));
        }
        let found = self.clients.acm.describe_certificate().certificate_arn(arn).send().await;
        let found = found.map_err(|error| AwsError::new("DescribeCertificate", error))?;
        let Some(detail) = found.certificate() else { return Ok(None) };
        if detail.status() != Some(&CertificateStatus::Issued) {
            return Ok(None);
        }
        let mut names: Vec<String> = detail.domain_name().map(str::to_owned).into_iter().collect();
        names.extend(detail.subject_alternative_names().iter().cloned());
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        let (certificate, key) = self.authority.issue(&names)?;
        let path = self.dir.join(format!("{}.pem", &hex::encode(Sha256::digest(arn))[..16]));
        write_atomically(&path, format!("{certificate}{key}").as_bytes())?;
        let path = path.to_string_lossy().into_owned();
        self.certificates.insert(arn.to_owned(), path.clone());
        tracing::info!(arn, ?names, "the load balancer has a certificate");
        Ok(Some(path))
    }

    /// Checks the new configuration, then starts a process that takes the listeners over from the old one.
    async fn load(&mut self, model: &Model) -> Result<()> {
        let config = self.dir.join("haproxy.cfg");
        let candidate = self.dir.join("haproxy.cfg.candidate");
        write_atomically(&candidate, model.render()?.as_bytes())?;
        let mut check = self.program.clone();
        check.extend(args(["-c", "-f"]));
        check.push(candidate.clone().into());
        child::run(&check, None, CHECK_DEADLINE).await?;
        std::fs::rename(&candidate, &config).map_err(file("cannot rename to", &config))?;

        let mut argv = self.program.clone();
        argv.extend(args(["-db", "-f"]));
        argv.push(config.into());
        if let Some(pid) = self.process.as_ref().and_then(Child::id) {
            argv.extend(args(["-x", &model.socket, "-sf", &pid.to_string()]));
        }
        let log = self.dir.join("haproxy.log");
        let output =
            std::fs::File::options().create(true).append(true).open(&log).map_err(file("cannot open", &log))?;
        let process = child::command(&argv, None)
            .stdout(Stdio::null())
            .stderr(Stdio::from(output))
            .spawn()
            .map_err(|error| Error::Command { command: child::command_line(&argv), detail: error.to_string() })?;
        self.draining.extend(self.process.replace(process));
        let servers: usize = model.pools.iter().map(|pool| pool.servers.len()).sum();
        let ports: Vec<i32> = model.listeners.iter().map(|listener| listener.port).collect();
        tracing::info!(?ports, servers, "the load balancer serves a new configuration");
        Ok(())
    }
}
