"""Changes a cluster behind the program's back: drift.py CLUSTER BATCH.

Prints the changes that a plan must show then, as JSON: {"part": {"field": [from, to]}}.
"""

import json
import sys

from account import Cluster, balancing, dns, ec2, iam, kms, rds, s3, scaling

cluster = Cluster(sys.argv[1])
expected = {}


def expect(part, field, found, wanted):
    expected.setdefault(part, {})[field] = [found, wanted]


def normal(document):
    """As the program writes a policy: without spaces, keys sorted."""
    return json.dumps(document, separators=(",", ":"), sort_keys=True)


def anything():
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def ingress(change, group, port, network):
    permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": network}]}
    getattr(ec2, f"{change}_security_group_ingress")(GroupId=group, IpPermissions=[permission])


def networks():
    nodes, balancer = (cluster.security_group(f"security-{name}") for name in ("nodes", "load-balancer"))
    ingress("authorize", nodes, 22, "0.0.0.0/0")
    expect("security-nodes", "ingress tcp 22 from 0.0.0.0/0", "allowed", None)
    ingress("revoke", balancer, 443, "0.0.0.0/0")
    expect("security-load-balancer", "ingress tcp 443 from 0.0.0.0/0", None, "allowed")
    database = cluster.security_group("security-rds")
    ec2.authorize_security_group_ingress(
        GroupId=database, IpPermissions=[{"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}]
    )
    expect("security-rds", "ingress everything from ::/0", "allowed", None)

    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.revoke_security_group_egress(GroupId=nodes, IpPermissions=everything)
    expect("security-nodes", "egress everything to 0.0.0.0/0", None, "allowed")
    smtp = {"IpProtocol": "tcp", "FromPort": 25, "ToPort": 25, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_egress(GroupId=database, IpPermissions=[smtp])
    expect("security-rds", "egress tcp 25 to 0.0.0.0/0", "allowed", None)

    public, private = cluster.route_table("public-routes"), cluster.route_table("private-routes")
    gateway = cluster.gateway()
    ec2.delete_route(RouteTableId=public["RouteTableId"], DestinationCidrBlock="0.0.0.0/0")
    expect("public-routes", "route 0.0.0.0/0", None, gateway)
    ec2.create_route(RouteTableId=private["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    expect("private-routes", "route 0.0.0.0/0", gateway, None)
    lost = cluster.subnet("public-eu-west-1b")
    association = next(one for one in public["Associations"] if one.get("SubnetId") == lost)
    ec2.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
    expect("public-routes", f"subnet {lost}", None, "associated")

    for part, now, wanted in (("public-eu-west-1a", False, True), ("private-eu-west-1b", True, False)):
        ec2.modify_subnet_attribute(SubnetId=cluster.subnet(part), MapPublicIpOnLaunch={"Value": now})
        expect(part, "public addresses", str(now).lower(), str(wanted).lower())

    endpoint = cluster.part("describe_vpc_endpoints", "VpcEndpoints", "s3-endpoint")["VpcEndpointId"]
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, RemoveRouteTableIds=[private["RouteTableId"]])
    expect("s3-endpoint", f"route table {private['RouteTableId']}", None, "associated")


def bucket():
    name = cluster.bucket
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
    expect("bucket", "versioning", "Suspended", "Enabled")
    s3.delete_public_access_block(Bucket=name)
    expect("bucket", "public access", "open", "blocked")
    s3.delete_bucket_lifecycle(Bucket=name)
    older = "older versions after 90 days"
    expect("bucket", "expiry audit", None, f"audit/, after 365 days, {older}")
    expect("bucket", "expiry backups", None, f"backup/, after 30 days, {older}")
    expect("bucket", "expiry cluster", None, f"cluster/, {older}")
    expect("bucket", "expiry unfinished-uploads", None, "everything, unfinished uploads after 7 days")
    for prefix in ("users", "tokens", "registry"):
        expect("bucket", f"expiry {prefix}", None, f"{prefix}/, {older}, delete markers with nothing behind them")
    for kind in ("nodes", "managers"):
        words = f"cluster/{kind}/, older versions after a day, delete markers with nothing behind them"
        expect("bucket", f"expiry {kind}", None, words)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})
    expect("bucket", "encryption", "AES256", cluster.key()["Arn"])
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": "futuswarm:cluster", "Value": cluster.name}]})
    expect("bucket", "tag Name", None, cluster.group("bucket"))
    expect("bucket", "tag futuswarm:part", None, "bucket")
    spec = json.loads(s3.get_object(Bucket=name, Key="cluster/spec")["Body"].read())
    value = spec.get("value", spec)
    assert value["domain"], spec
    value["domain"] = "elsewhere.localhost"
    s3.put_object(Bucket=name, Key="cluster/spec", Body=json.dumps(spec).encode())
    expect("spec", "domain", "elsewhere.localhost", "apps.localhost")


def identities():
    manager, worker = cluster.role("manager"), cluster.role("worker")
    wanted = iam.get_role_policy(RoleName=worker, PolicyName="node")["PolicyDocument"]
    iam.put_role_policy(RoleName=worker, PolicyName="node", PolicyDocument=json.dumps(anything()))
    expect("worker-role", "policy node", normal(anything()), normal(wanted))
    iam.put_role_policy(RoleName=worker, PolicyName="extra", PolicyDocument=json.dumps(anything()))
    expect("worker-role", "policy extra", normal(anything()), None)
    wanted = iam.get_role(RoleName=manager)["Role"]["AssumeRolePolicyDocument"]
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
    }
    iam.update_assume_role_policy(RoleName=manager, PolicyDocument=json.dumps(trust))
    expect("manager-role", "trust", normal(trust), normal(wanted))
    iam.untag_role(RoleName=manager, TagKeys=["Name"])
    expect("manager-role", "tag Name", None, cluster.group("manager-role"))
    attached = iam.create_policy(PolicyName="everything", PolicyDocument=json.dumps(anything()))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=manager, PolicyArn=attached)
    expect("manager-role", f"policy {attached}", "attached", None)
    iam.remove_role_from_instance_profile(InstanceProfileName=worker, RoleName=worker)
    expect("worker-profile", "role", None, worker)

    kms.disable_key_rotation(KeyId=cluster.key()["KeyId"])
    expect("cluster-key", "rotation", "off", "yearly")
    managers = cluster.key("managers")["KeyId"]
    # Whether a key is enabled is asked only of one that does not rotate.
    kms.disable_key_rotation(KeyId=managers)
    expect("manager-key", "rotation", "off", "yearly")
    kms.disable_key(KeyId=managers)
    expect("manager-key", "state", "Disabled", "Enabled")

    pair = cluster.key_pair()
    ec2.delete_tags(Resources=[pair["KeyPairId"]], Tags=[{"Key": "Name"}])
    expect("ssh", "tag Name", None, cluster.group("ssh"))


