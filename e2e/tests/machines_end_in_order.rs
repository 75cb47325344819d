//! How machines end: softly when EC2 stops, reboots or terminates them, hard when their power is cut.
//!
//! What the nodes ask AWS meanwhile is recorded and held against AWS's own descriptions, as `contract.rs` does without machines.
#![expect(clippy::print_stderr, reason = "how long each machine took to end is a figure of this test")]

use std::time::{Duration, Instant};

use futuswarm_testkit::{Account, Cluster, texts};
use serde_json::{Value, json};

/// Emulated machines take two minutes to be Ready on two idle cores, and more on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);
/// From the call that ends an instance until its machine is gone.
const GONE: Duration = Duration::from_secs(60);
/// From a power cut until its machine is gone.
const CUT: Duration = Duration::from_secs(10);

struct Power {
    account: Account,
}

impl Power {
    fn cluster(&self) -> &Cluster {
        self.account.cluster()
    }

    /// One call as the account's owner.
    fn call(&self, service: &str, operation: &str, arguments: Value) -> Value {
        let outcome = self.account.call(&json!([[service, null, operation, arguments]])).remove(0);
        assert!(outcome["error"].is_null(), "{operation}: {outcome}");
        outcome
    }

    /// QEMU's process of an instance, while it has one.
    fn process(&self, instance: &str) -> Option<u64> {
        let machines: Vec<Value> = serde_json::from_str(&self.cluster().local(&["machines"])).unwrap();
        let machine = machines.into_iter().find(|machine| machine["instance"] == instance)?;
        machine["pid"].as_u64().filter(|pid| std::path::Path::new(&format!("/proc/{pid}")).exists())
    }

