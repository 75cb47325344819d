"""A server of the world around the VPC, asked by its name as a node asks: world.py ADDRESS AUTHORITY, and on standard input as JSON `name`,
`address`, `certificate` and `key`. Prints what it answers, or that nobody has the name."""

import json
import socket
import ssl
import sys
import tempfile
import threading
import time

world, authority = json.load(sys.stdin), sys.argv[2]


def found():
    try:
        return socket.gethostbyname(world["name"])
    except socket.gaierror:
        return None


# The name server reads names again when it is told to, which takes it a moment.
end = time.monotonic() + 10
while (found() is None) == world["there"] and time.monotonic() < end:
    time.sleep(0.1)
if found() is None:
    print(json.dumps("nobody has the name"))
    sys.exit()

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
with tempfile.NamedTemporaryFile("w") as file:
    file.write(world["certificate"] + world["key"])
    file.flush()
    context.load_cert_chain(file.name)
server = socket.create_server((world["address"], 443))


def answer():
    with context.wrap_socket(server.accept()[0], server_side=True) as stream:
        stream.sendall(b"from the world")


threading.Thread(target=answer, daemon=True).start()
trusting = ssl.create_default_context(cafile=authority)
with trusting.wrap_socket(
    socket.create_connection((world["name"], 443), 10), server_hostname=world["name"]
) as stream:
    print(json.dumps(stream.recv(64).decode()))
