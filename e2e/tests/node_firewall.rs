//! The rules of the node's firewall under packets of this machine's own kernel: what is open, what is dropped, and that all of it
//! would be open without them. `e2e/firewall/packets.py` builds the node.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use futuswarm_tools::ToolsTree;
use serde_json::json;

/// What the agent writes for a cluster whose VPC is 10.9.0.0/16 and whose operators come from 203.0.113.0/24.
const ELEMENTS: &str = "flush set inet futuswarm closed_networks
add element inet futuswarm vpc_networks { 10.9.0.0/16 }
add element inet futuswarm node_networks { 10.9.0.0/20 }
add element inet futuswarm private_networks { 10.9.128.0/20 }
add element inet futuswarm closed_networks { 10.9.0.0/20 }
add element inet futuswarm ssh_networks { 203.0.113.0/24 }
";

type Probe = (&'static str, &'static str, &'static str, u16, &'static str, [bool; 3]);

/// Who asks, how, what, and from which address; whether it is open before the node knows its cluster, once it does, and when
/// the load balancer is internal, too.
const PROBES: &[Probe] = &[
    // Nothing of the node, by any of its addresses, and no published port.
    ("box", "tcp", "10.9.0.4", 22, "", [false; 3]),
    ("box", "tcp", "10.9.0.4", 80, "", [false; 3]),
    ("box", "tcp", "10.9.0.4", 81, "", [false; 3]),
    ("box", "tcp", "10.9.0.4", 443, "", [false; 3]),
    ("box", "tcp", "10.9.0.4", 9000, "", [false; 3]),
    ("box", "tcp", "10.9.0.4", 2377, "", [false; 3]),
    ("box", "udp", "10.9.0.4", 4789, "", [false; 3]),
    ("box", "tcp", "192.168.200.1", 22, "", [false; 3]),
    ("box", "tcp", "192.168.200.1", 80, "", [false; 3]),
    ("box", "udp", "192.168.200.1", 7946, "", [false; 3]),
    // Nothing of another node; an internal load balancer is among them.
    ("box", "tcp", "10.9.0.9", 22, "", [false; 3]),
    ("box", "tcp", "10.9.0.9", 80, "", [false; 3]),
    ("box", "tcp", "10.9.0.9", 81, "", [false; 3]),
    ("box", "tcp", "10.9.0.9", 2377, "", [false; 3]),
    ("box", "tcp", "10.9.0.9", 7946, "", [false; 3]),
    ("box", "udp", "10.9.0.9", 7946, "", [false; 3]),
    ("box", "udp", "10.9.0.9", 4789, "", [false; 3]),
    ("box", "tcp", "10.9.0.9", 443, "", [false, false, true]),
    // Nothing link-local but the resolver.
    ("box", "tcp", "169.254.169.254", 80, "", [false; 3]),
    ("box", "udp", "169.254.169.123", 123, "", [false; 3]),
    ("box", "tcp", "169.254.169.250", 443, "", [false; 3]),
    ("box", "tcp", "169.254.169.253", 80, "", [false; 3]),
    ("box", "tcp", "169.254.169.253", 53, "", [true; 3]),
    ("box", "udp", "169.254.169.253", 53, "", [true; 3]),
    // The world, a database of the VPC and an endpoint beside it, and nothing else there; a peered VPC.
    ("box", "tcp", "203.0.113.10", 443, "", [true; 3]),
    ("box", "tcp", "203.0.113.10", 22, "", [true; 3]),
    ("box", "udp", "203.0.113.10", 123, "", [true; 3]),
    ("box", "tcp", "10.9.128.10", 5432, "", [false, true, true]),
    ("box", "tcp", "10.9.128.10", 443, "", [false, true, true]),
    ("box", "tcp", "10.9.128.10", 22, "", [false; 3]),
    ("box", "udp", "10.9.128.10", 53, "", [false; 3]),
    ("box", "tcp", "172.31.0.10", 443, "", [false, true, true]),
    // People from where the spec says, and from nowhere else.
    ("net", "tcp", "10.9.0.4", 22, "203.0.113.10", [false, true, true]),
    ("net", "tcp", "10.9.0.4", 22, "10.9.0.1", [false; 3]),
    ("net", "tcp", "10.9.0.4", 22, "172.31.0.10", [false; 3]),
    // The edge, the login and the Swarm from the VPC, VXLAN from nodes.
    ("net", "tcp", "10.9.0.4", 80, "10.9.0.1", [false, true, true]),
    ("net", "tcp", "10.9.0.4", 80, "203.0.113.10", [false; 3]),
    ("net", "tcp", "10.9.0.4", 81, "10.9.0.1", [false, true, true]),
    ("net", "tcp", "10.9.0.4", 81, "203.0.113.10", [false; 3]),
    ("net", "tcp", "10.9.0.4", 2377, "10.9.0.9", [false, true, true]),
    ("net", "tcp", "10.9.0.4", 2377, "203.0.113.10", [false; 3]),
    ("net", "tcp", "10.9.0.4", 7946, "10.9.0.9", [false, true, true]),
    ("net", "udp", "10.9.0.4", 7946, "10.9.0.9", [false, true, true]),
    ("net", "udp", "10.9.0.4", 4789, "10.9.0.9", [false, true, true]),
    ("net", "udp", "10.9.0.4", 4789, "10.9.128.10", [false; 3]),
    // Other published ports, other ports of the node, and containers behind it as if the node were a router.
    ("net", "tcp", "10.9.0.4", 9000, "10.9.0.1", [false; 3]),
    ("net", "tcp", "10.9.0.4", 5432, "10.9.0.1", [false; 3]),
    ("net", "tcp", "192.168.200.2", 22, "203.0.113.10", [false; 3]),
];