def balancer():
    arn, target = cluster.balancer(), cluster.target_group()
    balancing.modify_target_group(TargetGroupArn=target, HealthCheckPath="/elsewhere", HealthyThresholdCount=5)
    check = "{} every 10 s within 5 s answers 200, {} up 2 down"
    expect("target-group", "health check", check.format("/elsewhere", 5), check.format("/status", 2))
    words = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "ContentType": "text/plain"}}
    balancing.modify_listener(ListenerArn=cluster.listener(80), DefaultActions=[words])
    expect("http", "action", "fixed-response", "redirect to HTTPS on port 443")
    balancing.modify_listener(ListenerArn=cluster.listener(443), SslPolicy="ELBSecurityPolicy-2016-08")
    expect("https", "TLS", "ELBSecurityPolicy-2016-08", "ELBSecurityPolicy-TLS13-1-2-Res-2021-06")
    idle = "idle_timeout.timeout_seconds"
    balancing.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[{"Key": idle, "Value": "3600"}])
    expect("load-balancer", idle, "3600", "60")
    wanted, other = (cluster.security_group(f"security-{name}") for name in ("load-balancer", "nodes"))
    balancing.set_security_groups(LoadBalancerArn=arn, SecurityGroups=[wanted, other])
    expect("load-balancer", "security group", f"{wanted} {other}", wanted)

    zone = dns.list_hosted_zones_by_name(DNSName="apps.localhost")["HostedZones"][0]["Id"]
    sets = dns.list_resource_record_sets(HostedZoneId=zone, StartRecordName="apps.localhost")["ResourceRecordSets"]
    alias = next(one for one in sets if one["Type"] == "A" and one["Name"] == "apps.localhost.")["AliasTarget"]
    elsewhere = {"Name": "*.apps.localhost", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "203.0.113.7"}]}
    change = {"Action": "UPSERT", "ResourceRecordSet": elsewhere}
    dns.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [change]})
    expect("dns", "*.apps.localhost", "something else", alias["DNSName"].rstrip("."))


