//! The application load balancer: HAProxy on the host's loopback, with servers inside the namespace.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_sdk_elasticloadbalancingv2::types::{ActionTypeEnum, TargetGroup};
use futuswarm_aws::Error as AwsError;
use futuswarm_tools::ToolsTree;
use serde::Serialize;
use tokio::process::Child;

use crate::aws::Clients;
use crate::child::{self, Argv, argv};
use crate::dnsmasq::host_argv;
use crate::ec2::View;
use crate::error::{Error, Result, file};
use crate::layout::write_atomically;

const TEMPLATE: &str = include_str!("templates/haproxy.cfg.hbs");
/// HAProxy checks a configuration in milliseconds.
const CHECK_DEADLINE: Duration = Duration::from_secs(20);

/// One target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Server {
    /// Instance id.
    pub id: String,
    /// Address.
    pub address: String,
    /// Port.
    pub port: i32,
}

/// The target group behind the listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Health check path.
    pub path: String,
    /// Health check's accepted status codes, in HAProxy's words.
    pub matcher: String,
    /// Seconds between checks.
    pub interval: i32,
    /// Seconds for a check.
    pub timeout: i32,
    /// Checks until healthy.
    pub rise: i32,
    /// Checks until unhealthy.
    pub fall: i32,
    /// How many targets are registered.
    pub targets: usize,
    /// The targets that run.
    pub servers: Vec<Server>,
}

/// Everything the configuration is rendered from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Model {
    /// Loopback port.
    pub port: u16,
    /// Network namespace.
    pub netns: String,
    /// HAProxy's admin socket.
    pub socket: String,
    /// What the listener forwards to.
    pub group: Option<Group>,
}

/// Renders HAProxy's configuration.
pub fn render(model: &Model) -> Result<String> {
    let mut engine = handlebars::Handlebars::new();
    engine.set_strict_mode(true);
    engine.register_escape_fn(handlebars::no_escape);
    engine.render_template(TEMPLATE, model).map_err(|error| Error::Config(format!("haproxy.cfg: {error}")))
}

/// The load balancer and its process.
pub struct Balancer {
    clients: Clients,
    view: Arc<RwLock<View>>,
    dir: PathBuf,
    program: Argv,
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
        port: u16,
        tools: &ToolsTree,
    ) -> Result<Self> {
        std::fs::create_dir_all(&dir).map_err(file("cannot create", &dir))?;
        let socket = dir.join("haproxy.sock").to_string_lossy().into_owned();
        let program = host_argv(tools, "haproxy")?;
        let base = Model { port, netns, socket, group: None };
        Ok(Self { clients, view, dir, program, base, current: None, process: None, draining: Vec::new() })
    }

    /// One look at the emulator and, if something changed, a hitless reload.
    pub async fn reconcile(&mut self) -> Result<()> {
        self.draining.retain_mut(|process| matches!(process.try_wait(), Ok(None)));
        let ended = self.process.as_mut().and_then(|process| process.try_wait().ok().flatten());
        if let Some(status) = ended {
            tracing::warn!(%status, "the load balancer ended; starting it again");
            self.process = None;
            self.current = None;
        }
        let model = Model { group: self.observe().await?, ..self.base.clone() };
        if self.current.as_ref() == Some(&model) {
            return Ok(());
        }
        self.load(&model).await?;
        self.current = Some(model);
        Ok(())
    }

    async fn observe(&self) -> Result<Option<Group>> {
        let found = self.clients.elb.describe_load_balancers().send().await;
        let found = found.map_err(|error| AwsError::new("DescribeLoadBalancers", error))?;
        let mut balancers: Vec<_> = found.load_balancers().iter().collect();
        balancers.sort_by_key(|balancer| balancer.load_balancer_name().unwrap_or_default().to_owned());
        for balancer in balancers {
            let arn = balancer.load_balancer_arn().unwrap_or_default();
            let listeners = self.clients.elb.describe_listeners().load_balancer_arn(arn).send().await;
            let listeners = listeners.map_err(|error| AwsError::new("DescribeListeners", error))?;
            let mut listeners: Vec<_> = listeners.listeners().iter().collect();
            listeners.sort_by_key(|listener| listener.port());
            let forward = listeners.iter().flat_map(|listener| listener.default_actions()).find_map(|action| {
                let forwards = action.r#type() == Some(&ActionTypeEnum::Forward);
                let first = action.forward_config().and_then(|config| config.target_groups().first());
                let arn = action.target_group_arn().or_else(|| first?.target_group_arn());
                arn.filter(|_| forwards).map(str::to_owned)
            });
            if let Some(arn) = forward {
                return self.group(&arn).await.map(Some);
            }
        }
        Ok(None)
    }

    async fn group(&self, arn: &str) -> Result<Group> {
        let found = self.clients.elb.describe_target_groups().target_group_arns(arn).send().await;
        let found = found.map_err(|error| AwsError::new("DescribeTargetGroups", error))?;
        let group = found.target_groups().first().ok_or_else(|| Error::Config(format!("no target group {arn}")))?;
        let health = self.clients.elb.describe_target_health().target_group_arn(arn).send().await;
        let health = health.map_err(|error| AwsError::new("DescribeTargetHealth", error))?;
        let default_port = group.port().unwrap_or(80);
        let targets: Vec<(String, i32)> = health
            .target_health_descriptions()
            .iter()
            .filter_map(|description| description.target())
            .map(|target| (target.id().unwrap_or_default().to_owned(), target.port().unwrap_or(default_port)))
            .collect();
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        let mut servers: Vec<Server> = targets
            .iter()
            .filter_map(|(id, port)| {
                let machine = view.running.get(id)?;
                Some(Server { id: id.clone(), address: machine.address.to_string(), port: *port })
            })
            .collect();
        servers.sort_by(|a, b| (&a.id, a.port).cmp(&(&b.id, b.port)));
        servers.dedup();
        Ok(from_target_group(group, targets.len(), servers))
    }

    /// Checks the new configuration, then starts a process that takes the listeners over from the old one.
    async fn load(&mut self, model: &Model) -> Result<()> {
        let config = self.dir.join("haproxy.cfg");
        let candidate = self.dir.join("haproxy.cfg.candidate");
        write_atomically(&candidate, render(model)?.as_bytes())?;
        let mut check = self.program.clone();
        check.extend(argv(["-c", "-f"]));
        check.push(candidate.clone().into());
        child::run(&check, None, CHECK_DEADLINE).await?;
        std::fs::rename(&candidate, &config).map_err(file("cannot rename to", &config))?;

        let mut words = self.program.clone();
        words.extend(argv(["-db", "-f"]));
        words.push(config.into());
        if let Some(pid) = self.process.as_ref().and_then(Child::id) {
            words.extend(argv(["-x", &model.socket, "-sf", &pid.to_string()]));
        }
        let log = self.dir.join("haproxy.log");
        let output =
            std::fs::File::options().create(true).append(true).open(&log).map_err(file("cannot open", &log))?;
        let process = child::command(&words, None)
            .stdout(Stdio::null())
            .stderr(Stdio::from(output))
            .spawn()
            .map_err(|error| Error::Command { command: child::words(&words), detail: error.to_string() })?;
        self.draining.extend(self.process.replace(process));
        let servers = model.group.as_ref().map_or(0, |group| group.servers.len());
        tracing::info!(port = model.port, servers, "the load balancer serves a new configuration");
        Ok(())
    }
}