/// One word for each probe: `open`, `refused` or `dropped`.
fn answers(tools: &ToolsTree, rules: Option<&PathBuf>) -> Vec<String> {
    let nft = tools.command("nft").unwrap();
    let nft: Vec<_> =
        std::iter::once(nft.get_program()).chain(nft.get_args()).map(|word| word.to_str().unwrap()).collect();
    let source = |address: &str| (!address.is_empty()).then(|| address.to_owned());
    let probes: Vec<_> = PROBES
        .iter()
        .map(|(who, protocol, to, port, from, _)| json!([who, protocol, to, port, source(from)]))
        .collect();
    let request = json!({ "nft": nft, "rules": rules, "probes": probes });
    let script = futuswarm_paths::workspace_root().unwrap().join("e2e/firewall/packets.py");
    let mut command = Command::new("python3");
    command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    process.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    let (out, said) = futuswarm_testkit::texts(&output);
    assert!(output.status.success(), "{said}");
    serde_json::from_str(&out).unwrap()
}

#[test]
#[ignore = "makes network namespaces, which needs root: `cargo xtask test` runs it"]
fn what_the_rules_let_through_and_what_they_drop() {
    let tools = ToolsTree::locate().expect("`cargo xtask test` makes the tools tree");
    let dir = tempfile::tempdir().unwrap();
    let image = futuswarm_paths::workspace_root().unwrap().join("images/node/rootfs/usr/share/futuswarm/firewall.nft");
    let image = std::fs::read_to_string(image).unwrap();
    // Without the rules everything is open: a drop below is the rules' doing.
    let without = answers(&tools, None);
    for (probe, answer) in PROBES.iter().zip(&without) {
        assert_eq!(answer, "open", "without the firewall: {probe:?}");
    }
    let internal = format!("{ELEMENTS}add element inet futuswarm balancer_ports {{ 443 }}\n");
    let mut wrong = Vec::new();
    for (state, elements) in [None, Some(ELEMENTS), Some(&internal)].into_iter().enumerate() {
        let run = dir.path().join(format!("state-{state}"));
        std::fs::create_dir(&run).unwrap();
        if let Some(elements) = elements {
            std::fs::write(run.join("firewall.nft"), elements).unwrap();
        }
        assert!(image.contains("include \"/run/futuswarm/firewall*.nft\""));
        let rules = run.join("rules");
        std::fs::write(&rules, image.replace("/run/futuswarm", run.to_str().unwrap())).unwrap();
        for (probe, answer) in PROBES.iter().zip(answers(&tools, Some(&rules))) {
            let expected = if probe.5[state] { "open" } else { "dropped" };
            if answer != expected {
                wrong.push(format!("state {state}: {probe:?} is {answer}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