def nodes():
    workers, managers = cluster.group("workers"), cluster.group("managers")
    scaling.update_auto_scaling_group(AutoScalingGroupName=workers, MaxSize=5, DesiredCapacity=3)
    expect("node-workers", "nodes", "3", "2")
    expect("node-workers", "most", "5", "2")
    scaling.delete_lifecycle_hook(AutoScalingGroupName=workers, LifecycleHookName="futuswarm-drain")
    expect("node-workers", "hook at the end", None, "300 s, then CONTINUE")
    tag = {"ResourceId": workers, "ResourceType": "auto-scaling-group", "Key": "Name"}
    scaling.delete_tags(Tags=[tag])
    expect("node-workers", "tag Name", None, cluster.group("node-workers"))
    scaling.resume_processes(AutoScalingGroupName=managers, ScalingProcesses=["AZRebalance"])
    scaling.update_auto_scaling_group(AutoScalingGroupName=managers, NewInstancesProtectedFromScaleIn=False)
    expect("node-managers", "managers are kept", None, "true")
    found = ec2.describe_launch_template_versions(LaunchTemplateName=managers, Versions=["$Latest"])
    content = found["LaunchTemplateVersions"][0]["LaunchTemplateData"] | {"InstanceType": "m5.large"}
    ec2.create_launch_template_version(LaunchTemplateName=managers, LaunchTemplateData=content)
    expect("template-managers", "instance type", "m5.large", "t3.small")
    expect("node-managers", "template", f"{managers} version 1", f"{managers} version (known after apply)")


def data():
    name = cluster.group("db")
    rds.modify_db_instance(
        DBInstanceIdentifier=name,
        BackupRetentionPeriod=3,
        DBInstanceClass="db.t4g.small",
        DeletionProtection=False,
        ApplyImmediately=True,
    )
    expect("rds", "backups", "3 days", "7 days")
    expect("rds", "class", "db.t4g.small", "db.t4g.micro")
    expect("rds", "deletion protection", "false", "true")
    ec2.delete_tags(Resources=[cluster.vpc()], Tags=[{"Key": "Name"}])
    expect("vpc", "tag Name", None, cluster.group("vpc"))
    nodes = cluster.security_group("security-nodes")
    ec2.create_tags(Resources=[nodes], Tags=[{"Key": "Name", "Value": "other"}, {"Key": "theirs", "Value": "stays"}])
    expect("security-nodes", "tag Name", "other", cluster.group("security-nodes"))


if __name__ == "__main__":
    batches = [networks, bucket, identities, balancer, nodes, data]
    {batch.__name__: batch for batch in batches}[sys.argv[2]]()
    print(json.dumps(expected))
