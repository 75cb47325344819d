"""Which resources of a cluster have its tags: tags.py CLUSTER TEAM.

Prints {"right": ["kind name", …], "wrong": [["kind name", tags], …]}; a resource is right when it carries `futuswarm:cluster`,
`Name` and `team` with the values that are wanted.
"""

import json
import sys

from account import Cluster, acm, balancing, ec2, iam, kms, rds, s3, scaling

name, team = sys.argv[1:]
cluster = Cluster(name)
right, wrong = [], []


def check(kind, what, tags):
    tags = {tag.get("Key", tag.get("TagKey")): tag.get("Value", tag.get("TagValue")) for tag in tags}
    named = tags.get("Name", "").startswith("futuswarm-")
    good = named and tags.get("futuswarm:cluster") == name and tags.get("team") == team
    right.append(f"{kind} {what}") if good else wrong.append([f"{kind} {what}", tags])


def tag(one, key):
    return next((tag["Value"] for tag in one.get("Tags", []) if tag["Key"] == key), "?")


vpc = cluster.vpc()
ours = [{"Name": "vpc-id", "Values": [vpc]}]
check("vpc", "", ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["Tags"])
for operation, key, kind in (
    ("describe_subnets", "Subnets", "subnet"),
    ("describe_route_tables", "RouteTables", "route table"),
    ("describe_security_groups", "SecurityGroups", "security group"),
    ("describe_vpc_endpoints", "VpcEndpoints", "endpoint"),
):
    for one in getattr(ec2, operation)(Filters=ours)[key]:
        main = any(association.get("Main") for association in one.get("Associations", []))
        if not main and one.get("GroupName") != "default":
            check(kind, tag(one, "futuswarm:part"), one.get("Tags", []))
gateway = ec2.describe_internet_gateways(InternetGatewayIds=[cluster.gateway()])["InternetGateways"][0]
check("internet gateway", "", gateway["Tags"])
check("key pair", "", cluster.key_pair().get("Tags", []))
for group in ("managers", "workers"):
    template = cluster.group(group)
    found = ec2.describe_launch_templates(LaunchTemplateNames=[template])["LaunchTemplates"][0]
    # The emulator describes a template with the tags that it was made with.
    tags = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [found["LaunchTemplateId"]]}])["Tags"]
    check("launch template", group, tags)
    version = ec2.describe_launch_template_versions(LaunchTemplateName=template, Versions=["$Latest"])
    for specification in version["LaunchTemplateVersions"][0]["LaunchTemplateData"]["TagSpecifications"]:
        check(f"new {specification['ResourceType']}", group, specification["Tags"])
    found = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[template])["AutoScalingGroups"][0]
    check("auto scaling group", group, found["Tags"])
    assert all(tag["PropagateAtLaunch"] for tag in found["Tags"])
for role in ("manager", "worker"):
    check("role", role, iam.list_role_tags(RoleName=cluster.role(role))["Tags"])
    check("profile", role, iam.get_instance_profile(InstanceProfileName=cluster.role(role))["InstanceProfile"]["Tags"])
for key in ("cluster", "managers"):
    check("key", key, kms.list_resource_tags(KeyId=cluster.key(key)["KeyId"])["Tags"])
check("bucket", "", s3.get_bucket_tagging(Bucket=cluster.bucket)["TagSet"])
arns = {"balancer": cluster.balancer(), "target group": cluster.target_group()}
arns |= {f"listener {port}": cluster.listener(port) for port in (80, 443)}
for kind, arn in arns.items():
    check(kind, "", balancing.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"])
for one in acm.list_certificates()["CertificateSummaryList"]:
    check("certificate", one["DomainName"], acm.list_tags_for_certificate(CertificateArn=one["CertificateArn"])["Tags"])
database = rds.describe_db_instances(DBInstanceIdentifier=cluster.group("db"))["DBInstances"][0]
check("database", "", rds.list_tags_for_resource(ResourceName=database["DBInstanceArn"])["TagList"])
group = f"arn:aws:rds:{cluster.region}:{cluster.account}:subgrp:{cluster.group('db')}"
check("database subnets", "", rds.list_tags_for_resource(ResourceName=group)["TagList"])
print(json.dumps({"right": sorted(right), "wrong": wrong}))