fn from_target_group(group: &TargetGroup, targets: usize, servers: Vec<Server>) -> Group {
    Group {
        name: group.target_group_name().unwrap_or("targets").to_owned(),
        path: group.health_check_path().unwrap_or("/").to_owned(),
        matcher: group.matcher().and_then(|matcher| matcher.http_code()).unwrap_or("200").to_owned(),
        interval: group.health_check_interval_seconds().unwrap_or(30),
        timeout: group.health_check_timeout_seconds().unwrap_or(5),
        rise: group.healthy_threshold_count().unwrap_or(2),
        fall: group.unhealthy_threshold_count().unwrap_or(2),
        targets,
        servers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Model {
        let server = |id: &str, address: &str| Server { id: id.to_owned(), address: address.to_owned(), port: 80 };
        let group = Group {
            name: "local-edge".to_owned(),
            path: "/status".to_owned(),
            matcher: "200-299".to_owned(),
            interval: 5,
            timeout: 2,
            rise: 2,
            fall: 2,
            targets: 2,
            servers: vec![server("i-1", "10.42.0.4"), server("i-2", "10.42.16.4")],
        };
        Model { port: 8080, netns: "fsw-local".to_owned(), socket: "/tmp/fsw.sock".to_owned(), group: Some(group) }
    }

    #[test]
    fn the_configuration_of_a_cluster() {
        insta::assert_snapshot!(render(&model()).unwrap());
    }

    #[test]
    fn the_configuration_before_there_is_a_cluster() {
        insta::assert_snapshot!(render(&Model { group: None, ..model() }).unwrap());
    }

    #[test]
    fn haproxy_accepts_the_configuration() {
        let Ok(tools) = ToolsTree::locate() else {
            // A test that cannot run says so where `cargo test -- --nocapture` and CI logs show it.
            tracing::warn!("skipped: there is no tools tree");
            return;
        };
        let dir = tempfile::tempdir().unwrap();
        for model in [model(), Model { group: None, ..model() }] {
            let path = dir.path().join("haproxy.cfg");
            std::fs::write(&path, render(&model).unwrap()).unwrap();
            let output = tools.command("haproxy").unwrap().arg("-c").arg("-f").arg(&path).output().unwrap();
            // The namespace of the golden configuration does not exist here, and HAProxy looks.
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            let only_the_namespace = text.lines().filter(|line| line.contains("[ALERT]")).all(|line| {
                line.contains("namespace") || line.contains("Error(s) found") || line.contains("Fatal errors")
            });
            assert!(output.status.success() || only_the_namespace, "{text}");
        }
    }
}
