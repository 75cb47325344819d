"""Certificates and load balancers: issued by DNS, TLS with the local authority, redirects, rules, and the classic kind.

Arguments: network namespace, file of the certificate authority, ports for 80 and 443. Prints nothing but "done" as JSON.
"""

import http.client
import json
import socket
import ssl
import subprocess
import sys

import boto3
from polling import until
from refusals import refused

netns, authority, http_port, https_port = sys.argv[1:5]
ec2, acm, dns, balancing, classic, scaling = (
    boto3.client(service) for service in ("ec2", "acm", "route53", "elbv2", "elb", "autoscaling")
)
vpc = ec2.create_vpc(CidrBlock="10.49.0.0/16")["Vpc"]["VpcId"]
subnets = [
    ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.49.{index}.0/24", AvailabilityZone=f"eu-west-1{zone}")["Subnet"]["SubnetId"]
    for index, zone in enumerate("ab")
]


def ask(port, host, path="/", name=None):
    """Status, location and body of an answer; with `name`, over TLS to a server that must prove to have it."""
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=5)
    if name:
        trust = ssl.create_default_context(cafile=authority)
        connection.sock = trust.wrap_socket(socket.create_connection(("127.0.0.1", int(port)), 5), server_hostname=name)
    connection.request("GET", path, headers={"Host": host, "Connection": "close"})
    answer = connection.getresponse()
    found = answer.status, answer.getheader("Location"), answer.read().decode()
    connection.close()
    return found


# A certificate is issued when its record stands in a public zone, and not before.
names = {"DomainName": "apps.example.com", "SubjectAlternativeNames": ["*.apps.example.com", "other.example.org"]}
arn = acm.request_certificate(ValidationMethod="DNS", **names)["CertificateArn"]


def certificate():
    found = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    listed = [one for one in acm.list_certificates()["CertificateSummaryList"] if one["CertificateArn"] == arn]
    assert [one["Status"] for one in listed] == [found["Status"]], (listed, found)
    assert set(listed[0]["SubjectAlternativeNameSummaries"]) == {"apps.example.com", "*.apps.example.com", "other.example.org"}
    states = {one["DomainName"]: one["ValidationStatus"] for one in found["DomainValidationOptions"]}
    return found, states


found, states = certificate()
assert found["Status"] == "PENDING_VALIDATION" and "IssuedAt" not in found, found
assert not acm.list_certificates(CertificateStatuses=["ISSUED"])["CertificateSummaryList"]
refused("RequestInProgressException", acm.get_certificate, CertificateArn=arn)
balancer = balancing.create_load_balancer(Name="balancer", Subnets=subnets, Type="application")["LoadBalancers"][0]["LoadBalancerArn"]
group = balancing.create_target_group(
    Name="edge", Protocol="HTTP", Port=80, VpcId=vpc, HealthCheckPath="/status", HealthCheckIntervalSeconds=5, Matcher={"HttpCode": "200"}
)["TargetGroups"][0]["TargetGroupArn"]
forward = [{"Type": "forward", "TargetGroupArn": group}]
https = {"LoadBalancerArn": balancer, "Protocol": "HTTPS", "Port": 443, "Certificates": [{"CertificateArn": arn}], "DefaultActions": forward}
refused("UnsupportedCertificate", balancing.create_listener, **https)
inside = {"VPC": {"VPCRegion": "eu-west-1", "VPCId": vpc}, "HostedZoneConfig": {"PrivateZone": True}}
private = dns.create_hosted_zone(Name="example.com", CallerReference="1", **inside)["HostedZone"]["Id"]
zones = {name: dns.create_hosted_zone(Name=name, CallerReference=name)["HostedZone"]["Id"] for name in ("example.com", "example.org")}


def stand(zone, domain):
    record = next(one["ResourceRecord"] for one in found["DomainValidationOptions"] if one["DomainName"] == domain)
    change = {"Name": record["Name"], "Type": record["Type"], "TTL": 60, "ResourceRecords": [{"Value": record["Value"]}]}
    dns.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": change}]})


stand(private, "apps.example.com")
assert certificate()[1]["apps.example.com"] == "PENDING_VALIDATION", "a private zone proves nothing"
stand(zones["example.com"], "apps.example.com")
found, states = certificate()
assert states == {"apps.example.com": "SUCCESS", "*.apps.example.com": "SUCCESS", "other.example.org": "PENDING_VALIDATION"}, states
assert found["Status"] == "PENDING_VALIDATION"
stand(zones["example.org"], "other.example.org")
found, states = certificate()
assert found["Status"] == "ISSUED" and set(states.values()) == {"SUCCESS"} and "NotAfter" in found, (found, states)
assert acm.list_certificates(CertificateStatuses=["ISSUED"])["CertificateSummaryList"]
listener = balancing.create_listener(**https)["Listeners"][0]["ListenerArn"]

