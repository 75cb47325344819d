"""The credentials that the metadata service gives to a node by its address. Runs inside the cluster's network namespace."""

import http.client
import json
import sys
import time


def issued_to(address):
    """Access key id, secret access key and session token."""

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
    return keys["AccessKeyId"], keys["SecretAccessKey"], keys["Token"]
