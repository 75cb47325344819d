"""Makes calls in the account's owner's name through boto3 and prints what came of each, as JSON.

Standard input: [[service, region or null, operation, {arguments}], …]; an argument {"base64": "…"} stands for bytes. An answer's
body of bytes is printed as its SHA-256, a refusal as {"error": code, "message": …}.
"""

import base64
import hashlib
import json
import sys

import boto3
import botocore.exceptions


def bytes_of(value):
    if isinstance(value, dict):
        if list(value) == ["base64"]:
            return base64.b64decode(value["base64"])
        return {key: bytes_of(inner) for key, inner in value.items()}
    return [bytes_of(inner) for inner in value] if isinstance(value, list) else value


def shown(value):
    return hashlib.sha256(value.read()).hexdigest() if hasattr(value, "read") else str(value)


outcomes = []
for service, region, operation, arguments in json.load(sys.stdin):
    client = boto3.client(service, region_name=region)
    try:
        answer = getattr(client, operation)(**bytes_of(arguments))
        answer.pop("ResponseMetadata")
        outcomes.append(answer)
    except botocore.exceptions.ClientError as error:
        details = error.response["Error"]
        outcomes.append({"error": details["Code"], "message": details["Message"]})
print(json.dumps(outcomes, default=shown))
