"""A database that nobody deletes, in the account's default network. Prints its endpoint, as JSON."""

import json

import boto3

rds = boto3.client("rds")
rds.create_db_instance(
    DBInstanceIdentifier="left",
    Engine="postgres",
    DBInstanceClass="db.t4g.micro",
    AllocatedStorage=20,
    MasterUsername="futuswarm",
    MasterUserPassword="chosen by its client",
)
rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier="left", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
print(json.dumps(rds.describe_db_instances(DBInstanceIdentifier="left")["DBInstances"][0]["Endpoint"]["Address"]))
