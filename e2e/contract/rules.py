"""Holds parameters against what a service's model says of them, and against documented limits that the models leave out."""

import functools
import re
import sys
import unicodedata

from wire import raw

# Limits that the API reference states in words only: (service, shape's path) → (pattern, what it is). Sources:
# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateLoadBalancer.html (Name) and API_CreateTargetGroup.html,
# https://docs.aws.amazon.com/elasticloadbalancing/2012-06-01/APIReference/API_CreateLoadBalancer.html (LoadBalancerName),
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html (GroupName, GroupDescription),
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions,
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RegisterImage.html (Name),
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplate.html (LaunchTemplateName),
# https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html (DBInstanceIdentifier, MasterUsername),
# https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBSubnetGroup.html (DBSubnetGroupName),
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html.
BALANCER = (r"(?!internal-)(?!-)[A-Za-z0-9-]{1,32}(?<!-)", "at most 32 letters, digits and hyphens")
GROUP_TEXT = r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}"
TAG_KEY = (r"(?!(?i:aws):).{1,128}", "1 to 128 characters, not beginning with aws:")
TAG_VALUE = (r".{0,256}", "at most 256 characters")
DOCUMENTED = {
    ("elbv2", "CreateLoadBalancer", "Name"): BALANCER,
    ("elbv2", "CreateTargetGroup", "Name"): BALANCER,
    ("elb", "CreateLoadBalancer", "LoadBalancerName"): BALANCER,
    ("ec2", "CreateSecurityGroup", "GroupName"): (rf"(?!sg-){GROUP_TEXT}", "at most 255 characters of a security group's name"),
    ("ec2", "CreateSecurityGroup", "Description"): (GROUP_TEXT, "at most 255 characters of a security group's description"),
    ("ec2", "CreateLaunchTemplate", "LaunchTemplateName"): (r"[a-zA-Z0-9().\-/_]{3,128}", "3 to 128 characters of a launch template's name"),
    ("ec2", "RegisterImage", "Name"): (r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}", "3 to 128 characters of an AMI's name"),
    ("ec2", "CopyImage", "Name"): (r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}", "3 to 128 characters of an AMI's name"),
    ("rds", "CreateDBInstance", "DBInstanceIdentifier"): (r"(?!.*--)[A-Za-z][A-Za-z0-9-]{0,62}(?<!-)", "1 to 63 letters, digits and hyphens"),
    ("rds", "CreateDBInstance", "MasterUsername"): (r"[A-Za-z_][A-Za-z0-9_]{0,62}", "1 to 63 letters, digits and underscores"),
    ("rds", "CreateDBSubnetGroup", "DBSubnetGroupName"): (r"(?!default$)[A-Za-z0-9 ._-]{1,255}", "at most 255 characters"),
    ("s3", "CreateBucket", "Bucket"): (r"(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9](?!.*\.\.)[a-z0-9.-]{1,61}[a-z0-9]", "a bucket's name"),
}
# A structure with a Key and a Value is a tag, wherever it stands.
TAGS = {"Key": TAG_KEY, "Value": TAG_VALUE}


def category(letter):
    """The characters of a Unicode category, as the inside of a class of Python's, which has no \\p."""
    ranges, start = [], None
    for code in range(sys.maxunicode + 2):
        inside = code <= sys.maxunicode and unicodedata.category(chr(code)).startswith(letter)
        if inside and start is None:
            start = code
        elif not inside and start is not None:
            ranges.append(f"\\U{start:08x}-\\U{code - 1:08x}")
            start = None
    return "".join(ranges)


@functools.cache
def pattern(text):
    """A model's pattern, which is written for Java, for Python."""
    # Pairs of surrogates stand for what is beyond the basic plane.
    text = text.replace("\\uD800\\uDC00-\\uDBFF\\uDFFF", "\\U00010000-\\U0010FFFF").replace("\\p{ASCII}", "\\x00-\\x7f")
    text = re.sub(r"\\p\{(?:Is)?(L|Z|N|M|P|S)\}", lambda found: category(found[1]), text)
    text = re.sub(r"\\x\{([0-9A-Fa-f]+)\}", lambda found: f"\\U{int(found[1], 16):08x}", text)
    return re.compile(text)


def size(kind, value, rule, path):
    number = value if kind in ("integer", "long", "float", "double") else len(value)
    if rule.get("min") is not None and number < rule["min"]:
        yield "too small" if number is value else "too short", path, f"{number} is less than {rule['min']}"
    if rule.get("max") is not None and number > rule["max"]:
        yield "too large" if number is value else "too long", path, f"{number} is more than {rule['max']}"


def check(shape, value, path=""):
    """Yields (kind, member, detail) for all that the model of a shape forbids."""
    if value is None:
        # It could not be read, which was reported.
        return
    rule, kind = raw(shape), shape.type_name
    if kind != "structure" and kind not in ("boolean", "timestamp"):
        yield from size(kind, value, rule, path)
    if kind == "structure":
        for name in shape.required_members:
            if name not in value:
                yield "required", f"{path}.{name}".lstrip("."), f"{shape.name} needs it"
        for name, inner in value.items():
            yield from check(shape.members[name], inner, f"{path}.{name}".lstrip("."))
        if {"Key", "Value"} <= set(shape.members):
            for name, (expected, words) in TAGS.items():
                if isinstance(value.get(name), str) and not re.fullmatch(expected, value[name], re.DOTALL):
                    yield "documented", f"{path}.{name}".lstrip("."), words
    elif kind == "list":
        for index, inner in enumerate(value, 1):
            yield from check(shape.member, inner, f"{path}[{index}]")
    elif kind == "map":
        for key, inner in value.items():
            yield from check(shape.key, key, f"{path}[{key}]")
            yield from check(shape.value, inner, f"{path}[{key}]")
    elif kind == "string":
        if rule.get("enum") and value not in rule["enum"]:
            yield "enum", path, f"{value!r} is none of {rule['enum'][:12]}"
        if rule.get("pattern") and not pattern(rule["pattern"]).fullmatch(value):
            yield "pattern", path, f"{value!r} does not match {rule['pattern']}"


def check_operation(service, operation, parameters):
    """All breaches of a call."""
    if operation.input_shape is not None:
        yield from check(operation.input_shape, parameters)
    for (of_service, of_operation, member), (expected, words) in DOCUMENTED.items():
        value = parameters.get(member) if (of_service, of_operation) == (service, operation.name) else None
        if isinstance(value, str) and not re.fullmatch(expected, value):
            yield "documented", member, f"{value!r}: {words}"
