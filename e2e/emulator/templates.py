"""A group whose template got a new version, with other user data: it grows and replaces from that version.

Prints JSON: user data of each version, then how many instances run after the replacement.
"""

import base64
import json
import time

import boto3

ec2, scaling = boto3.client("ec2"), boto3.client("autoscaling")
vpc = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.99.0.0/24", AvailabilityZone="eu-west-1a")["Subnet"]["SubnetId"]


def data(text):
    return {"ImageId": "ami-12345678", "InstanceType": "t3.small", "UserData": base64.b64encode(text).decode()}


ec2.create_launch_template(LaunchTemplateName="changing", LaunchTemplateData=data(b"first"))
template = {"LaunchTemplateName": "changing", "Version": "1"}
scaling.create_auto_scaling_group(
    AutoScalingGroupName="changing", LaunchTemplate=template, MinSize=1, MaxSize=3, DesiredCapacity=1, VPCZoneIdentifier=subnet
)
version = ec2.create_launch_template_version(LaunchTemplateName="changing", LaunchTemplateData=data(b"second"))
template["Version"] = str(version["LaunchTemplateVersion"]["VersionNumber"])
scaling.update_auto_scaling_group(AutoScalingGroupName="changing", LaunchTemplate=template, DesiredCapacity=2)


def instances():
    found = ec2.describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["running"]}])["Reservations"]
    tags = [{tag["Key"]: tag["Value"] for tag in i["Tags"]} | {"id": i["InstanceId"]} for r in found for i in r["Instances"]]
    return [tag for tag in tags if tag.get("aws:autoscaling:groupName") == "changing"]


first = instances()[0]["id"]
ec2.terminate_instances(InstanceIds=[first])
for _ in range(20):
    left = [i["id"] for i in instances()]
    if len(left) == 2 and first not in left:
        break
    time.sleep(0.5)
versions = ec2.describe_launch_template_versions(LaunchTemplateName="changing")["LaunchTemplateVersions"]
told = [base64.b64decode(v["LaunchTemplateData"].get("UserData", "")).decode() for v in versions]
print(json.dumps([told, len(left)]))
