"""Puts what nodes try to reach into the account, as its owner. Arguments: bucket, cluster key, manager key.

Prints JSON: what was sealed with each key and for the login, in base64, the hosted zone of the cluster's domain, and the secrets of two
databases, ours and another.
"""

import base64
import json
import sys

import boto3

bucket, cluster_key, manager_key = sys.argv[1:4]
s3, kms, rds = boto3.client("s3"), boto3.client("kms"), boto3.client("rds")
login = ["cluster/login", *(f"cluster/login/{name}" for name in ("provider", "client-secret", "passphrases", "locked", "other"))]
for key in ["cluster/tokens/worker", "cluster/tokens/manager", "apps/shop/config", "registry/blob", "cli/0.1.0/program", *login]:
    s3.put_object(Bucket=bucket, Key=key, Body=b"{}")
s3.create_bucket(Bucket="somebody-elses", CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
s3.put_object(Bucket="somebody-elses", Key="secret", Body=b"{}")
context = {"futuswarm:cluster": "local-api", "futuswarm:kind": "join-token", "futuswarm:name": "worker"}


def sealed(key, context=context):
    answer = kms.encrypt(KeyId=key, Plaintext=b"token", EncryptionContext=context)
    return base64.b64encode(answer["CiphertextBlob"]).decode()


zone = boto3.client("route53").list_hosted_zones()["HostedZones"][0]["Id"].rsplit("/")[-1]

# Another database of the account, whose master user is nobody's here.
rds.create_db_instance(
    DBInstanceIdentifier="elsewhere",
    Engine="postgres",
    DBInstanceClass="db.t4g.micro",
    AllocatedStorage=20,
    MasterUsername="somebody",
    ManageMasterUserPassword=True,
)


def secret(instance):
    return rds.describe_db_instances(DBInstanceIdentifier=instance)["DBInstances"][0]["MasterUserSecret"]["SecretArn"]


print(
    json.dumps(
        {
            "cluster": sealed(cluster_key),
            "managers": sealed(manager_key),
            "login": sealed(cluster_key, context | {"futuswarm:kind": "login", "futuswarm:name": "client-secret"}),
            "zone": zone,
            "our_secret": secret("futuswarm-local-api-db"),
            "their_secret": secret("elsewhere"),
        }
    )
)
