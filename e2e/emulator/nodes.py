"""A node whose role has conditions and policy variables. Prints its address, its role's id, and what was sealed, as JSON."""

import base64
import json
import time

import boto3

ec2, iam, kms, s3 = (boto3.client(service) for service in ("ec2", "iam", "kms", "s3"))
vpc = ec2.create_vpc(CidrBlock="10.48.0.0/16")["Vpc"]["VpcId"]
subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.48.0.0/24", AvailabilityZone="eu-west-1a")["Subnet"]["SubnetId"]
key = kms.create_key()["KeyMetadata"]
bucket = "arn:aws:s3:::conditions"
# Its objects are sealed with the key; its own policy forbids what the role's allows.
sealing = "arn:aws:s3:::sealing"
through_s3 = {"kms:ViaService": "s3.eu-west-1.amazonaws.com", "kms:EncryptionContext:aws:s3:arn": sealing + "/written"}
cluster = {"StringEquals": {"kms:EncryptionContext:futuswarm:cluster": "local"}}
policy = [
    {"Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": key["Arn"], "Condition": cluster},
    {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": bucket, "Condition": {"StringLike": {"s3:prefix": "apps/*"}}},
    {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": bucket + "/cluster/nodes/${aws:userid}"},
    {"Effect": "Allow", "Action": "s3:*", "Resource": bucket + "/apps/*"},
    {"Effect": "Deny", "Action": "s3:DeleteObject*", "Resource": bucket + "/apps/*", "Condition": {"Bool": {"aws:SecureTransport": "true"}}},
    {"Effect": "Deny", "Action": "s3:*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
    # Of an address that nobody knows it cannot be said that it is another.
    {"Effect": "Allow", "Action": "s3:GetObject", "Resource": bucket + "/users/me", "Condition": {"StringNotEquals": {"aws:SourceIp": "192.0.2.1"}}},
    {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:ListBucket"], "Resource": [sealing, sealing + "/*"]},
    {"Effect": "Allow", "Action": "kms:GenerateDataKey", "Resource": key["Arn"], "Condition": {"StringEquals": through_s3}},
]
trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}


def document(statements):
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


role = iam.create_role(RoleName="conditions", AssumeRolePolicyDocument=document([trust]))["Role"]
iam.put_role_policy(RoleName="conditions", PolicyName="inline", PolicyDocument=document(policy[:3]))
# The rest is attached: both kinds count.
attached = iam.create_policy(PolicyName="attached", PolicyDocument=document(policy[3:]))["Policy"]["Arn"]
iam.attach_role_policy(RoleName="conditions", PolicyArn=attached)
iam.create_instance_profile(InstanceProfileName="conditions")
iam.add_role_to_instance_profile(InstanceProfileName="conditions", RoleName="conditions")
s3.create_bucket(Bucket="conditions", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
s3.put_object(Bucket="conditions", Key="apps/shop", Body=b"{}")
s3.put_object(Bucket="conditions", Key="users/me", Body=b"{}")
s3.create_bucket(Bucket="sealing", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
by_default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key["KeyId"]}
s3.put_bucket_encryption(
    Bucket="sealing", ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": by_default}]}
)
forbidden = {"Effect": "Deny", "Principal": {"AWS": role["Arn"]}, "Action": "s3:ListBucket", "Resource": sealing}
s3.put_bucket_policy(Bucket="sealing", Policy=document([forbidden]))
instance = ec2.run_instances(
    ImageId="ami-12345678", MinCount=1, MaxCount=1, SubnetId=subnet, IamInstanceProfile={"Name": "conditions"}
)["Instances"][0]


def sealed(context):
    answer = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext=context)
    return base64.b64encode(answer["CiphertextBlob"]).decode()


time.sleep(3)  # until the metadata service knows the instance: it looks every two seconds
print(
    json.dumps(
        {
            "address": instance["PrivateIpAddress"],
            "userid": f"{role['RoleId']}:{instance['InstanceId']}",
            "key": key["Arn"],
            "ours": sealed({"futuswarm:cluster": "local"}),
            "theirs": sealed({"futuswarm:cluster": "other"}),
        }
    )
)
