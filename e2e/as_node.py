"""Tries calls of the AWS API as a node: with the credentials that the metadata service gives to its address.

"{userid}" in an argument is what IAM calls aws:userid of the node's session. Runs inside the cluster's network namespace.
Arguments: address of the node, endpoint, region. Standard input: JSON, a list of [service, operation, arguments]; base64 in
{"base64": "…"} becomes bytes. The operation "raw" is a request that is only signed, with its "method", "path", "headers" and
"body"; the operation "every write" is every operation of the service that does not only read. Prints a JSON list: "allowed",
"denied", or the error's code for everything else that was refused after the call was allowed; for every write "denied", or the
operations that were not.
"""

import base64
import http.client
import json
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import boto3
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, ParamValidationError
from node_credentials import issued_to

DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"}
READS = ("Describe", "Get", "List", "Search")
FORM = "application/x-www-form-urlencoded; charset=utf-8"
address, endpoint, region = sys.argv[1:4]
keys = issued_to(address)
credentials = Credentials(*keys)
session = boto3.Session(*keys, region)
config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
clients = {}
connections = threading.local()


def client(service):
    if service not in clients:
        clients[service] = session.client(service, endpoint_url=endpoint, config=config)
    return clients[service]


user_id = client("sts").get_caller_identity()["UserId"]


def plain(value):
    if isinstance(value, str):
        return value.replace("{userid}", user_id)
    if isinstance(value, dict):
        return base64.b64decode(value["base64"]) if set(value) == {"base64"} else {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list) else value


def named(code):
    return "denied" if code in DENIED else code


def raw(service, method="POST", path="/", headers=None, body=""):
    """The outcome of a request that no client would send."""
    request = AWSRequest(method, endpoint + path, data=body, headers=headers)
    (S3SigV4Auth if service == "s3" else SigV4Auth)(credentials, service, region).add_auth(request)
    if not hasattr(connections, "open"):
        connections.open = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=60)
    try:
        connections.open.request(method, path, body=body, headers=dict(request.headers.items()))
        answer = connections.open.getresponse()
    except ConnectionError:
        # A request that was refused before its body was read has cost the connection; on a new one there is no such excuse.
        connections.open.close()
        connections.open.request(method, path, body=body, headers=dict(request.headers.items()))
        answer = connections.open.getresponse()
    text = answer.read().decode(errors="replace")
    if answer.status < 300:
        return "allowed"
    code = re.search(r"<Code>([^<]*)</Code>|\"__type\": ?\"([^\"]*)\"", text)
    return named(next(filter(None, code.groups())) if code else str(answer.status))


def every_write(service):
    """Nobody reads parameters before it is decided who may, so none are sent."""
    model = client(service).meta.service_model
    writes = [name for name in model.operation_names if not name.startswith(READS)]
    assert len(writes) > 300, f"only {len(writes)} writes of {service} are known"
    with ThreadPoolExecutor(8) as pool:
        bodies = [f"Action={name}&Version={model.api_version}" for name in writes]
        outcomes = pool.map(lambda body: raw(service, headers={"Content-Type": FORM}, body=body), bodies)
        return {name: found for name, found in zip(writes, outcomes) if found != "denied"} or "denied"


def outcome(service, operation, arguments):
    if operation == "raw":
        return raw(service, **plain(arguments))
    if operation == "every write":
        return every_write(service)
    try:
        getattr(client(service), operation)(**plain(arguments))
        return "allowed"
    except ParamValidationError as error:
        sys.exit(f"{service} {operation}: {error}")
    except ClientError as error:
        return named(error.response["Error"]["Code"])


print(json.dumps([outcome(*call) for call in json.load(sys.stdin)]))
