//! A cluster of virtual machines with services made on it, and requests to the edge of each of its nodes.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futuswarm_testkit::{Cluster, texts};
use serde_json::{Value, json};

use super::model::{App, CLOSED, Model, NETWORKS};

const ASK: &str = include_str!("ask.py");
/// The application: HAProxy again, which every node has, and which tells its service and task whatever is asked.
const APPLICATION: &str = "global\n maxconn 50\ndefaults\n mode http\n timeout client 10s\n timeout server 10s\n \
    timeout connect 1s\nfrontend app\n bind :8080\n http-request return status 200 content-type text/plain string \
    \"${APP}\"\n";
/// From a change of services to a word about it in `status`.
const TOLD: Duration = Duration::from_secs(180);

/// Nodes of the spec. Two, since on a slow machine a Swarm of three has so little of the processors that Docker's own calls end with
/// their deadlines.
const NODES: usize = 2;
/// A command of Docker again when the Swarm did not answer in time: it may have been done all the same.
const AGAIN: &str = "again() { for attempt in 1 2 3 4 5; do said=$(\"$@\" 2>&1) && return; case $said in \
    *'already exists'*|*'name conflicts'*|*'not found'*) [ $attempt -gt 1 ] && return;; \
    *DeadlineExceeded*|*'deadline exceeded'*) ;; *) break;; esac; sleep 5; done; echo \"$said\" >&2; return 1; }; ";

pub struct Swarm {
    pub cluster: Cluster,
    cloud: Value,
    manager: String,
    image: String,
}

/// Requests that go on until they are ended.
pub struct Traffic(Child);

