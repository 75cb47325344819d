"""Tries calls of the AWS API as a node: with the credentials that the metadata service gives to its address.

"{userid}" in an argument is what IAM calls aws:userid of the node's session. Runs inside the cluster's network namespace. Arguments: address of the node, endpoint, region. Standard input: JSON, a list of
[service, operation, arguments]; base64 in {"base64": "…"} becomes bytes. Prints a JSON list: "allowed", "denied", or the
error's code for everything else that was refused after the call was allowed.
"""

import base64
import http.client
import json
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ParamValidationError

DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"}
address, endpoint, region = sys.argv[1:4]


def metadata(method, path, headers):
    # The metadata service knows an instance at its next look at the emulator; a node's agent asks again, too.
    for attempt in range(60):
        connection = http.client.HTTPConnection("169.254.169.254", timeout=10, source_address=(address, 0))
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status == 200:
            return text
        time.sleep(0.5)
    sys.exit(f"{method} {path}: {answer.status} {text}")


token = metadata("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
roles = "/latest/meta-data/iam/security-credentials/"
role = metadata("GET", roles, {"X-aws-ec2-metadata-token": token}).strip()
keys = json.loads(metadata("GET", roles + role, {"X-aws-ec2-metadata-token": token}))


def client(service):
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["Token"],
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )


user_id = client("sts").get_caller_identity()["UserId"]


def plain(value):
    if isinstance(value, str):
        return value.replace("{userid}", user_id)
    if isinstance(value, dict):
        return base64.b64decode(value["base64"]) if set(value) == {"base64"} else {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list) else value


def outcome(service, operation, arguments):
    try:
        getattr(client(service), operation)(**plain(arguments))
        return "allowed"
    except ParamValidationError as error:
        sys.exit(f"{service} {operation}: {error}")
    except ClientError as error:
        code = error.response["Error"]["Code"]
        return "denied" if code in DENIED else code


print(json.dumps([outcome(*call) for call in json.load(sys.stdin)]))