# The other listener sends everybody to TLS.
redirect = {"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}}
plain = {"LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": 80}
first, again = (balancing.create_listener(**plain, DefaultActions=[redirect])["Listeners"][0] for _ in range(2))
assert first["ListenerArn"] == again["ListenerArn"] and again["DefaultActions"] == first["DefaultActions"], (first, again)
assert len(balancing.describe_listeners(LoadBalancerArn=balancer)["Listeners"]) == 2
refused("DuplicateListener", balancing.create_listener, **plain, DefaultActions=forward)
balancing.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=8081, DefaultActions=[redirect])
fixed = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "410", "ContentType": "text/plain", "MessageBody": "gone"}}
balancing.create_rule(
    ListenerArn=listener,
    Priority=10,
    Conditions=[{"Field": "host-header", "Values": ["old.*"]}, {"Field": "path-pattern", "Values": ["/a/*"]}],
    Actions=[fixed],
)
place = f"https://shop.apps.example.com:{https_port}/x?y=1"
until("the redirect", lambda: ask(http_port, "shop.apps.example.com", "/x?y=1") == (301, place, ""))
assert ask(http_port, "shop.apps.example.com:80", "/")[1] == f"https://shop.apps.example.com:{https_port}/"
until("the rule", lambda: ask(https_port, "old.apps.example.com", "/a/b", "old.apps.example.com")[0] == 410)
status, _, body = ask(https_port, "old.apps.example.com", "/b", "old.apps.example.com")
assert status == 503 and "no node is healthy yet" in body, (status, body)
for name in ("apps.example.com", "x.apps.example.com", "other.example.org"):
    assert ask(https_port, name, "/", name)[0] == 503, name
try:
    ask(https_port, "else.example.net", "/", "else.example.net")
    raise AssertionError("a name that the certificate does not have was accepted")
except ssl.SSLCertVerificationError:
    pass

# A target: no machine runs, so a little server takes an instance's address.
template = {"LaunchTemplateName": "balancers", "LaunchTemplateData": {"ImageId": "ami-12345678", "InstanceType": "t3.small"}}
ec2.create_launch_template(**template)
classic.create_load_balancer(
    LoadBalancerName="classic",
    Listeners=[
        {"Protocol": "HTTP", "LoadBalancerPort": 80, "InstanceProtocol": "HTTP", "InstancePort": 80},
        {"Protocol": "HTTPS", "LoadBalancerPort": 443, "InstanceProtocol": "HTTP", "InstancePort": 80, "SSLCertificateId": arn},
    ],
    Subnets=subnets,
)
check = {"Target": "HTTP:80/status", "Interval": 5, "Timeout": 2, "UnhealthyThreshold": 2, "HealthyThreshold": 2}
classic.configure_health_check(LoadBalancerName="classic", HealthCheck=check)
scaling.create_auto_scaling_group(
    AutoScalingGroupName="balancers",
    LaunchTemplate={"LaunchTemplateName": "balancers"},
    MinSize=1,
    MaxSize=2,
    VPCZoneIdentifier=",".join(subnets),
    TargetGroupARNs=[group],
    LoadBalancerNames=["classic"],
)
instance = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=["balancers"])["AutoScalingGroups"][0]["Instances"][0]["InstanceId"]
address = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]["PrivateIpAddress"]
server = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(("%s of %s" % (self.headers["X-Forwarded-Proto"], self.headers["Host"])).encode())
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer((sys.argv[1], 80), Handler).serve_forever()
"""
subprocess.run(["ip", "-n", netns, "address", "add", f"{address}/32", "dev", "vpc"], check=True)
process = subprocess.Popen(["ip", "netns", "exec", netns, sys.executable, "-c", server, address], stderr=subprocess.DEVNULL)
try:
    name = "shop.apps.example.com"
    until("the target", lambda: ask(https_port, name, "/", name) == (200, None, f"https of {name}"))
    # With the application load balancer gone, the classic one has the ports.
    balancing.delete_load_balancer(LoadBalancerArn=balancer)
    until("the classic one", lambda: ask(http_port, name) == (200, None, f"http of {name}"))
    until("the classic one's TLS", lambda: ask(https_port, name, "/", name) == (200, None, f"https of {name}"))
    registered = classic.describe_load_balancers()["LoadBalancerDescriptions"][0]["Instances"]
    assert [one["InstanceId"] for one in registered] == [instance], registered
    ec2.terminate_instances(InstanceIds=[instance])
    replaced = classic.describe_load_balancers()["LoadBalancerDescriptions"][0]["Instances"]
    assert len(replaced) == 1 and replaced[0]["InstanceId"] != instance, replaced
finally:
    process.kill()
    process.wait()
pending = acm.request_certificate(DomainName="new.example.net", ValidationMethod="DNS")["CertificateArn"]
tls = {"Protocol": "HTTPS", "LoadBalancerPort": 444, "InstancePort": 80, "SSLCertificateId": pending}
refused("CertificateNotFound", classic.create_load_balancer_listeners, LoadBalancerName="classic", Listeners=[tls])
again = {"DomainName": "token.example.net", "ValidationMethod": "DNS", "IdempotencyToken": "same"}
one, two = (acm.request_certificate(**again)["CertificateArn"] for _ in range(2))
acm.delete_certificate(CertificateArn=one)
three = acm.request_certificate(**again)["CertificateArn"]
assert one == two != three == acm.request_certificate(**again)["CertificateArn"], (one, two, three)
print(json.dumps("done"))