impl Swarm {
    pub fn deployed() -> Self {
        let cluster = Cluster::of("local-routing");
        cluster.must(&["deploy-cluster"]);
        let cloud: Value = serde_json::from_str(&cluster.local(&["cloud"])).expect("the cloud is JSON");
        let status = cluster.status();
        let nodes = status["nodes"].as_array().expect("nodes");
        assert_eq!(nodes.len(), NODES, "{status}");
        let manager = nodes.iter().find(|node| node["role"] == "manager").expect("a manager");
        let manager = text(manager, "instance");
        let mut swarm = Self { cluster, cloud, manager, image: String::new() };
        let mut image = None;
        // SSH keys come a few seconds after a node is Ready.
        swarm.cluster.wait("the edge's image on the manager", Duration::from_secs(300), || {
            let images = swarm.docker(&["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]).unwrap_or_default();
            image = images.lines().find(|name| name.contains("/edge:")).map(str::to_owned);
            image.is_some()
        });
        swarm.image = image.expect("an image");
        swarm
    }

    pub fn make_networks(&self) {
        let mut lines: Vec<String> = NETWORKS
            .iter()
            .map(|name| format!("sudo docker network create --driver overlay --attachable {name}"))
            .collect();
        lines.push(format!("sudo docker network create --driver overlay {CLOSED}"));
        let octal: String = APPLICATION.bytes().map(|byte| format!("\\\\{byte:03o}")).collect();
        lines.push(format!("printf {octal} | sudo docker config create app -"));
        self.run(&lines);
    }

    /// The command line that creates a service.
    pub fn create(&self, app: &App) -> String {
        let mut words: Vec<String> = "sudo docker service create --quiet --detach --no-resolve-image --user 65532"
            .split(' ')
            .map(str::to_owned)
            .collect();
        words.extend(["--name", &app.name, "--replicas", &app.replicas.to_string()].map(str::to_owned));
        words.extend(app.network.iter().flat_map(|network| ["--network".to_owned(), network.clone()]));
        words.extend(app.labels().into_iter().flat_map(|label| ["--label".to_owned(), label]));
        words.extend("--config source=app,target=/app.cfg --stop-grace-period 1s".split(' ').map(str::to_owned));
        words.extend(["--mount", "type=bind,source=/usr,target=/usr,readonly"].map(str::to_owned));
        words.extend(["--env".to_owned(), format!("APP={}/{{{{.Task.Slot}}}}", app.name), self.image.clone()]);
        words.extend("/usr/sbin/haproxy -db -f /app.cfg".split(' ').map(str::to_owned));
        words.join(" ")
    }

    pub fn remove(&self, name: &str) -> String {
        format!("sudo docker service rm {name}")
    }

    /// Runs command lines on the manager, one after the other, as one log-in.
    pub fn run(&self, lines: &[String]) {
        let lines: Vec<String> = lines
            .iter()
            .map(|line| if line.starts_with("sudo docker ") { format!("again {line}") } else { line.clone() })
            .collect();
        self.cluster.must(&["ssh", &self.manager, "--", &format!("{AGAIN}{}", lines.join(" && "))]);
    }

    /// What docker says on the manager; nothing when it refuses.
    pub fn docker(&self, words: &[&str]) -> Option<String> {
        let output = self.cluster.xtask(&[&["ssh", &self.manager, "--", "sudo", "docker"], words].concat());
        output.status.success().then(|| texts(&output).0)
    }

    /// Addresses of all nodes that are ready.
    pub fn nodes(&self) -> Vec<String> {
        let status = self.cluster.status();
        let nodes = status["nodes"].as_array().expect("nodes").iter().filter(|node| node["ready"] == true);
        let nodes: Vec<String> = nodes.map(|node| text(node, "address")).collect();
        assert_eq!(nodes.len(), NODES, "{status}");
        nodes
    }

    pub fn address(&self, instance: &str) -> String {
        let status = self.cluster.status();
        let nodes = status["nodes"].as_array().expect("nodes");
        text(nodes.iter().find(|node| node["instance"] == instance).expect("the instance"), "address")
    }

    /// The instance of a worker.
    pub fn worker(&self) -> String {
        let status = self.cluster.status();
        let nodes = status["nodes"].as_array().expect("nodes");
        text(nodes.iter().find(|node| node["role"] == "worker").expect("a worker"), "instance")
    }

    /// Waits until the edges of these nodes give every answer that they should.
    pub fn reaches(&self, model: &Model, nodes: &[String], deadline: Duration) {
        let wrong = self.ask(&json!({
            "job": "reach", "nodes": nodes, "expected": model.expected(), "seconds": deadline.as_secs(),
        }));
        assert_eq!(wrong["wrong"], json!([]), "not within {} s; refused are {:?}", deadline.as_secs(), model.refused());
        eprintln!("every route on {} node(s) after {} s", nodes.len(), wrong["took"]);
    }

    /// Tasks of a service with so many that the edge of a node never chose.
    pub fn missing_tasks(&self, node: &str, host: &str, tasks: u8, deadline: Duration) -> Vec<String> {
        let answer = self.ask(&json!({
            "job": "tasks", "nodes": [node], "host": host, "tasks": tasks, "seconds": deadline.as_secs(),
        }));
        answer["missing"].as_array().expect("a list").iter().map(ToString::to_string).collect()
    }

    /// Waits until `status` names everything that is not served, with a reason, and nothing else.
    pub fn tells(&self, model: &Model) {
        let mut told = Value::Null;
        let mut names = BTreeSet::new();
        let started = std::time::Instant::now();
        while names != model.refused().into_iter().map(str::to_owned).collect() {
            assert!(started.elapsed() < TOLD, "{told} is told, and refused are {:?}", model.refused());
            told = self.cluster.status()["not_served"].clone();
            let list = told.as_array().expect("a list");
            names = list.iter().map(|one| text(one, "service")).collect();
            assert!(list.iter().all(|one| text(one, "reason").len() > 20), "{told}");
        }
    }

    pub fn traffic(&self, host: &str) -> Traffic {
        let job = json!({ "job": "traffic", "nodes": self.nodes(), "host": host });
        Traffic(self.python(&job))
    }

    fn ask(&self, job: &Value) -> Value {
        let output = self.python(job).wait_with_output().expect("an answer");
        assert!(output.status.success(), "{job}");
        serde_json::from_slice(&output.stdout).expect("the answer is JSON")
    }

    /// Inside the cluster's network, as the load balancer is.
    fn python(&self, job: &Value) -> Child {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &text(&self.cloud, "netns"), &text(&self.cloud, "python"), "-c", ASK]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("ip runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        writeln!(stdin, "{job}").expect("the job is read");
        // Its end is what ends traffic.
        child.stdin = Some(stdin);
        child
    }
}

impl Traffic {
    /// How many requests were served, and what became of the others.
    pub fn end(self) -> (u64, Vec<String>) {
        let output = self.0.wait_with_output().expect("an answer");
        let answer: Value = serde_json::from_slice(&output.stdout).expect("the answer is JSON");
        let lost = answer["lost"].as_array().expect("a list").iter().map(ToString::to_string).collect();
        (answer["served"].as_u64().expect("a number"), lost)
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("{key} of {value}")).to_owned()
}
