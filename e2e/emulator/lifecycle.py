"""An instance that its group ends waits for the group's hook, shown as AWS shows it, and goes when the hook is completed or late.

Prints "done" as JSON.
"""

import json
import time

import boto3
from polling import until
from refusals import refused

ec2, scaling, dns = (boto3.client(service) for service in ("ec2", "autoscaling", "route53"))
vpc = ec2.create_vpc(CidrBlock="10.51.0.0/16")["Vpc"]["VpcId"]
subnets = [
    ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.51.{index}.0/24", AvailabilityZone=f"eu-west-1{zone}")["Subnet"]["SubnetId"]
    for index, zone in enumerate("ab")
]
tags = [{"ResourceType": "launch-template", "Tags": [{"Key": "Name", "Value": "lifecycle"}]}]
data = {"ImageId": "ami-12345678", "InstanceType": "t3.small", "TagSpecifications": [{"ResourceType": "instance", "Tags": tags[0]["Tags"]}]}
ec2.create_launch_template(LaunchTemplateName="lifecycle", LaunchTemplateData=data, TagSpecifications=tags)
scaling.create_auto_scaling_group(
    AutoScalingGroupName="lifecycle",
    LaunchTemplate={"LaunchTemplateName": "lifecycle"},
    MinSize=0,
    MaxSize=4,
    DesiredCapacity=2,
    VPCZoneIdentifier=",".join(subnets),
    LifecycleHookSpecificationList=[
        {"LifecycleHookName": "drain", "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING", "HeartbeatTimeout": 300}
    ],
)


def states():
    found = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=["lifecycle"])["AutoScalingGroups"][0]
    listed = {one["InstanceId"]: one["LifecycleState"] for one in found["Instances"]}
    one_by_one = scaling.describe_auto_scaling_instances()["AutoScalingInstances"]
    assert {one["InstanceId"]: one["LifecycleState"] for one in one_by_one if one["AutoScalingGroupName"] == "lifecycle"} == listed
    return listed


def machine(instance):
    return ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]["State"]["Name"]


hook = scaling.describe_lifecycle_hooks(AutoScalingGroupName="lifecycle")["LifecycleHooks"]
assert [one["LifecycleHookName"] for one in hook] == ["drain"] and "RoleARN" not in hook[0] and "NotificationTargetARN" not in hook[0], hook
first, second = sorted(states())
action = {"AutoScalingGroupName": "lifecycle", "LifecycleHookName": "drain"}
refused("ValidationError", scaling.complete_lifecycle_action, **action, InstanceId=first, LifecycleActionResult="CONTINUE")
ended = scaling.terminate_instance_in_auto_scaling_group(InstanceId=first, ShouldDecrementDesiredCapacity=False)["Activity"]
assert ended["AutoScalingGroupName"] == "lifecycle" and ended["StatusCode"] == "InProgress", ended
now = states()
assert now[first] == "Terminating:Wait" and now[second] == "InService" and len(now) == 3, now
assert machine(first) == "running"
scaling.record_lifecycle_action_heartbeat(**action, InstanceId=first)
time.sleep(2)
assert machine(first) == "running"
scaling.complete_lifecycle_action(**action, InstanceId=first, LifecycleActionResult="CONTINUE")
until("the end of the first", lambda: machine(first) in ("shutting-down", "terminated"))
until("its end in the group", lambda: first not in states())
refused("ValidationError", scaling.record_lifecycle_action_heartbeat, **action, InstanceId=first)

# A group that shrinks waits, too, and not for longer than the hook says.
scaling.put_lifecycle_hook(**action, LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING", HeartbeatTimeout=3)
scaling.set_desired_capacity(AutoScalingGroupName="lifecycle", DesiredCapacity=1)
waiting = [instance for instance, state in states().items() if state == "Terminating:Wait"]
assert len(waiting) == 1 and machine(waiting[0]) == "running", states()
until("the end of patience", lambda: machine(waiting[0]) in ("shutting-down", "terminated"))
assert list(states().values()) == ["InService"], states()

# EC2's own call waits for nobody.
last = next(iter(states()))
ec2.terminate_instances(InstanceIds=[last])
assert machine(last) in ("shutting-down", "terminated")
until("its replacement", lambda: list(states().values()) == ["InService"] and last not in states())

# What a template says of its instances is not what was said of the template.
versions = ec2.describe_launch_template_versions(LaunchTemplateName="lifecycle", Versions=["$Latest"])["LaunchTemplateVersions"]
assert versions[0]["LaunchTemplateData"]["TagSpecifications"] == data["TagSpecifications"], versions
found = ec2.describe_launch_templates(LaunchTemplateNames=["lifecycle"])["LaunchTemplates"][0]["Tags"]
assert found == tags[0]["Tags"], found

# Route 53 writes a star as its code, as AWS does.
zone = dns.create_hosted_zone(Name="example.com", CallerReference="lifecycle")["HostedZone"]["Id"]
record = {"Name": "*.apps.example.com", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "10.0.0.1"}]}
for change in ("UPSERT", "UPSERT"):
    dns.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": change, "ResourceRecordSet": record}]})
names = [one["Name"] for one in dns.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"] if one["Type"] == "A"]
assert names == ["\\052.apps.example.com."], names
dns.change_resource_record_sets(
    HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "DELETE", "ResourceRecordSet": {**record, "Name": names[0]}}]}
)
assert not [one for one in dns.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"] if one["Type"] == "A"]
print(json.dumps("done"))
