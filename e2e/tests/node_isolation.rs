//! Isolation of nodes: what a container and the network around a node reach of it, in virtual machines, whatever Docker, a person
//! or a deployment does to the rules in between.

#[path = "node_isolation/outside.rs"]
mod outside;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use futuswarm_testkit::{Cluster, get, texts};
use outside::{ECHO, PROBE, World};
use serde_json::{Value, json};

/// A dockerd that starts again, with its Swarm and its containers, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(400);
/// The agent compares its table every ten seconds and reads the specification every thirty.
const PUT_BACK: Duration = Duration::from_secs(120);
/// Stands for the internet, and for a database in a private subnet of the VPC.
const WORLD: &str = "203.0.113.10";
const DATABASE: &str = "10.57.128.10";
/// The VPC's router in the first public subnet: an address of the VPC, and none that may log in.
const ROUTER: &str = "10.57.0.1";
/// Where the operator's SSH comes from; also the AWS API of the nodes.
const OPERATOR: &str = "169.254.169.250";
const RESOLVER: &str = "169.254.169.253";
/// On each node: makes one of the containers that are asked.
const MAKE: &str = "/run/make.sh";

struct Node {
    instance: String,
    address: String,
    manager: bool,
}

struct Bench {
    cluster: Cluster,
    netns: String,
    nodes: Vec<Node>,
    url: String,
}