    /// Seconds until the process of an instance is gone.
    fn gone(&self, pid: u64, deadline: Duration) -> f64 {
        let started = Instant::now();
        while std::path::Path::new(&format!("/proc/{pid}/exe")).exists() {
            assert!(
                started.elapsed() < deadline,
                "the machine still runs after {} s; its console:\n{}",
                deadline.as_secs(),
                self.consoles()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
        started.elapsed().as_secs_f64()
    }

    fn consoles(&self) -> String {
        let mut text = String::new();
        for machine in std::fs::read_dir(self.cluster().state_dir().join("vms")).into_iter().flatten().flatten() {
            let name = machine.file_name().to_string_lossy().into_owned();
            let console = self.cluster().console(&name);
            let lines: Vec<&str> = console.lines().collect();
            text.push_str(&format!("--- {name}\n{}\n", lines[lines.len().saturating_sub(30)..].join("\n")));
        }
        text
    }

    /// Whether the local cloud says that a machine has ended so.
    fn said(&self, instance: &str, words: &str) -> bool {
        let log = std::fs::read_to_string(self.cluster().state_dir().join("daemon.log")).unwrap();
        log.lines().any(|line| line.contains(instance) && line.contains(words))
    }

    /// What a command prints on a node, or why it fails, for example because SSH does not answer yet.
    fn on(&self, node: &str, command: &str) -> Result<String, String> {
        let output = self.cluster().xtask(&["ssh", node, "--", command]);
        let (printed, said) = texts(&output);
        if output.status.success() { Ok(printed.trim().to_owned()) } else { Err(format!("{printed}{said}")) }
    }

    fn wait_on(&self, node: &str, command: &str) -> String {
        let mut last = String::new();
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            match self.on(node, command) {
                Ok(printed) => return printed,
                Err(said) if said != last => {
                    eprintln!("`{command}` on {node}: {said}");
                    last = said;
                }
                Err(_) => {}
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        panic!("`{command}` on {node} still fails: {last}; consoles:\n{}", self.consoles());
    }
}

/// An instance like those of the workers' group, which does not replace it: whoever stops an instance of a group loses it.
fn lone_worker(power: &Power) -> String {
    let groups = power.call("autoscaling", "describe_auto_scaling_groups", json!({}));
    let is_workers = |group: &&Value| group["AutoScalingGroupName"].as_str().unwrap().contains("workers");
    let group = groups["AutoScalingGroups"].as_array().unwrap().iter().find(is_workers).unwrap().clone();
    let mixed = &group["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"];
    let template = if group["LaunchTemplate"].is_null() { mixed } else { &group["LaunchTemplate"] };
    let version = json!({ "LaunchTemplateId": template["LaunchTemplateId"], "Versions": [template["Version"]] });
    let versions = power.call("ec2", "describe_launch_template_versions", version);
    let data = &versions["LaunchTemplateVersions"][0]["LaunchTemplateData"];
    let subnet = group["VPCZoneIdentifier"].as_str().unwrap().split(',').next().unwrap();
    let run = json!({
        "MinCount": 1,
        "MaxCount": 1,
        "ImageId": data["ImageId"],
        "InstanceType": "t3.small",
        "KeyName": data["KeyName"],
        "UserData": { "base64": data["UserData"] },
        "IamInstanceProfile": { "Name": data["IamInstanceProfile"]["Name"] },
        "SecurityGroupIds": data["SecurityGroupIds"],
        "SubnetId": subnet,
    });
    let ran = power.call("ec2", "run_instances", run);
    ran["Instances"][0]["InstanceId"].as_str().unwrap().to_owned()
}

#[test]
#[ignore = "boots three virtual machines: `cargo xtask test --long` runs it"]
fn machines_end_softly_unless_their_power_is_cut() {
    let cluster = Cluster::of("local-power");
    cluster.must(&["destroy-cluster"]);
    cluster.local(&["up"]);
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("requests.jsonl");
    cluster.local(&["record", record.to_str().unwrap()]);
    cluster.must(&["deploy-cluster"]);
    let power = Power { account: Account::of(cluster) };

    let lone = lone_worker(&power);
    stopped_and_started(&power, &lone);
    rebooted(&power, &lone);
    terminated(&power);
    cut(&power, &lone);

    what_nodes_ask_is_what_aws_describes(&power, &record);
}

fn stopped_and_started(power: &Power, lone: &str) {
    // A container that writes down how it is asked to end. It is made of the node's own programs, as the edge is.
    let probe = "image=$(sudo docker images --quiet | head -1) && (sudo docker rm --force probe; \
        sudo docker run --detach --name probe --network none --user 0 --volume /usr:/usr:ro --volume /var/probe:/probe \
        --entrypoint /usr/bin/bash $image -c 'trap \"echo term > /probe/end; exit 0\" TERM; echo up > /probe/begin; \
        while :; do /usr/bin/sleep 0.2; done')";
    power.wait_on(lone, "sudo docker info --format '{{.Swarm.LocalNodeState}}' | grep -x active");
    power.wait_on(lone, probe);
    power.wait_on(lone, "grep -x up /var/probe/begin");
    let boot = power.wait_on(lone, "cat /proc/sys/kernel/random/boot_id");

    let pid = power.process(lone).unwrap();
    power.call("ec2", "stop_instances", json!({ "InstanceIds": [lone] }));
    let seconds = power.gone(pid, GONE);
    eprintln!("stopped in {seconds:.1} s");
    power.cluster().wait("the end in order", CUT, || power.said(lone, "the machine has ended"));
    assert!(power.said(lone, "in_order=true"), "the guest switched itself off");
    assert!(power.cluster().state_dir().join("vms").join(lone).join("root.qcow2").exists(), "its disk stays");

    power.call("ec2", "start_instances", json!({ "InstanceIds": [lone] }));
    assert_eq!(power.wait_on(lone, "cat /var/probe/end"), "term", "the container was asked to end");
    assert_ne!(power.wait_on(lone, "cat /proc/sys/kernel/random/boot_id"), boot);
}

fn rebooted(power: &Power, lone: &str) {
    let boot = power.wait_on(lone, "cat /proc/sys/kernel/random/boot_id");
    // logind hears the button; it is started last of all.
    power.wait_on(lone, "systemctl is-active systemd-logind");
    let pid = power.process(lone).unwrap();
    power.call("ec2", "reboot_instances", json!({ "InstanceIds": [lone] }));
    eprintln!("shut down for a reboot in {:.1} s", power.gone(pid, GONE));
    power.cluster().wait("another boot of the same machine", PATIENCE, || {
        power.on(lone, "cat /proc/sys/kernel/random/boot_id").is_ok_and(|now| now != boot)
    });
    assert_eq!(power.wait_on(lone, "cat /var/probe/end"), "term", "the disk is the same");
}

fn terminated(power: &Power) {
    let ready = power.cluster().ready();
    let status = power.cluster().status();
    let nodes = status["nodes"].as_array().unwrap().clone();
    let worker = nodes.iter().find(|node| node["role"] == "worker").unwrap();
    let id = worker["instance"].as_str().unwrap().to_owned();
    let pid = power.process(&id).unwrap();
    power.call("ec2", "terminate_instances", json!({ "InstanceIds": [id] }));
    eprintln!("terminated in {:.1} s", power.gone(pid, GONE));
    power.cluster().wait("the end in order", CUT, || power.said(&id, "the machine has ended"));
    assert!(power.said(&id, "in_order=true fate=Terminate"), "the guest switched itself off");
    assert!(!power.cluster().state_dir().join("vms").join(&id).exists(), "its disk is gone");
    // The emulator gives the replacement the address that was just set free.
    power.cluster().wait("a replacement that is ready", PATIENCE, || {
        let now = power.cluster().ready();
        now.len() == ready.len() && !now.contains(&id)
    });
}

fn cut(power: &Power, lone: &str) {
    let pid = power.process(lone).unwrap();
    power.cluster().must(&["chaos", "kill", lone]);
    let seconds = power.gone(pid, CUT);
    eprintln!("cut in {seconds:.1} s");
    power.cluster().wait("the power cut being noticed", CUT, || power.said(lone, "in_order=false"));
    assert!(power.said(lone, "the machine ended by itself"), "nobody asked the guest");
}

fn what_nodes_ask_is_what_aws_describes(power: &Power, record: &std::path::Path) {
    power.cluster().local(&["record"]);
    let output = power.account.python("e2e/contract/check.py", &[record.to_str().unwrap()]);
    assert!(output.status.success(), "{:?}", texts(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["breaches"], json!([]), "requests that AWS would not take");
    assert!(report["callers"]["node"].as_u64() >= Some(100), "{report}");
    let text = std::fs::read_to_string(record).unwrap();
    let of_nodes: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_nodes = of_nodes.iter().filter(|request| request["caller"] == "node");
    let services: std::collections::BTreeSet<&str> =
        of_nodes.map(|request| request["service"].as_str().unwrap()).collect();
    assert_eq!(services.into_iter().collect::<Vec<_>>(), ["ec2", "kms", "s3"]);
}
