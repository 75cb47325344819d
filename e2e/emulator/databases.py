"""A database that is one: made, reached over TLS with the secret's password, given another, snapshot, deleted, restored.

Arguments: network namespace, file of the certificate authority, tools tree. Prints what the server says of itself, as JSON.
"""

import json
import os
import socket
import subprocess
import sys
import time

import boto3
from polling import until
from refusals import refused

netns, authority, tree = sys.argv[1:4]
ec2, rds, kms, secrets = (boto3.client(service) for service in ("ec2", "rds", "kms", "secretsmanager"))
vpc = ec2.create_vpc(CidrBlock="10.50.0.0/16")["Vpc"]["VpcId"]
subnets = [
    ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.50.{index}.0/24", AvailabilityZone=f"eu-west-1{zone}")["Subnet"]["SubnetId"]
    for index, zone in enumerate("abc")
]
group = ec2.create_security_group(GroupName="databases", Description="databases", VpcId=vpc)["GroupId"]
key = kms.create_key()["KeyMetadata"]["Arn"]
rds.create_db_subnet_group(DBSubnetGroupName="databases", DBSubnetGroupDescription="private", SubnetIds=subnets)
wanted = {
    "DBInstanceIdentifier": "apps",
    "Engine": "postgres",
    "EngineVersion": "17.6",
    "DBInstanceClass": "db.t4g.micro",
    "AllocatedStorage": 20,
    "StorageType": "gp3",
    "StorageEncrypted": True,
    "KmsKeyId": key,
    "MultiAZ": True,
    "BackupRetentionPeriod": 7,
    "DeletionProtection": True,
    "MasterUsername": "futuswarm",
    "DBName": "apps",
}


def instance(name="apps"):
    return rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]


def ready(name="apps"):
    for _ in range(240):
        found = instance(name)
        assert ("Endpoint" in found) == (found["DBInstanceStatus"] == "available"), found
        if found["DBInstanceStatus"] == "available":
            return found
        time.sleep(0.25)
    raise AssertionError(found)


def password(found):
    value = json.loads(secrets.get_secret_value(SecretId=found["MasterUserSecret"]["SecretArn"])["SecretString"])
    assert value["username"] == "futuswarm", value["username"]
    return value["password"]


RESOLVE = """
import socket, struct, sys
name = b"".join(bytes([len(label)]) + label.encode() for label in sys.argv[1].split(".")) + bytes(1)
asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asked.settimeout(5)
asked.sendto(struct.pack(">6H", 1, 256, 1, 0, 0, 0) + name + struct.pack(">2H", 1, 1), ("169.254.169.253", 53))
answer = asked.recv(512)
print(socket.inet_ntoa(answer[-4:]) if struct.unpack(">6H", answer[:12])[3] else "")
"""


def resolve(name):
    command = ["ip", "netns", "exec", netns, sys.executable, "-c", RESOLVE, name]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def psql(found, secret, statement, database="apps", tls="verify-full", user="futuswarm"):
    """What a statement answers, or None when the server refuses."""
    name = found["Endpoint"]["Address"]
    library = os.path.join(tree, "usr/lib/x86_64-linux-gnu")
    loader = [os.path.join(tree, "usr/lib64/ld-linux-x86-64.so.2"), "--library-path", library]
    place = f"host={name} hostaddr={resolve(name)} port=5432 dbname={database} user={user} sslmode={tls} sslrootcert={authority}"
    command = ["ip", "netns", "exec", netns, *loader, os.path.join(tree, "usr/lib/postgresql/17/bin/psql"), place, "-X", "-At"]
    environment = {"PGPASSWORD": secret, "PATH": os.environ["PATH"], "PGCONNECT_TIMEOUT": "5"}
    done = subprocess.run([*command, "-c", statement], capture_output=True, text=True, env=environment)
    psql.refusal = done.stderr
    return done.stdout.strip() if done.returncode == 0 else None


made = rds.create_db_instance(
    **wanted, ManageMasterUserPassword=True, DBSubnetGroupName="databases", VpcSecurityGroupIds=[group]
)["DBInstance"]
assert made["DBInstanceStatus"] == "creating" and "Endpoint" not in made, made
found = ready()
for field, value in wanted.items():
    assert found[field] == value, (field, found[field])