/// `[protocol, host, port, source]`.
type Probe = (&'static str, String, u16);

impl Bench {
    fn new(cluster: Cluster) -> Self {
        let status = cluster.status();
        let text = |node: &Value, key: &str| node[key].as_str().unwrap().to_owned();
        let nodes = status["nodes"].as_array().unwrap().iter().map(|node| Node {
            instance: text(node, "instance"),
            address: text(node, "address"),
            manager: node["role"] == "manager",
        });
        let nodes: Vec<Node> = nodes.collect();
        assert_eq!(nodes.len(), 2, "{status}");
        let cloud: Value = serde_json::from_str(&cluster.local(&["cloud"])).unwrap();
        let (netns, url) = (text(&cloud, "netns"), text(&cloud, "url"));
        Self { cluster, netns, nodes, url }
    }

    fn of_role(&self, manager: bool) -> &Node {
        self.nodes.iter().find(|node| node.manager == manager).unwrap()
    }

    /// Runs a script as root on a node.
    fn try_root(&self, node: &Node, script: &str) -> Result<String, String> {
        // Words of SSH are joined and read by a shell of the node: only plain ones pass unharmed.
        let encoded = base64(script.as_bytes());
        let line = format!("echo {encoded} | base64 --decode | sudo bash -eu");
        let output = self.cluster.xtask(&["ssh", &node.instance, "--", &line]);
        let (out, said) = texts(&output);
        if output.status.success() { Ok(out) } else { Err(format!("{}: {out}{said}", output.status)) }
    }

    fn root(&self, node: &Node, script: &str) -> String {
        self.try_root(node, script).unwrap_or_else(|said| panic!("{script}\non {}: {said}", node.instance))
    }

    /// Containers on every node: one on the shared network, one on the default bridge, and a service that also publishes a
    /// port in the mesh, which no spec asks for.
    fn start_containers(&self) {
        let image = "image=$(docker image ls --format '{{.Repository}}:{{.Tag}}' | grep edge | head -n 1)\n";
        let make = format!(
            "{image}[ $1 = probe ] && network=isolation || network=bridge\n\
             exec docker run --detach --restart always --volume /usr:/usr:ro --name $1 --network $network $image /usr/bin/sleep infinity\n"
        );
        let manager = self.of_role(true);
        self.root(
            manager,
            &format!(
                "{image}docker network create --driver overlay --attachable isolation\n\
                 docker service create --detach --no-resolve-image --name web --mode global --network isolation \
                 --publish published=9000,target=8000 --mount type=bind,source=/usr,target=/usr,readonly \
                 $image /usr/bin/python3 -m http.server 8000\n"
            ),
        );
        for node in &self.nodes {
            self.root(
                node,
                &format!(
                    "echo {} | base64 --decode > {MAKE}\n\
                     bash {MAKE} bridged\n\
                     bash {MAKE} probe\n\
                     echo {} | base64 --decode > /run/echo.py\n\
                     systemd-run --quiet --unit=echo --property=Restart=always python3 /run/echo.py\n",
                    base64(make.as_bytes()),
                    base64(ECHO.as_bytes())
                ),
            );
        }
    }

    /// What a container reaches of probes and names, or why it could not be asked. It is started if need be, and made
    /// again if it cannot be: a dockerd that starts does not try containers again whose overlay network its Swarm did not know yet, and
    /// may say for ever that the task of one exists already.
    fn ask(&self, node: &Node, container: &str, probes: &[Probe], names: &[String]) -> Result<Value, String> {
        let probes: Vec<Value> =
            probes.iter().map(|(protocol, host, port)| json!([protocol, host, port, null])).collect();
        let request = json!({ "probes": probes, "names": names }).to_string();
        let script = format!(
            "script=$(echo {} | base64 --decode)\nrequest=$(echo {} | base64 --decode)\n\
             docker start {container} > /dev/null || {{ docker rm --force {container} && bash {MAKE} {container}; }} > /dev/null\n\
             docker exec {container} /usr/bin/python3 -c \"$script\" \"$request\"\n",
            base64(PROBE.as_bytes()),
            base64(request.as_bytes())
        );
        let out = self.try_root(node, &script)?;
        serde_json::from_str(&out).map_err(|error| format!("{out:?}: {error}"))
    }

    /// Everything that no container may reach.
    fn closed(&self) -> Vec<Probe> {
        let mut probes = vec![
            ("tcp", "gateway".to_owned(), 22),
            ("tcp", "gateway".to_owned(), 80),
            ("udp", "gateway".to_owned(), 9999),
            ("tcp", "169.254.169.254".to_owned(), 80),
            ("tcp", OPERATOR.to_owned(), 443),
            ("tcp", OPERATOR.to_owned(), 4566),
        ];
        for node in &self.nodes {
            probes.extend([22, 80, 7946, 9000].map(|port| ("tcp", node.address.clone(), port)));
            probes.push(("udp", node.address.clone(), 9999));
            if node.manager {
                probes.push(("tcp", node.address.clone(), 2377));
            }
        }
        probes
    }

    /// What every container must reach.
    fn open(&self) -> Vec<Probe> {
        vec![("tcp", WORLD.to_owned(), 80), ("tcp", DATABASE.to_owned(), 5432), ("tcp", RESOLVER.to_owned(), 53)]
    }

    fn outside_name(&self) -> String {
        format!("ip-{}.eu-west-1.compute.internal", self.nodes[0].address.replace('.', "-"))
    }

    /// What is wrong in the containers of all nodes. Something closed that is reached is a failure at once, whatever else is
    /// still on its way.
    fn troubles(&self, when: &str) -> Vec<String> {
        let (closed, open) = (self.closed(), self.open());
        let probes: Vec<Probe> = closed.iter().chain(&open).cloned().collect();
        let names = [self.outside_name(), "web".to_owned(), "tasks.web".to_owned()];
        let mut troubles = Vec::new();
        for node in &self.nodes {
            for container in ["probe", "bridged"] {
                let who = format!("{when}, {container} on {}", node.instance);
                let answer = match self.ask(node, container, &probes, &names) {
                    Ok(answer) => answer,
                    Err(said) => {
                        troubles.push(format!("{who}: {said}"));
                        continue;
                    }
                };
                let words: Vec<&str> =
                    answer["probes"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
                assert_eq!(words.len(), probes.len());
                for (probe, word) in closed.iter().zip(&words) {
                    assert_ne!(*word, "open", "{who} reaches {probe:?}");
                    if *word != "dropped" {
                        troubles.push(format!("{who}: {probe:?} is {word}"));
                    }
                }
                for (probe, word) in open.iter().zip(&words[closed.len()..]) {
                    if *word != "open" {
                        troubles.push(format!("{who}: {probe:?} is {word}"));
                    }
                }
                if answer["names"][&names[0]] != json!([self.nodes[0].address]) {
                    troubles.push(format!("{who}: the resolver says {}", answer["names"]));
                }
                // A name of the overlay network is known on it only; the tasks are on both nodes.
                let tasks = if container == "probe" { json!(["open", "open"]) } else { json!([]) };
                if answer["tasks"] != tasks
                    || answer["names"]["web"].as_array().unwrap().is_empty() != (tasks == json!([]))
                {
                    troubles.push(format!("{who}: tasks of web {} of {}", answer["tasks"], answer["names"]));
                }
            }
        }
        troubles
    }

    /// Waits until all is as it should be, in and around the nodes; nothing that is closed may be open on the way there.
    fn assert_isolated(&self, when: &str) {
        let mut last = Vec::new();
        let started = std::time::Instant::now();
        loop {
            let troubles = self.troubles(when);
            if troubles.is_empty() {
                break;
            }
            if troubles != last {
                say(&troubles.join("\n"));
                last = troubles;
            }
            assert!(started.elapsed() < PATIENCE, "{}", last.join("\n"));
            std::thread::sleep(Duration::from_secs(5));
        }
        self.cluster.wait("the page", PATIENCE, || get(&self.url).is_ok_and(|page| page.starts_with("HTTP/1.1 200")));
        self.assert_network(when);
        say(&format!("{when}: isolated"));
    }

    /// What the network around the nodes reaches of them.
    fn assert_network(&self, when: &str) {
        let mut expected = Vec::new();
        for node in &self.nodes {
            let mut say = |source: &'static str, port: u16, open: bool| {
                let word = if open { "open" } else { "dropped" };
                expected.push((json!(["tcp", node.address, port, source]), word));
            };
            say(OPERATOR, 22, true);
            say(ROUTER, 22, false);
            say(WORLD, 22, false);
            for (port, served) in [(80, true), (2377, node.manager), (7946, true)] {
                if served {
                    say(ROUTER, port, true);
                }
                say(WORLD, port, false);
                say(OPERATOR, port, false);
            }
            say(ROUTER, 9000, false);
            say(WORLD, 9000, false);
        }
        let words = self.probe_from_outside(expected.iter().map(|(probe, _)| probe.clone()).collect());
        for ((probe, word), answer) in expected.iter().zip(words) {
            assert_eq!(answer, *word, "{when}: {probe}");
        }
    }

    fn probe_from_outside(&self, probes: Vec<Value>) -> Vec<String> {
        let request = json!({ "probes": probes, "names": [] }).to_string();
        let output = Command::new("ip").args(["netns", "exec", &self.netns, "python3", "-c", PROBE, &request]).output();
        let (out, said) = texts(&output.unwrap());
        let answer: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{out:?}: {error}: {said}"));
        serde_json::from_value(answer["probes"].clone()).unwrap()
    }

    /// Waits until a container on `node` gets nothing from what is closed.
    fn wait_for_the_table(&self, node: &Node, what: &str) {
        self.cluster.wait(what, PUT_BACK, || {
            let closed = self.closed();
            self.ask(node, "probe", &closed, &[])
                .is_ok_and(|answer| answer["probes"].as_array().unwrap().iter().all(|word| word == "dropped"))
        });
    }
}

/// What a person who waits for the test may want to read.
fn say(text: &str) {
    // A reader that is gone needs nothing.
    let _unread = writeln!(std::io::stderr(), "{text}");
}

/// In the alphabet that every shell leaves alone.
fn base64(bytes: &[u8]) -> String {
    let mut encoder =
        Command::new("base64").arg("--wrap=0").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = encoder.stdin.take().unwrap();
    let bytes = bytes.to_owned();
    let writer = std::thread::spawn(move || input.write_all(&bytes).unwrap());
    let output = encoder.wait_with_output().unwrap();
    writer.join().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "boots two virtual machines: `cargo xtask test --long` runs it"]
fn nothing_of_a_node_is_reached_from_a_container() {
    let cluster = Cluster::of("local-isolation");
    cluster.must(&["deploy-cluster"]);
    let bench = Bench::new(cluster);
    let _world = World::start(&bench.netns);
    // SSH keys come a few seconds after a node is Ready.
    for node in &bench.nodes {
        bench.cluster.wait("SSH", PATIENCE, || bench.try_root(node, "true").is_ok());
    }
    bench.start_containers();
    bench.assert_isolated("at first");
    measure(&bench);

    for node in &bench.nodes {
        bench.root(node, "systemctl reload futuswarm-firewall");
    }
    bench.assert_isolated("after a reload");

    // Nobody stops it by accident, and Docker does not run without it.
    let worker = bench.of_role(false);
    let said = bench.try_root(worker, "systemctl stop futuswarm-firewall").unwrap_err();
    assert!(said.contains("refused"), "{said}");
    let requires = bench.root(worker, "systemctl show docker --property=Requires");
    assert!(requires.contains("futuswarm-firewall.service"), "{requires}");

    for node in &bench.nodes {
        bench.root(node, "systemctl restart docker");
    }
    bench.assert_isolated("after dockerd started again");

    // Whatever order and whatever verdicts other tables have.
    let accept = "iptables -F DOCKER-USER\niptables -P FORWARD ACCEPT\n\
        for chain in INPUT FORWARD; do iptables -I $chain 1 -j ACCEPT; done\n\
        for table in raw mangle; do iptables -t $table -I PREROUTING 1 -j ACCEPT; done\n\
        systemctl reload docker\n";
    for node in &bench.nodes {
        bench.root(node, accept);
    }
    bench.assert_isolated("when all other tables accept everything");

    without_the_table(&bench);
    a_changed_table_comes_back(&bench);
    bench.assert_isolated("in the end");
    ssh_follows_the_spec(&bench);
}

/// The test of the test: without the table all of it is reached, and an agent that starts puts it back.
fn without_the_table(bench: &Bench) {
    let worker = bench.of_role(false);
    bench.root(worker, "systemctl stop futuswarm-agent\nnft delete table inet futuswarm\n");
    let closed = bench.closed();
    for container in ["probe", "bridged"] {
        let answer = bench.ask(worker, container, &closed, &[]).unwrap();
        let words = answer["probes"].as_array().unwrap();
        for (probe, word) in closed.iter().zip(words) {
            let (protocol, host, port) = probe;
            // The other node is closed by its own firewall to what comes from this one, but for what the VPC may reach.
            let is_manager = *host == bench.of_role(true).address;
            // What this node publishes from other bridges is for Docker's own rules to let through or not.
            if !is_manager && (*port == 80 || *port == 9000) && !host.starts_with("169.254.") {
                continue;
            }
            let theirs = is_manager && (*port == 22 || *port == 9000 || *protocol == "udp");
            if theirs {
                assert_eq!(word, "dropped", "{container}: {probe:?}");
            } else {
                assert_eq!(word, "open", "{container} without a firewall: {probe:?}");
            }
        }
    }
    bench.root(worker, "systemctl start futuswarm-agent");
    bench.wait_for_the_table(worker, "the agent that started to put the table back");
}

/// A table that a person takes away, empties or opens is put back by the agent that runs.
fn a_changed_table_comes_back(bench: &Bench) {
    for change in [
        "nft delete table inet futuswarm",
        "nft flush ruleset",
        "nft flush chain inet futuswarm from_containers",
        "nft insert rule inet futuswarm prerouting accept",
        "nft delete element inet futuswarm closed_networks '{ 10.57.0.0/19 }'",
    ] {
        let worker = bench.of_role(false);
        let before = bench.root(worker, "nft --stateless list table inet futuswarm");
        let list = "nft --stateless list table inet futuswarm";
        let changed = bench.root(worker, &format!("{change}\n{list} || true\n"));
        assert_ne!(changed, before, "{change}");
        bench.cluster.wait(change, PUT_BACK, || bench.try_root(worker, list).is_ok_and(|table| table == before));
        let journal = bench.root(worker, "journalctl --unit=futuswarm-agent --output=cat --lines=200");
        assert!(journal.contains("somebody changed the node's firewall"), "{journal}");
        if change.contains("ruleset") {
            // That took Docker's rules, too, which only dockerd puts back.
            bench.root(worker, "systemctl restart docker");
        }
    }
}

/// Both the security group and the nodes follow a spec that is deployed again, on nodes that run.
fn ssh_follows_the_spec(bench: &Bench) {
    let spec = "[ssh]\nallowed_cidrs = [\"203.0.113.0/24\"]\n\n[load_balancer]";
    bench.cluster.must_with(&["deploy-cluster", "--no-wait"], "[load_balancer]", spec);
    for node in &bench.nodes {
        bench.cluster.wait("SSH from the new network", PUT_BACK, || {
            bench.probe_from_outside(vec![json!(["tcp", node.address, 22, WORLD])]) == ["open"]
        });
        let others = bench.probe_from_outside(vec![
            json!(["tcp", node.address, 22, ROUTER]),
            json!(["tcp", node.address, 2377, WORLD]),
        ]);
        assert_eq!(others, ["dropped", "dropped"]);
    }
}

/// What the firewall costs.
fn measure(bench: &Bench) {
    let status = bench.cluster.status();
    for node in &bench.nodes {
        let status =
            status["nodes"].as_array().unwrap().iter().find(|other| other["instance"] == node.instance.as_str());
        let status_of = "/proc/$(systemctl show futuswarm-agent --property=MainPID --value)/status";
        let memory = bench.root(node, &format!("grep -E '^(VmRSS|RssAnon):' {status_of} | tr -dc '0-9\\n'"));
        let memory: Vec<u64> = memory.lines().filter_map(|line| line.trim().parse().ok()).collect();
        let [resident, own] = memory[..] else { panic!("the agent's memory is {memory:?}") };
        let load = "systemctl show futuswarm-firewall --property=ExecMainStartTimestampMonotonic,ExecMainExitTimestampMonotonic --value";
        let times = bench.root(node, load);
        let times: Vec<u64> = times.lines().filter_map(|line| line.trim().parse().ok()).collect();
        say(&format!(
            "{}: agent {resident} kB, {own} of them its own, joined after {} s, firewall loaded from {times:?} µs",
            node.instance,
            status.unwrap()["joined_seconds"]
        ));
        // Of its own: what the kernel cannot take back. The rest are pages of the program's file (docs/benchmarks.md).
        assert!(own < 10 << 10, "the agent has {own} kB of its own");
    }
}
