"""A node with a bucket, a key and a few permissions, and a user of the account, for e2e/by_name.py. Prints them as JSON."""

import json

import boto3

ec2, iam, kms, s3 = (boto3.client(service) for service in ("ec2", "iam", "kms", "s3"))
vpc = ec2.create_vpc(CidrBlock="10.46.0.0/16")["Vpc"]["VpcId"]
subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.46.0.0/24", AvailabilityZone="eu-west-1a")["Subnet"]["SubnetId"]
key = kms.create_key()["KeyMetadata"]["Arn"]
for bucket in ("by-name", "other"):
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
bucket = "arn:aws:s3:::by-name"
policy = [
    {"Effect": "Allow", "Action": "s3:*", "Resource": [bucket, bucket + "/*"]},
    {"Effect": "Deny", "Action": "s3:*", "Resource": bucket + "/closed/*"},
    {"Effect": "Allow", "Action": ["kms:Encrypt", "kms:Decrypt"], "Resource": key},
    {"Effect": "Allow", "Action": "ec2:DescribeInstances", "Resource": "*"},
]
trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}


def document(statements):
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


iam.create_role(RoleName="by-name", AssumeRolePolicyDocument=document([trust]))
iam.put_role_policy(RoleName="by-name", PolicyName="inline", PolicyDocument=document(policy))
iam.create_instance_profile(InstanceProfileName="by-name")
iam.add_role_to_instance_profile(InstanceProfileName="by-name", RoleName="by-name")
instance = ec2.run_instances(
    ImageId="ami-12345678", MinCount=1, MaxCount=1, SubnetId=subnet, IamInstanceProfile={"Name": "by-name"}
)["Instances"][0]
# Not a node, but whoever has keys of the account: the emulator decides on such calls, and reads the host name itself.
iam.create_user(UserName="by-name")
iam.put_user_policy(UserName="by-name", PolicyName="inline", PolicyDocument=document(policy[:1]))
user = iam.create_access_key(UserName="by-name")["AccessKey"]
print(
    json.dumps(
        {
            "address": instance["PrivateIpAddress"],
            "instance": instance["InstanceId"],
            "key": key,
            "user": [user["AccessKeyId"], user["SecretAccessKey"]],
        }
    )
)
