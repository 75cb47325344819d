"""Asks the AWS API as a node does: by AWS's own names, over TLS, with buckets in host names, trusting one authority.

Runs inside the cluster's network namespace, with the VPC's resolver. Arguments: address of the node, region, file of the
authority. Standard input: what e2e/emulator/names.py has printed, and "plain": the endpoint without TLS. Prints the keys that
the bucket has at the end, as JSON, each with the SHA-256 of its content.
"""

import hashlib
import json
import os
import socket
import ssl
import sys
import time
import urllib.request

# Nothing of the account's owner, and no endpoint: every name is the one that boto3 makes of service and region.
for variable in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[variable]

import boto3
from botocore.config import Config
from botocore.exceptions import SSLError
from node_credentials import issued_to
from refusals import refused

address, region, authority = sys.argv[1:4]
node = json.load(sys.stdin)
API = "169.254.169.250"
keys = issued_to(address)
once = {"total_max_attempts": 1}


def client(service, style="virtual", keys=keys, **options):
    config = Config(retries=once, s3={"addressing_style": style}, signature_version="s3v4" if service == "s3" else "v4")
    return boto3.Session(*keys, region_name=region).client(service, config=config, **{"verify": authority} | options)


def at_most(seconds, work):
    started = time.monotonic()
    found = work()
    assert time.monotonic() - started < seconds, f"{time.monotonic() - started} s"
    return found


# Names: those that are asked lead to the API, at once and by IPv4 only; others lead nowhere.
names = [f"{label}.{region}.amazonaws.com" for label in ("ec2", "kms", "rds", "s3", "secretsmanager", "by-name.s3")]
for name in names:
    found = at_most(2, lambda: socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM))
    assert [(family, place[0]) for family, _, _, _, place in found] == [(socket.AF_INET, API)], (name, found)
    try:
        found = at_most(2, lambda: socket.getaddrinfo(name, 443, socket.AF_INET6))
        raise AssertionError(f"{name} leads to {found}")
    except socket.gaierror as error:
        assert error.errno == socket.EAI_NODATA, error
strangers = [f"dynamodb.{region}.amazonaws.com", f"{region}.amazonaws.com", "ec2.eu-central-1.amazonaws.com", "example.com"]
for name in strangers:
    try:
        found = at_most(2, lambda: socket.getaddrinfo(name, 443))
        raise AssertionError(f"{name} leads to {found}")
    except socket.gaierror:
        pass


def handshake(name, trust):
    with socket.create_connection((API, 443), 10) as connection:
        trust.wrap_socket(connection, server_hostname=name).close()


# TLS: the certificate is for these names and for no other, and from an authority that nobody trusts by himself.
trusting = ssl.create_default_context(cafile=authority)
for name in names:
    handshake(name, trusting)
for name, trust in [(name, trusting) for name in strangers + [f"a.b.s3.{region}.amazonaws.com", "169.254.169.254"]] + [
    (names[0], ssl.create_default_context())
]:
    try:
        handshake(name, trust)
        raise AssertionError(f"{name} was accepted")
    except ssl.SSLCertVerificationError:
        pass
for service, call, arguments in [
    ("s3", "list_objects_v2", {"Bucket": "by-name"}),
    ("kms", "encrypt", {"KeyId": node["key"], "Plaintext": b"x"}),
    ("ec2", "describe_instances", {}),
]:
    try:
        getattr(client(service, verify=True), call)(**arguments)
        raise AssertionError(f"{service} was trusted")
    except SSLError as error:
        assert "CERTIFICATE_VERIFY_FAILED" in str(error), error

# KMS, on which the front decides, and EC2, on which the emulator does.
kms = client("kms")
sealed = kms.encrypt(KeyId=node["key"], Plaintext=b"secret", EncryptionContext={"a": "b c"})["CiphertextBlob"]
assert kms.decrypt(CiphertextBlob=sealed, KeyId=node["key"], EncryptionContext={"a": "b c"})["Plaintext"] == b"secret"
refused("AccessDeniedException", kms.describe_key, KeyId=node["key"])
ec2 = client("ec2")
found = ec2.describe_instances(Filters=[{"Name": "instance-id", "Values": [node["instance"]]}])["Reservations"]
assert found[0]["Instances"][0]["PrivateIpAddress"] == address, found
refused("AccessDenied", ec2.describe_vpcs)
# A signature that is wrong is none, whatever the name.
forged = (keys[0], "x" + keys[1][1:], keys[2])
refused("AuthFailure", client("ec2", keys=forged).describe_instances)

