"""Writes a `docker save` archive of one static program: image.py PROGRAM VERSION NAME OUTPUT [ARCHITECTURE [WORD ...]]"""

import hashlib
import io
import json
import sys
import tarfile


def add(tar, name, content, mode=0o644):
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(content), mode, 1_000_000_000
    tar.addfile(info, io.BytesIO(content))


program, version, name, output = sys.argv[1:5]
architecture = sys.argv[5] if len(sys.argv) > 5 else "amd64"
words = sys.argv[6:] or ["serve"]
layer = io.BytesIO()
with tarfile.open(fileobj=layer, mode="w") as tar, open(program, "rb") as file:
    add(tar, "app", file.read(), 0o755)
    link = tarfile.TarInfo("bin/sh")
    # Of the same file, so with the same mode.
    link.type, link.linkname, link.mtime, link.mode = tarfile.LNKTYPE, "app", 1_000_000_000, 0o755
    tar.addfile(link)
layer = layer.getvalue()
config = json.dumps({
    "architecture": architecture,
    "os": "linux",
    "config": {"Entrypoint": ["/app"], "Cmd": words, "Env": [f"VERSION={version}"], "User": "65534"},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
}).encode()
config_name = hashlib.sha256(config).hexdigest() + ".json"
manifest = json.dumps([{"Config": config_name, "RepoTags": [name], "Layers": ["layer/layer.tar"]}]).encode()
with tarfile.open(output, "w") as tar:
    add(tar, config_name, config)
    add(tar, "layer/layer.tar", layer)
    add(tar, "manifest.json", manifest)
