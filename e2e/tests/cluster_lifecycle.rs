//! A cluster's life, from nothing to nothing: deploy, deploy again, run an app, lose a worker, lose the daemon, lose the emulator.

#[path = "apps/developers.rs"]
mod developers;

use std::time::{Duration, Instant};

use developers::Developers;
use futuswarm_local_api::faults::Progress;
use futuswarm_testkit::{Cluster, Leftovers, get};

/// Two emulated machines take a minute to be Ready on two idle cores, and more on a busy or slow machine.
const PATIENCE: Duration = Duration::from_secs(600);

#[test]
#[ignore = "boots two virtual machines: `cargo xtask test` runs it"]
fn a_clusters_life() {
    let cluster = Cluster::of("local-e2e");
    cluster.must(&["destroy-cluster"]);
    assert_eq!(cluster.leftovers(), Leftovers::default(), "nothing to begin with");
    // The command line is compiled before machines run.
    let developers = Developers::of(&cluster);

    cluster.must(&["deploy-cluster"]);
    let status = cluster.status();
    assert_eq!(status["cluster"], "local-e2e");
    let endpoint = status["api_endpoint"].as_str().unwrap();
    assert!(endpoint.starts_with("http://127.0.0.1:"), "{endpoint}");
    let url = status["url"].as_str().unwrap().to_owned();
    let nodes = status["nodes"].as_array().unwrap().clone();
    assert_eq!(nodes.len(), 2);
    for node in &nodes {
        assert_eq!((&node["ready"], &node["state"]), (&true.into(), &"ready".into()), "{node}");
        assert!(node["joined_seconds"].as_f64().unwrap() > 1.0, "{node}");
        for key in ["instance", "node", "role", "address", "zone", "image"] {
            assert!(node[key].as_str().is_some_and(|text| !text.is_empty()), "{key} of {node}");
        }
    }
    assert_eq!(nodes.iter().filter(|node| node["role"] == "manager").count(), 1);
    the_page_is_served_with_tls(&cluster);
    // An edge that comes up after the page was first seen may need a moment to know its tasks.
    cluster.wait("the page, three times in a row", Duration::from_secs(120), || {
        (0..3).all(|_| get(&url).is_ok_and(|page| page.starts_with("HTTP/1.1 200") && page.contains("Futuswarm")))
    });

    let (_, stderr) = cluster.must(&["deploy-cluster"]);
    assert!(stderr.contains("\n0 change(s) made"), "a second deployment changes nothing: {stderr}");
    assert_eq!(cluster.ready().len(), 2);

    developers.come();
    developers.bats("first_hour.bats", Some("short,!end"), &[]);
    a_killed_worker_is_replaced(&cluster, &nodes);
    // The app runs meanwhile.
    developers.bats("first_hour.bats", Some("joined"), &[]);
    developers.bats("first_hour.bats", Some("short,end"), &[]);
    a_killed_daemon_leaves_nothing_running(&cluster);
    an_emulator_that_dies_takes_everything_with_it(&cluster);
}

fn the_page_is_served_with_tls(cluster: &Cluster) {
    let cloud: serde_json::Value = serde_json::from_str(&cluster.local(&["cloud"])).unwrap();
    let text = |key: &str| cloud[key].as_str().unwrap().to_owned();
    // By the certificate's own name, and trusting nobody but the local cloud's authority.
    let script = "import http.client, ssl, sys, socket\n\
        url, authority, name = sys.argv[1:]\n\
        port = int(url.rsplit(':', 1)[1])\n\
        context = ssl.create_default_context(cafile=authority)\n\
        stream = context.wrap_socket(socket.create_connection(('127.0.0.1', port), 10), server_hostname=name)\n\
        connection = http.client.HTTPConnection(name)\n\
        connection.sock = stream\n\
        connection.request('GET', '/')\n\
        answer = connection.getresponse()\n\
        print(answer.status, answer.read().decode())\n";
    let words = [script, &text("https_url"), &text("ca_certificate"), "apps.localhost"];
    let output = std::process::Command::new(text("python")).arg("-c").args(words).output().unwrap();
    let (page, stderr) = futuswarm_testkit::texts(&output);
    assert!(page.starts_with("200 ") && page.contains("Futuswarm"), "{page}{stderr}");
}