assert found["PubliclyAccessible"] is False
assert [one["VpcSecurityGroupId"] for one in found["VpcSecurityGroups"]] == [group], found["VpcSecurityGroups"]
assert {one["SubnetIdentifier"] for one in found["DBSubnetGroup"]["Subnets"]} == set(subnets), found["DBSubnetGroup"]
first = password(found)
assert len(first) >= 32 and password(found) == first
version = psql(found, first, "select version()")
assert version and version.startswith("PostgreSQL 17"), psql.refusal
assert psql(found, first, "select ssl from pg_stat_ssl where pid = pg_backend_pid()") == "t"
assert psql(found, first, "select rolsuper or rolreplication from pg_roles where rolname = current_user") == "f"
assert psql(found, first, "create table kept as select 42 as answer") is not None, psql.refusal
assert psql(found, first, "create database other", "postgres") is not None, psql.refusal
assert psql(found, "wrong", "select 1") is None and "authentication failed" in psql.refusal, psql.refusal
assert psql(found, first, "select 1", tls="disable") is None and "no encryption" in psql.refusal, psql.refusal
assert psql(found, first, "select 1", user="rdsadmin") is None, "the owner of everything is not for clients"


def answers_here():
    """Whether a PostgreSQL answers at the database's address outside of the namespace: 'S' or 'N' to the wish for TLS."""
    try:
        with socket.create_connection((resolve(found["Endpoint"]["Address"]), 5432), 1) as outside:
            outside.sendall(bytes([0, 0, 0, 8, 4, 210, 22, 47]))
            return outside.recv(1) in (b"S", b"N")
    except OSError:
        return False


assert not answers_here(), "the database is reached from outside of the namespace"

# Another password, of the database's own choice, then of ours.
rds.modify_db_instance(DBInstanceIdentifier="apps", RotateMasterUserPassword=True, ApplyImmediately=True)
second = password(found)
assert second != first


until("the new password", lambda: psql(found, second, "select 1") == "1")
assert psql(found, first, "select 1") is None


# A snapshot of a server that runs would be an empty one.
refused("InvalidParameterCombination", rds.create_db_snapshot, DBInstanceIdentifier="apps", DBSnapshotIdentifier="running")
refused("InvalidParameterCombination", rds.delete_db_instance, DBInstanceIdentifier="apps", FinalDBSnapshotIdentifier="last")
rds.modify_db_instance(DBInstanceIdentifier="apps", DeletionProtection=False, ApplyImmediately=True)
refused("InvalidParameterCombination", rds.delete_db_instance, DBInstanceIdentifier="apps")
secret = found["MasterUserSecret"]["SecretArn"]
rds.delete_db_instance(DBInstanceIdentifier="apps", FinalDBSnapshotIdentifier="last")
refused("DBInstanceNotFound", instance)
refused("ResourceNotFoundException", secrets.get_secret_value, SecretId=secret)
until("the name to be gone", lambda: resolve(found["Endpoint"]["Address"]) == "")
assert rds.describe_db_snapshots(DBSnapshotIdentifier="last")["DBSnapshots"][0]["Status"] == "available"

# The snapshot holds the data, also when the server that fills it has not stopped yet.
rds.restore_db_instance_from_db_snapshot(
    DBInstanceIdentifier="again", DBSnapshotIdentifier="last", DBSubnetGroupName="databases", VpcSecurityGroupIds=[group]
)
rds.modify_db_instance(DBInstanceIdentifier="again", MasterUserPassword="of my own choice", ApplyImmediately=True)
again = ready("again")
until("the chosen password", lambda: psql(again, "of my own choice", "select answer from kept") == "42")
rds.delete_db_instance(DBInstanceIdentifier="again", SkipFinalSnapshot=True)

# Another one of the same name, made before anybody has looked: it has its own password and nothing of the one before.
rds.create_db_instance(
    DBInstanceIdentifier="again",
    Engine="postgres",
    DBInstanceClass="db.t4g.micro",
    AllocatedStorage=20,
    MasterUsername="futuswarm",
    MasterUserPassword="of the second",
    DBName="apps",
    DBSubnetGroupName="databases",
    VpcSecurityGroupIds=[group],
)
second = ready("again")
until("the second one's password", lambda: psql(second, "of the second", "select to_regclass('kept') is null") == "t")
rds.delete_db_instance(DBInstanceIdentifier="again", SkipFinalSnapshot=True)
print(json.dumps(version.split(" on ")[0].split(" (")[0]))
