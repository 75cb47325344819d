//! What is around a node, and the programs that ask and answer in containers and there.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use super::{DATABASE, WORLD};

/// Reads probes `[protocol, host, port, source]` and names; prints one word for each probe and whether each name is known. The
/// host `gateway` is the one of the default route.
pub const PROBE: &str = r#"
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
request = json.loads(sys.argv[1])
def gateway():
    for line in open("/proc/net/route"):
        words = line.split()
        if words[1] == "00000000":
            return socket.inet_ntoa(bytes.fromhex(words[2])[::-1])
def probe(words):
    protocol, host, port, source = words
    host = gateway() if host == "gateway" else host
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as client:
        client.settimeout(5)
        client.bind((source or "0.0.0.0", 0))
        try:
            client.connect((host, port))
            if protocol == "udp":
                client.send(b"x"); client.recv(64)
            return "open"
        except TimeoutError:
            return "dropped"
        except OSError as error:
            return f"refused: {error}"
def addresses(name):
    try:
        return sorted({found[4][0] for found in socket.getaddrinfo(name, 80, socket.AF_INET)})
    except OSError:
        return []
with ThreadPoolExecutor(64) as pool:
    names = {name: addresses(name) for name in request["names"]}
    probes = [p for p in request["probes"]]
    tasks = [["tcp", address, 8000, None] for address in names.get("tasks.web", [])]
    print(json.dumps({"probes": list(pool.map(probe, probes)), "tasks": list(pool.map(probe, tasks)), "names": names}))
"#;

/// Answers on a UDP port of a node, from the address that was asked (IP_PKTINFO is 8), so that what reaches the node is seen.
pub const ECHO: &str = "import socket\n\
    echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
    echo.setsockopt(socket.IPPROTO_IP, 8, 1)\n\
    echo.bind(('0.0.0.0', 9999))\n\
    while True:\n    data, about, flags, peer = echo.recvmsg(64, 256)\n    \
    source = bytes(4) + about[0][2][4:8] + bytes(4)\n    \
    echo.sendmsg([data], [(socket.IPPROTO_IP, 8, source)], 0, peer)\n";

/// Servers in the namespace that is the VPC and everything around it.
pub struct World(Child);

impl World {
    pub fn start(netns: &str) -> Self {
        for address in [WORLD, DATABASE] {
            let address = format!("{address}/32");
            let added =
                Command::new("ip").args(["-n", netns, "addr", "replace", &address, "dev", "vpc"]).status().unwrap();
            assert!(added.success());
        }
        let script = format!(
            "import socket, select\n\
             sockets = [socket.create_server(('{WORLD}', 80)), socket.create_server(('{DATABASE}', 5432))]\n\
             print('ready', flush=True)\n\
             while True:\n    for ready in select.select(sockets, [], [])[0]: ready.accept()[0].close()\n"
        );
        let mut command = Command::new("ip");
        command.args(["netns", "exec", netns, "python3", "-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut server = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(server)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // It may have ended with its namespace.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}
