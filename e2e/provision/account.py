"""What the scripts of the provisioning test share: clients, and the parts of a cluster by their tags."""

import boto3

ec2, iam, kms, s3, acm = (boto3.client(service) for service in ("ec2", "iam", "kms", "s3", "acm"))
dns, rds, scaling = boto3.client("route53"), boto3.client("rds"), boto3.client("autoscaling")
balancing, sts = boto3.client("elbv2"), boto3.client("sts")


class Cluster:
    """A cluster of the account, as an independent client sees it."""

    def __init__(self, name, region="eu-west-1"):
        self.name, self.region = name, region
        self.account = sts.get_caller_identity()["Account"]
        self.bucket = f"futuswarm-{name}-{self.account}-{region}"

    def part(self, operation, key, part):
        """The EC2 resource that is tagged as this part."""
        found = getattr(ec2, operation)(
            Filters=[
                {"Name": "tag:futuswarm:cluster", "Values": [self.name]},
                {"Name": "tag:futuswarm:part", "Values": [part]},
            ]
        )[key]
        assert len(found) == 1, f"{len(found)} of {part}"
        return found[0]

    def vpc(self):
        return self.part("describe_vpcs", "Vpcs", "vpc")["VpcId"]

    def subnet(self, part):
        return self.part("describe_subnets", "Subnets", part)["SubnetId"]

    def security_group(self, part):
        return self.part("describe_security_groups", "SecurityGroups", part)["GroupId"]

    def route_table(self, part):
        return self.part("describe_route_tables", "RouteTables", part)

    def gateway(self):
        return self.part("describe_internet_gateways", "InternetGateways", "internet-gateway")["InternetGatewayId"]

    def key(self, of="cluster"):
        return kms.describe_key(KeyId=f"alias/futuswarm/{self.name}/{of}")["KeyMetadata"]

    def role(self, role):
        return f"futuswarm-{self.name}-{self.region}-{role}"

    def group(self, name):
        return f"futuswarm-{self.name}-{name}"

    def balancer(self):
        return balancing.describe_load_balancers(Names=[f"fsw-{self.name}"])["LoadBalancers"][0]["LoadBalancerArn"]

    def target_group(self):
        return balancing.describe_target_groups(Names=[f"fsw-{self.name}"])["TargetGroups"][0]["TargetGroupArn"]

    def listener(self, port):
        found = balancing.describe_listeners(LoadBalancerArn=self.balancer())["Listeners"]
        return next(listener for listener in found if listener["Port"] == port)["ListenerArn"]

    def key_pair(self):
        filters = [
            {"Name": "tag:futuswarm:cluster", "Values": [self.name]},
            {"Name": "tag:futuswarm:part", "Values": ["ssh"]},
        ]
        found = ec2.describe_key_pairs(Filters=filters, IncludePublicKey=True)["KeyPairs"]
        assert len(found) == 1, f"{len(found)} key pairs"
        return found[0]
