"""Puts what nodes try to reach into the account, as its owner. Arguments: bucket, cluster key, manager key.

Prints JSON: what was sealed with each key, in base64.
"""

import base64
import json
import sys

import boto3

bucket, cluster_key, manager_key = sys.argv[1:4]
s3, kms = boto3.client("s3"), boto3.client("kms")
for key in ["cluster/tokens/worker", "cluster/tokens/manager", "apps/shop/config", "registry/blob"]:
    s3.put_object(Bucket=bucket, Key=key, Body=b"{}")
s3.create_bucket(Bucket="somebody-elses", CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
s3.put_object(Bucket="somebody-elses", Key="secret", Body=b"{}")
context = {"futuswarm:cluster": "local-api", "futuswarm:kind": "join-token", "futuswarm:name": "worker"}


def sealed(key):
    answer = kms.encrypt(KeyId=key, Plaintext=b"token", EncryptionContext=context)
    return base64.b64encode(answer["CiphertextBlob"]).decode()


print(json.dumps({"cluster": sealed(cluster_key), "managers": sealed(manager_key)}))
