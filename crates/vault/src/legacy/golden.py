"""Makes golden.json: objects as the old tool wrote them, by an implementation of EAX and HMAC that is not ours.

Run once by hand, with pycryptodome (`python3 -m venv V && V/bin/pip install pycryptodome && V/bin/python golden.py > golden.json`).
Keys and nonces follow from the objects' names, so that the file comes out the same each time. A wrapped data key is what the vault in
memory (`memory.rs`) opens: the key's ARN, a line's end, and the 64 bytes.
"""

import base64
import hashlib
import json

from Crypto.Cipher import AES
from Crypto.Hash import HMAC, SHA256

ARN = b"arn:aws:kms:eu-west-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"

VALUES = [
    ("hello/default/LOG_LEVEL", b"debug", False),
    ("hello/default/EMPTY", b"", False),
    ("hello/default/GREETING", 'quote " newline \n emoji 🦀 = $HOME @/etc/passwd'.encode(), False),
    ("hello/default/LONG", b"0123456789abcdef" * 256 + b"x", False),
    ("hello/default/CERTIFICATE", b"-----BEGIN CERTIFICATE-----\nMIIB", True),
    ("hello/docker-secret/KEYSTORE", bytes(range(256)), True),
]


def b64(data):
    return base64.b64encode(data).decode()


def wrote(name, value, is_file):
    data_key = hashlib.sha512(b"data key of " + name.encode()).digest()
    nonce = hashlib.sha256(b"nonce of " + name.encode()).digest()[:16]
    contents, tag = AES.new(data_key[:32], AES.MODE_EAX, nonce=nonce).encrypt_and_digest(value)
    hmac = HMAC.new(data_key[32:], msg=contents, digestmod=SHA256).hexdigest()
    fields = {"key": b64(ARN + b"\n" + data_key), "contents": b64(contents), "nonce": b64(nonce), "tag": b64(tag)}
    fields |= {"hmac": hmac, "is_file": is_file, "is_binary": False, "name": name}
    # The body of the S3 object, character for character.
    return {"name": name, "body": json.dumps(fields), "value": b64(value), "is_file": is_file}


print(json.dumps([wrote(*value) for value in VALUES], indent=1))
