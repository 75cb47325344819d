"""What an independent client sees of the account: one line per resource, without the ids that differ from run to run.

Prints JSON: {"kind": ["name", …]}. The account's default VPC and what belongs to it are left out.
"""

import json

import boto3


def name(resource):
    return next((tag["Value"] for tag in resource.get("Tags", []) if tag["Key"] == "Name"), "unnamed")


def pages(client, operation, key, **arguments):
    for page in client.get_paginator(operation).paginate(**arguments):
        yield from page[key]


ec2, iam, kms, s3 = (boto3.client(service) for service in ("ec2", "iam", "kms", "s3"))
acm, dns, rds = (boto3.client(service) for service in ("acm", "route53", "rds"))
scaling, balancing = boto3.client("autoscaling"), boto3.client("elbv2")
vpcs = [vpc for vpc in pages(ec2, "describe_vpcs", "Vpcs") if not vpc["IsDefault"]]
ours = {vpc["VpcId"] for vpc in vpcs}


def in_vpc(operation, key):
    return [name(found) for found in pages(ec2, operation, key) if found["VpcId"] in ours]


found = {
    "vpc": [name(vpc) for vpc in vpcs],
    "subnet": [f"{name(subnet)} {subnet['CidrBlock']}" for subnet in pages(ec2, "describe_subnets", "Subnets") if subnet["VpcId"] in ours],
    "internet gateway": [
        f"{name(gateway)} attached {len(gateway['Attachments'])}"
        for gateway in pages(ec2, "describe_internet_gateways", "InternetGateways")
    ],
    "route table": [
        f"{name(table)} routes {len(table['Routes'])} subnets {len([a for a in table['Associations'] if not a.get('Main')])}"
        for table in pages(ec2, "describe_route_tables", "RouteTables")
        if table["VpcId"] in ours
    ],
    "endpoint": in_vpc("describe_vpc_endpoints", "VpcEndpoints"),
    "peering": [
        f"{name(peering)} {peering['Status']['Code']}"
        for peering in pages(ec2, "describe_vpc_peering_connections", "VpcPeeringConnections")
        if peering["Status"]["Code"] not in ("deleted", "rejected", "failed")
    ],
    "certificate": [
        f"{certificate['DomainName']} {certificate['Status']}"
        for certificate in pages(acm, "list_certificates", "CertificateSummaryList")
    ],
    "record": [
        f"{record['Name']} {record['Type']}"
        for zone in pages(dns, "list_hosted_zones", "HostedZones")
        for record in pages(dns, "list_resource_record_sets", "ResourceRecordSets", HostedZoneId=zone["Id"])
        if record["Type"] in ("A", "CNAME")
    ],
    "database": [
        f"{found['DBInstanceIdentifier']} {found['DBInstanceStatus']} {found['DBInstanceClass']} encrypted {found['StorageEncrypted']}"
        for found in pages(rds, "describe_db_instances", "DBInstances")
    ],
    "database subnets": [
        f"{group['DBSubnetGroupName']} {len(group['Subnets'])}"
        for group in pages(rds, "describe_db_subnet_groups", "DBSubnetGroups")
    ],
    "security group": [
        f"{group['GroupName']} in {len(group['IpPermissions'])} out {len(group['IpPermissionsEgress'])}"
        for group in pages(ec2, "describe_security_groups", "SecurityGroups")
        if group["VpcId"] in ours
    ],
    "key pair": [pair["KeyName"] for pair in ec2.describe_key_pairs()["KeyPairs"]],
    "launch template": [
        f"{template['LaunchTemplateName']} version {template['LatestVersionNumber']}"
        for template in pages(ec2, "describe_launch_templates", "LaunchTemplates")
    ],
    "instance": [
        name(instance)
        for reservation in pages(ec2, "describe_instances", "Reservations")
        for instance in reservation["Instances"]
        if instance["State"]["Name"] in ("pending", "running", "stopping", "stopped")
    ],
    "group": [
        f"{group['AutoScalingGroupName']} {group['MinSize']}/{group['DesiredCapacity']}/{group['MaxSize']} targets {len(group['TargetGroupARNs'])}"
        for group in pages(scaling, "describe_auto_scaling_groups", "AutoScalingGroups")
    ],
    "target group": [group["TargetGroupName"] for group in pages(balancing, "describe_target_groups", "TargetGroups")],
    "role": [role["RoleName"] for role in pages(iam, "list_roles", "Roles")],
    "instance profile": [
        f"{profile['InstanceProfileName']} roles {len(profile['Roles'])}"
        for profile in pages(iam, "list_instance_profiles", "InstanceProfiles")
    ],
    "bucket": [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]],
    "key": [
        f"{key['Description']} {key['KeyState']}"
        for key in (kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in pages(kms, "list_keys", "Keys"))
        if key["KeyState"] != "PendingDeletion" and not key["Description"].startswith("Default ")
    ],
    "alias": [alias["AliasName"] for alias in pages(kms, "list_aliases", "Aliases") if not alias["AliasName"].startswith("alias/aws/")],
}
found["load balancer"] = []
for balancer in pages(balancing, "describe_load_balancers", "LoadBalancers"):
    listeners = balancing.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    found["load balancer"].append(f"{balancer['LoadBalancerName']} listeners {len(listeners)}")
found["object"] = [
    f"{bucket}/{item['Key']}"
    for bucket in found["bucket"]
    for item in s3.list_objects_v2(Bucket=bucket).get("Contents", [])
]
print(json.dumps({kind: sorted(names) for kind, names in found.items() if names}, indent=1, sort_keys=True))