# S3: the bucket is in the name, the key as awkward as keys are.
awkward = [
    "plain",
    "a b",
    "a+b",
    "a%20b",
    "a%2Fb",
    "ü/ß/☃",
    "a//b",
    "//a",
    "a/",
    "by-name/a",
    "a=b&c=d;e?f#g",
    "~'()*!@$,:",
    "cluster/genesis",
]
s3 = client("s3")
seen = []
s3.meta.events.register("before-send.s3", lambda request, **_: seen.append(request.url))
refused("SlowDown", s3.get_object, Bucket="by-name", Key="cluster/genesis")
for key in awkward:
    s3.put_object(Bucket="by-name", Key=key, Body=key.encode(), IfNoneMatch="*")
    refused("PreconditionFailed", s3.put_object, Bucket="by-name", Key=key, Body=b"", IfNoneMatch="*")
    assert s3.get_object(Bucket="by-name", Key=key)["Body"].read() == key.encode(), key
    assert s3.head_object(Bucket="by-name", Key=key)["ContentLength"] == len(key.encode()), key
    prefixed = s3.list_objects_v2(Bucket="by-name", Prefix=key)["Contents"]
    assert key in [one["Key"] for one in prefixed], (key, prefixed)
    presigned = s3.generate_presigned_url("get_object", {"Bucket": "by-name", "Key": key})
    assert presigned.startswith(f"https://by-name.s3.{region}.amazonaws.com/"), presigned
    with urllib.request.urlopen(presigned, timeout=10, context=trusting) as answer:
        assert answer.read() == key.encode(), key
assert seen and all(url.startswith(f"https://by-name.s3.{region}.amazonaws.com/") for url in seen), seen
assert {one["Key"] for one in s3.list_objects_v2(Bucket="by-name")["Contents"]} == set(awkward)
s3.copy_object(Bucket="by-name", Key="a copy", CopySource={"Bucket": "by-name", "Key": "a+b"})
assert s3.get_object(Bucket="by-name", Key="a copy")["Body"].read() == b"a+b"
s3.delete_objects(Bucket="by-name", Delete={"Objects": [{"Key": "a copy"}, {"Key": "a%20b"}]})
s3.delete_object(Bucket="by-name", Key="a//b")
refused("NoSuchKey", s3.get_object, Bucket="by-name", Key="a//b")
awkward = [key for key in awkward if key not in ("a%20b", "a//b")]

# What policies say of a key holds of the key in the path, and a bucket in the path is a key in another bucket.
refused("AccessDenied", s3.put_object, Bucket="by-name", Key="closed/a", Body=b"")
refused("AccessDenied", s3.get_object, Bucket="other", Key="by-name/plain")
refused("AccessDenied", s3.get_object, Bucket="other", Key="/by-name/plain")
refused("AccessDenied", client("s3", keys=node["user"]).list_objects_v2, Bucket="nobodys")

# The emulator's own switches stay out of reach, also when a bucket is called like them. It would say that there is no such bucket
# or key; the front's refusal is in the words of no service.
for bucket, key in [("moto-api", "reset-auth"), ("by-name", "moto-api/reset-auth")]:
    refused("", s3.get_object, Bucket=bucket, Key=key)

# The same by path, over TLS and without; and by name without TLS. The same with keys that no metadata service has issued.
plain = node["plain"]
port = plain.rsplit(":", 1)[1]
by_name = f"http://s3.{region}.amazonaws.com:{port}"
ways = {
    "path": client("s3", "path"),
    "plain path": client("s3", "path", endpoint_url=plain),
    "plain name": client("s3", endpoint_url=by_name),
    "user": client("s3", keys=node["user"]),
    "user's path": client("s3", "path", keys=node["user"]),
    "user's plain name": client("s3", keys=node["user"], endpoint_url=by_name),
}
for way, other in ways.items():
    for key in [f"{way} ü+", f"{way}//"]:
        other.put_object(Bucket="by-name", Key=key, Body=key.encode())
        assert s3.get_object(Bucket="by-name", Key=key)["Body"].read() == key.encode(), key
        assert other.get_object(Bucket="by-name", Key=key)["Body"].read() == key.encode(), key
        awkward.append(key)
    assert {one["Key"] for one in other.list_objects_v2(Bucket="by-name")["Contents"]} == set(awkward), way
print(json.dumps({key: hashlib.sha256(key.encode()).hexdigest() for key in awkward}))
