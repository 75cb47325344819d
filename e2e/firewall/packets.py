"""A node in network namespaces: what the kernel does with packets under the node's firewall.

Three namespaces: `node`, with a bridge as Docker makes them and a published port; `box`, a container on that bridge; `net`,
which is the VPC and the world at once. Reads a request from standard input:

    {"nft": ["nft"], "rules": "/path/to/rules" or null, "probes": [["box", "tcp", "10.9.0.4", 22, null], …]}

A probe is who asks (`box` or `net`), the protocol, the address, the port, and the address to ask from. Prints one word for each:
`open`, `refused`, or `dropped` when nothing came back.
"""

import json
import os
import socket
import subprocess
import sys
import time

# Enough for a veth pair, and what every dropped packet costs.
PATIENCE = 0.7
NODE, GATEWAY, BOX = "10.9.0.4", "192.168.200.1", "192.168.200.2"
# Everything in `net`: the router, another node, a database, a load balancer, the world, a peered VPC, link-local services (the last is
# the local cloud's AWS API).
NET = ["10.9.0.1/20", "10.9.0.9/32", "10.9.128.10/32", "203.0.113.10/32", "172.31.0.10/32", "169.254.169.254/32", "169.254.169.253/32", "169.254.169.123/32", "169.254.169.250/32"]
TCP = [22, 53, 80, 81, 443, 2377, 5432, 7946, 8080]
UDP = [53, 123, 4789, 7946]

SERVER = """
import select, socket, sys
tcp, udp = ([int(port) for port in part.split(",")] for part in sys.argv[1:3])
sockets = []
for port in tcp:
    listener = socket.create_server(("0.0.0.0", port)); listener.listen(64); sockets.append(listener)
for port in udp:
    # Answers must come from the address that was asked.
    echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); echo.setsockopt(socket.IPPROTO_IP, 8, 1); echo.bind(("0.0.0.0", port)); sockets.append(echo)
print("ready", flush=True)
while True:
    for ready in select.select(sockets, [], [])[0]:
        if ready.type == socket.SOCK_STREAM:
            ready.accept()[0].close()
        else:
            data, ancillary, _, peer = ready.recvmsg(64, 256)
            ready.sendmsg([data], [(socket.IPPROTO_IP, 8, bytes(4) + ancillary[0][2][4:8] + bytes(4))], 0, peer)
"""

PROBE = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def probe(words):
    protocol, host, port, source = words
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as client:
        client.settimeout(%s)
        client.bind((source or "0.0.0.0", 0))
        try:
            client.connect((host, port))
            if protocol == "udp":
                client.send(b"x"); client.recv(64)
            return "open"
        except TimeoutError:
            return "dropped"
        except OSError:
            return "refused"
probes = json.load(sys.stdin)
with ThreadPoolExecutor(32) as pool:
    print(json.dumps(list(pool.map(probe, probes))))
""" % PATIENCE


def run(*words, **more):
    return subprocess.run(words, check=True, text=True, capture_output=True, **more).stdout


def main():
    request = json.load(sys.stdin)
    node, box, net = names = [f"fwt{os.getpid()}-{name}" for name in ("node", "box", "net")]
    inside = lambda name, *words, **more: run("ip", "netns", "exec", name, *words, **more)
    servers = []
    try:
        for name in names:
            run("ip", "netns", "add", name)
            inside(name, "ip", "link", "set", "lo", "up")
        # The adapter of a node has no kind; one of another kind than a container's is the same to the rules.
        run("ip", "-n", node, "link", "add", "name", "cable", "type", "veth", "peer", "name", "uplink", "netns", net)
        # Or it would answer for the address of the other.
        run("ip", "-n", node, "link", "set", "cable", "arp", "off", "up")
        run("ip", "-n", node, "link", "add", "link", "cable", "name", "uplink", "type", "macvlan", "mode", "bridge")
        for name in (node, net):
            run("ip", "-n", name, "link", "set", "uplink", "up")
        run("ip", "-n", node, "addr", "add", f"{NODE}/20", "dev", "uplink")
        run("ip", "-n", node, "route", "add", "default", "via", "10.9.0.1")
        for address in NET:
            run("ip", "-n", net, "addr", "add", address, "dev", "uplink")
        run("ip", "-n", net, "route", "add", "192.168.200.0/24", "via", NODE)
        run("ip", "-n", node, "link", "add", "anyname0", "type", "bridge")
        run("ip", "-n", node, "addr", "add", f"{GATEWAY}/24", "dev", "anyname0")
        run("ip", "-n", node, "link", "set", "anyname0", "up")
        run("ip", "-n", node, "link", "add", "vethbox", "type", "veth", "peer", "name", "eth0", "netns", box)
        run("ip", "-n", node, "link", "set", "vethbox", "master", "anyname0", "up")
        run("ip", "-n", node, "link", "set", "vethbox", "type", "bridge_slave", "hairpin", "on")
        run("ip", "-n", box, "addr", "add", f"{BOX}/24", "dev", "eth0")
        run("ip", "-n", box, "link", "set", "eth0", "up")
        run("ip", "-n", box, "route", "add", "default", "via", GATEWAY)
        inside(node, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        # What Docker does for `--publish 80:8080` and `--publish 9000:8080`, and an accept of everything in its usual place.
        docker = f"""table ip docker {{
            chain prerouting {{ type nat hook prerouting priority dstnat; fib daddr type local tcp dport {{ 80, 9000 }} dnat to {BOX}:8080; }}
            chain postrouting {{ type nat hook postrouting priority srcnat; ip saddr 192.168.200.0/24 oifname {{ "uplink", "anyname0" }} masquerade; }}
            chain forward {{ type filter hook forward priority filter; policy accept; accept; }}
            chain input {{ type filter hook input priority filter; policy accept; accept; }}
        }}"""
        inside(node, *request["nft"], "-f", "-", input=docker)
        if request["rules"]:
            inside(node, *request["nft"], "-f", request["rules"])
        for name in names:
            # The node's port 80 is the published one.
            tcp = [port for port in TCP if name != node or port != 80]
            words = ["ip", "netns", "exec", name, sys.executable, "-c", SERVER, ",".join(map(str, tcp)), ",".join(map(str, UDP))]
            server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
            servers.append(server)
            assert server.stdout.readline() == "ready\n", name
        # The first packet of a new link may wait for its neighbour.
        time.sleep(0.2)
        answers = {}
        for name in {probe[0] for probe in request["probes"]}:
            asked = [probe[1:] for probe in request["probes"] if probe[0] == name]
            full = next(one for one in names if one.endswith(f"-{name}"))
            given = json.loads(inside(full, sys.executable, "-c", PROBE, input=json.dumps(asked)))
            answers[name] = iter(given)
        print(json.dumps([next(answers[probe[0]]) for probe in request["probes"]]))
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error.cmd}: {error.stderr}")
    finally:
        for server in servers:
            server.kill()
            server.wait()
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


main()
