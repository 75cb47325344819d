"""Makes requests that AWS would refuse, one of each kind, as no SDK would let one: the control of the contract check.

Prints JSON: what the check must say of each, as [operation, kind, member], in their order. What the emulator says of them does
not matter.
"""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ENDPOINT, REGION = os.environ["AWS_ENDPOINT_URL"], os.environ["AWS_REGION"]
CREDENTIALS = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
VERSIONS = {"ec2": "2016-11-15", "iam": "2010-05-08", "autoscaling": "2011-01-01", "elasticloadbalancing": "2015-12-01"}


def form(service, action, **fields):
    body = urllib.parse.urlencode({"Action": action, "Version": VERSIONS[service], **fields})
    return service, "POST", "/", {"Content-Type": "application/x-www-form-urlencoded"}, body


def target(service, target, body):
    return service, "POST", "/", {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target}, json.dumps(body)


ROLE = {"AssumeRolePolicyDocument": "{}"}
VERSIONING = '<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Maybe</Status></VersioningConfiguration>'
CHANGE = (
    '<ChangeResourceRecordSetsRequest xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><ChangeBatch><Changes><Change>'
    "<Action>UPSERT</Action><ResourceRecordSet><Name>a</Name><Type>TXT</Type><TTL>2147483648</TTL></ResourceRecordSet>"
    "</Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
)
TTL = "ChangeBatch.Changes[1].ResourceRecordSet.TTL"
CONTROLS = [
    (form("iam", "CreateRole", RoleName="r" * 65, **ROLE), ["iam CreateRole", "too long", "RoleName"]),
    (form("iam", "CreateRole", RoleName="a/b", **ROLE), ["iam CreateRole", "pattern", "RoleName"]),
    (form("iam", "CreateRole", RoleName="r", **ROLE, MaxSessionDuration=60), ["iam CreateRole", "too small", "MaxSessionDuration"]),
    (form("ec2", "CreateLaunchTemplate", LaunchTemplateName="ab", **{"LaunchTemplateData.ImageId": "ami-1"}),
     ["ec2 CreateLaunchTemplate", "documented", "LaunchTemplateName"]),
    (form("ec2", "CreateVpc", CidrBlock="10.0.0.0/16", InstanceTenancy="shared"), ["ec2 CreateVpc", "enum", "InstanceTenancy"]),
    (form("ec2", "CreateVpc", CidrBlock="10.0.0.0/16", Colour="red"), ["ec2 CreateVpc", "unknown member", "Colour"]),
    (form("ec2", "CreateTags", **{"ResourceId.1": "vpc-1", "Tag.1.Key": "k" * 129, "Tag.1.Value": "v"}),
     ["ec2 CreateTags", "documented", "Tags[1].Key"]),
    (form("ec2", "RunInstances", MinCount=1), ["ec2 RunInstances", "required", "MaxCount"]),
    (form("ec2", "RunInstances", MinCount="some", MaxCount=1), ["ec2 RunInstances", "type", "MinCount"]),
    (form("ec2", "MakeCoffee"), ["ec2 ?", "operation", "Action"]),
    (form("autoscaling", "DeleteAutoScalingGroup", AutoScalingGroupName="g" * 256),
     ["autoscaling DeleteAutoScalingGroup", "too long", "AutoScalingGroupName"]),
    (form("autoscaling", "DeleteAutoScalingGroup", AutoScalingGroupName=""),
     ["autoscaling DeleteAutoScalingGroup", "too short", "AutoScalingGroupName"]),
    (form("elasticloadbalancing", "CreateLoadBalancer", Name="b" * 33), ["elbv2 CreateLoadBalancer", "documented", "Name"]),
    (target("kms", "TrentService.DescribeKey", {"KeyId": "k", "Colour": "red"}), ["kms DescribeKey", "unknown member", "Colour"]),
    (target("kms", "TrentService.DescribeKey", {"KeyId": 7}), ["kms DescribeKey", "type", "KeyId"]),
    (("s3", "PUT", "/a-bucket?versioning", {}, VERSIONING), ["s3 PutBucketVersioning", "enum", "VersioningConfiguration.Status"]),
    (("s3", "GET", "/a-bucket?list-type=2&colour=red", {}, ""), ["s3 ListObjectsV2", "unknown member", "colour"]),
    (("route53", "POST", "/2013-04-01/hostedzone/Z1/rrset/", {}, CHANGE), ["route53 ChangeResourceRecordSets", "too large", TTL]),
    (("ebs", "POST", "/snapshots", {"Content-Type": "application/json"}, '{"VolumeSize":0}'), ["ebs StartSnapshot", "too small", "VolumeSize"]),
]


def send(service, method, path, headers, body):
    request = AWSRequest(method, ENDPOINT + path, data=body, headers=headers)
    (S3SigV4Auth if service == "s3" else SigV4Auth)(CREDENTIALS, service, REGION).add_auth(request)
    data = body.encode() if method != "GET" else None
    plain = urllib.request.Request(ENDPOINT + path, data, dict(request.headers.items()), method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(plain, timeout=60).read()
    except urllib.error.HTTPError as error:
        error.read()


for control, _ in CONTROLS:
    send(*control)
json.dump([expected for _, expected in CONTROLS], sys.stdout)
