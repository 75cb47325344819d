"""Puts into the account, as its owner, what the old tool has left. Arguments: a bucket to make, its region.

The objects are those that pycryptodome wrote (`crates/vault/src/legacy/golden.json`), each with its data key wrapped by KMS in the place of
what stands there for the vault in memory. Prints JSON: the key's ARN, that of another key, and each object's value as a list of bytes.
"""

import base64
import json
import pathlib
import sys
from concurrent.futures import ThreadPoolExecutor

import boto3

bucket, region = sys.argv[1:3]
s3, kms = (boto3.client(service, region_name=region) for service in ("s3", "kms"))
s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
key, other = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
golden = pathlib.Path(__file__).parent.parent / "crates/vault/src/legacy/golden.json"
values = {}
for row in json.loads(golden.read_text()):
    body = json.loads(row["body"])
    # The ARN, a line's end, and the 64 bytes.
    data_key = base64.b64decode(body["key"]).partition(b"\n")[2]
    assert len(data_key) == 64
    # The old tool had no encryption context.
    wrapped = kms.encrypt(KeyId=key, Plaintext=data_key)["CiphertextBlob"]
    body["key"] = base64.b64encode(wrapped).decode()
    s3.put_object(Bucket=bucket, Key=row["name"], Body=json.dumps(body).encode())
    values[row["name"]] = list(base64.b64decode(row["value"]))

# One more than S3 lists at once.
with ThreadPoolExecutor(8) as threads:
    list(threads.map(lambda number: s3.put_object(Bucket=bucket, Key=f"many/{number:04}", Body=b"{}"), range(1001)))
print(json.dumps({"key": key, "other": other, "values": values}))