fn a_killed_worker_is_replaced(cluster: &Cluster, nodes: &[serde_json::Value]) {
    let of_role =
        |role: &str| nodes.iter().find(|node| node["role"] == role).unwrap()["instance"].as_str().unwrap().to_owned();
    let (manager, victim) = (of_role("manager"), of_role("worker"));
    // The group names a newer version of its template from here on; only what is started then has it.
    cluster.must_with(
        &["deploy-cluster", "--no-wait"],
        "role = \"worker\"",
        "role = \"worker\"\nlabels = { disk = \"fast\" }",
    );
    // S3 throttles while the replacement joins: agents must say so and be patient.
    let throttled = r#"{"fault":{"kind":"throttle"},"service":"s3","caller":"node","count":60}"#;
    cluster.local(&["api-faults", throttled]);
    cluster.must(&["chaos", "kill", &victim]);
    cluster.wait("a replacement that is ready", PATIENCE, || {
        let ready = cluster.ready();
        ready.len() == 2 && !ready.contains(&victim)
    });
    let progress: Progress = serde_json::from_str(&cluster.local(&["api-faults"])).unwrap();
    assert_eq!(progress.all.hit, 60, "every throttled answer was given");
    let said = |node: &str| cluster.console(node).lines().any(|line| line.contains("SlowDown"));
    assert!(cluster.ready().iter().any(|node| said(node)), "an agent says in a line that S3 throttles");
    // SSH keys come a few seconds after a node is Ready.
    cluster.wait("the removal of the dead node", PATIENCE, || {
        let listed =
            cluster.xtask(&["ssh", &manager, "--", "sudo", "docker", "node", "ls", "--format", "{{.Hostname}}"]);
        let names = String::from_utf8_lossy(&listed.stdout).into_owned();
        listed.status.success() && names.lines().count() == 2 && !names.contains(&victim)
    });
    let labelled =
        ["ssh", &manager, "--", "sudo", "docker", "node", "ls", "--quiet", "--filter", "node.label=disk=fast"];
    cluster.wait("the label of the newer template on the replacement, and on no other", PATIENCE, || {
        let listed = cluster.xtask(&labelled);
        listed.status.success() && String::from_utf8_lossy(&listed.stdout).lines().count() == 1
    });
}

fn a_killed_daemon_leaves_nothing_running(cluster: &Cluster) {
    let daemon = std::fs::read_to_string(cluster.state_dir().join("daemon.pid")).unwrap();
    let killed = std::process::Command::new("kill").args(["-9", daemon.trim()]).status().unwrap();
    assert!(killed.success());
    let started = Instant::now();
    while !cluster.leftovers().processes.is_empty() {
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", cluster.leftovers());
        std::thread::sleep(Duration::from_millis(200));
    }
    let output = cluster.xtask(&["status"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && stderr.contains("is not running; start it with"), "{stderr}");
    cluster.must(&["destroy-cluster"]);
    assert_eq!(cluster.leftovers(), Leftovers::default());
    // Disks, keys and logs go, too; images and emulator stay in the cache.
    assert!(!cluster.state_dir().exists(), "{} is still there", cluster.state_dir().display());
}

fn an_emulator_that_dies_takes_everything_with_it(cluster: &Cluster) {
    cluster.local(&["up", "--api-only"]);
    let running = cluster.leftovers().processes;
    let emulator = running.iter().find(|process| process.contains("moto.server")).expect("the emulator runs");
    let pid = emulator.split_whitespace().next().unwrap();
    assert!(std::process::Command::new("kill").args(["-9", pid]).status().unwrap().success());
    let started = Instant::now();
    while cluster.leftovers() != Leftovers::default() {
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", cluster.leftovers());
        std::thread::sleep(Duration::from_millis(200));
    }
    let output = cluster.xtask(&["status"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && stderr.contains("is not running; start it with"), "{stderr}");
}
