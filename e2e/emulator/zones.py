"""Three instances over three zones: a replacement lands in the zone that was freed, and sizes are reached evenly.

Prints JSON, one step after the other: zone → instances.
"""

import collections
import json

import boto3

ec2, scaling, balancing = (boto3.client(service) for service in ("ec2", "autoscaling", "elbv2"))
vpc = ec2.create_vpc(CidrBlock="10.47.0.0/16")["Vpc"]["VpcId"]
subnets = {
    zone: ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.47.{third}.0/24", AvailabilityZone=f"eu-west-1{zone}")["Subnet"]["SubnetId"]
    for third, zone in enumerate("abc")
}
template = {"LaunchTemplateName": "zones", "LaunchTemplateData": {"ImageId": "ami-12345678", "InstanceType": "t3.small"}}
ec2.create_launch_template(**template)
targets = balancing.create_target_group(Name="zones", Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"][0]["TargetGroupArn"]
steps = []


def group():
    return scaling.describe_auto_scaling_groups(AutoScalingGroupNames=["zones"])["AutoScalingGroups"][0]


def look(what):
    found = group()
    zones = collections.Counter(instance["AvailabilityZone"][-1] for instance in found["Instances"])
    health = balancing.describe_target_health(TargetGroupArn=targets)["TargetHealthDescriptions"]
    in_group = {instance["InstanceId"] for instance in found["Instances"]}
    assert set(found["VPCZoneIdentifier"].split(",")) == set(subnets.values()), found["VPCZoneIdentifier"]
    assert {target["Target"]["Id"] for target in health} == in_group, (what, health, in_group)
    # What the group says of a zone is what EC2 says of the instance's subnet.
    reservations = ec2.describe_instances(InstanceIds=sorted(in_group))["Reservations"] if in_group else []
    for instance in (instance for reservation in reservations for instance in reservation["Instances"]):
        assert instance["State"]["Name"] == "running", instance["State"]
        assert instance["SubnetId"] == subnets[instance["Placement"]["AvailabilityZone"][-1]]
    steps.append([what, found["DesiredCapacity"], "".join(sorted(zones.elements()))])


def in_zone(zone):
    return next(i["InstanceId"] for i in group()["Instances"] if i["AvailabilityZone"].endswith(zone))


scaling.create_auto_scaling_group(
    AutoScalingGroupName="zones",
    LaunchTemplate={"LaunchTemplateName": "zones", "Version": "$Latest"},
    MinSize=3,
    MaxSize=9,
    VPCZoneIdentifier=",".join(subnets.values()),
    TargetGroupARNs=[targets],
)
look("created")
for zone in "bcab":
    ended = ec2.terminate_instances(InstanceIds=[in_zone(zone)])["TerminatingInstances"]
    assert len(ended) == 1, ended
    look(f"terminated in {zone}")
two = [in_zone("a"), in_zone("c")]
ended = ec2.terminate_instances(InstanceIds=two)["TerminatingInstances"]
assert [instance["InstanceId"] for instance in ended] == two, ended
look("terminated in a and c at once")
scaling.set_desired_capacity(AutoScalingGroupName="zones", DesiredCapacity=5)
look("five")
scaling.update_auto_scaling_group(AutoScalingGroupName="zones", MinSize=6)
look("at least six")
scaling.update_auto_scaling_group(AutoScalingGroupName="zones", MinSize=1, DesiredCapacity=2)
look("two")
scaling.terminate_instance_in_auto_scaling_group(InstanceId=group()["Instances"][0]["InstanceId"], ShouldDecrementDesiredCapacity=False)
look("ended by the group, replaced")
scaling.terminate_instance_in_auto_scaling_group(InstanceId=group()["Instances"][0]["InstanceId"], ShouldDecrementDesiredCapacity=True)
look("ended by the group, smaller")

# A group of several instance types keeps its policy, whatever else is updated.
policy = {
    "LaunchTemplate": {
        "LaunchTemplateSpecification": {"LaunchTemplateName": "zones", "Version": "$Latest"},
        "Overrides": [{"InstanceType": "t3.small"}, {"InstanceType": "t3a.small"}],
    },
    "InstancesDistribution": {"OnDemandBaseCapacity": 1, "OnDemandPercentageAboveBaseCapacity": 0},
}
scaling.create_auto_scaling_group(
    AutoScalingGroupName="mixed",
    MixedInstancesPolicy=policy,
    MinSize=0,
    MaxSize=9,
    DesiredCapacity=3,
    VPCZoneIdentifier=",".join(subnets.values()),
)
scaling.update_auto_scaling_group(AutoScalingGroupName="mixed", MaxSize=8)
mixed = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=["mixed"])["AutoScalingGroups"][0]
overrides = mixed["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"]
assert [override["InstanceType"] for override in overrides] == ["t3.small", "t3a.small"], mixed
assert mixed["MixedInstancesPolicy"]["InstancesDistribution"]["OnDemandBaseCapacity"] == 1, mixed
assert sorted(i["AvailabilityZone"][-1] for i in mixed["Instances"]) == ["a", "b", "c"], mixed
for name in ("zones", "mixed"):
    scaling.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)
print(json.dumps(steps))
