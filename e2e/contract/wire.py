"""Reads recorded requests back into an operation and its parameters, with the service models that botocore ships.

It is the inverse of an SDK's serializers, for the protocols query, ec2, json, rest-xml and rest-json. Whatever a model does not
know is reported, not skipped.
"""

import base64
import json
import re
import urllib.parse
import xml.etree.ElementTree

import botocore.session

SESSION = botocore.session.get_session()
# Signing name → the services that sign with it; the version of the API tells them apart.
SERVICES = {"elasticloadbalancing": ["elb", "elbv2"], "servicequotas": ["service-quotas"]}
# Headers of S3 that belong to the signature, to the SDK or to a checksum, and to no operation.
GENERAL_HEADERS = re.compile(r"x-amz-(date|content-sha256|user-agent|target|trailer|decoded-content-length|api-version)")
models = {}


class Unreadable(Exception):
    """A request that is none of its service."""

    def __init__(self, kind, member, detail):
        super().__init__(kind, member, detail)
        self.kind, self.member, self.detail = kind, member, detail


def model_of(name):
    if name not in models:
        models[name] = SESSION.get_service_model(name)
    return models[name]


def raw(shape):
    """A shape with all that its model says of it; botocore's own view leaves some out."""
    return {**shape._shape_model, **shape.metadata}


class Reading:
    """Parameters of one request, and what in it no model knows."""

    def __init__(self):
        self.breaches = []

    def breach(self, kind, member, detail):
        self.breaches.append((kind, member, detail))

    def scalar(self, shape, text, path):
        kind = shape.type_name
        try:
            if kind in ("integer", "long"):
                return int(text)
            if kind in ("float", "double"):
                return float(text)
            if kind == "blob":
                return base64.b64decode(text, validate=True)
        except ValueError:
            self.breach("type", path, f"{text!r} is no {kind}")
            return None
        if kind == "boolean":
            if text not in ("true", "false"):
                self.breach("type", path, f"{text!r} is no boolean")
            return text == "true"
        if kind in ("structure", "list", "map"):
            self.breach("type", path, f"{text!r} is no {kind}")
            return None
        return text

    # -- query and ec2 -----------------------------------------------------------------------------------------------------

    def form(self, shape, tree, path, ec2):
        """`tree` is a dictionary of the parts of names between dots, or a text."""
        kind = shape.type_name
        if kind == "structure":
            return self.form_structure(shape, tree, path, ec2)
        if kind == "list":
            return self.form_list(shape, tree, path, ec2)
        if kind == "map":
            return self.form_map(shape, tree, path, ec2)
        if isinstance(tree, dict):
            self.breach("unknown member", path, f"{sorted(tree)} below a {kind}")
            return None
        return self.scalar(shape, tree, path)

    def form_structure(self, shape, tree, path, ec2):
        if not isinstance(tree, dict):
            self.breach("type", path, f"{tree!r} is no structure")
            return {}
        rest, parameters = dict(tree), {}
        for key, member in shape.members.items():
            name = form_name(key, member, ec2)
            if name in rest:
                parameters[key] = self.form(member, rest.pop(name), f"{path}.{key}".lstrip("."), ec2)
        for name in rest:
            self.breach("unknown member", f"{path}.{name}".lstrip("."), f"{shape.name} has no such member")
        return parameters

    def form_list(self, shape, tree, path, ec2):
        if tree == "":
            return []
        if not ec2 and not shape.serialization.get("flattened") and isinstance(tree, dict):
            name = shape.member.serialization.get("name", "member")
            for other in set(tree) - {name}:
                self.breach("unknown member", f"{path}.{other}", f"the members of a {shape.name} are called {name}")
            tree = tree.get(name, {})
        if not isinstance(tree, dict):
            self.breach("type", path, f"{tree!r} is no list")
            return []
        numbers = sorted(tree, key=lambda number: int(number) if number.isdigit() else 0)
        if numbers != [str(index) for index in range(1, len(numbers) + 1)]:
            self.breach("type", path, f"the members of a list are numbered from 1: {numbers}")
        return [self.form(shape.member, tree[number], f"{path}[{number}]", ec2) for number in numbers]

    def form_map(self, shape, tree, path, ec2):
        entries = tree.get("entry", {}) if isinstance(tree, dict) and not shape.serialization.get("flattened") else tree
        if not isinstance(entries, dict):
            self.breach("type", path, f"{tree!r} is no map")
            return {}
        names = [part.serialization.get("name", default) for part, default in ((shape.key, "key"), (shape.value, "value"))]
        found = {}
        for number, entry in entries.items():
            key, value = (entry.get(name, "") for name in names)
            found[key] = self.form(shape.value, value, f"{path}[{key}]", ec2)
        return found

    # -- JSON --------------------------------------------------------------------------------------------------------------

    def json(self, shape, value, path):
        kind = shape.type_name
        expected = {
            "structure": dict, "map": dict, "list": list, "string": str, "boolean": bool, "blob": str,
            "integer": int, "long": int, "float": (int, float), "double": (int, float), "timestamp": (int, float, str),
        }[kind]
        if value is None or not isinstance(value, expected) or (isinstance(value, bool) and kind != "boolean"):
            self.breach("type", path, f"{value!r} is no {kind}")
            return None
        if kind == "structure":
            names = {member.serialization.get("name", key): key for key, member in shape.members.items()}
            found = {}
            for name, inner in value.items():
                if name not in names:
                    self.breach("unknown member", f"{path}.{name}".lstrip("."), f"{shape.name} has no such member")
                    continue
                key = names[name]
                found[key] = self.json(shape.members[key], inner, f"{path}.{key}".lstrip("."))
            return found
        if kind == "list":
            return [self.json(shape.member, inner, f"{path}[{index}]") for index, inner in enumerate(value, 1)]
        if kind == "map":
            return {key: self.json(shape.value, inner, f"{path}[{key}]") for key, inner in value.items()}
        return self.scalar(shape, value, path) if kind == "blob" else value

    # -- XML ---------------------------------------------------------------------------------------------------------------

    def xml(self, shape, nodes, path):
        """`nodes` are the elements of one member: more than one only of a flattened list or map."""
        kind = shape.type_name
        if kind == "structure":
            rest, found = {}, {}
            for child in nodes[0]:
                rest.setdefault(child.tag.rsplit("}", 1)[-1], []).append(child)
            for key, member in shape.members.items():
                if member.serialization.get("location"):
                    continue
                name = member.serialization.get("name", key)
                if member.type_name == "list" and member.serialization.get("flattened"):
                    name = member.member.serialization.get("name", name)
                if name in rest:
                    found[key] = self.xml(member, rest.pop(name), f"{path}.{key}".lstrip("."))
                elif member.serialization.get("xmlAttribute"):
                    attribute = name.rsplit(":", 1)[-1]
                    values = [text for known, text in nodes[0].attrib.items() if known.rsplit("}", 1)[-1] == attribute]
                    found.update({key: text for text in values})
            for name in rest:
                self.breach("unknown member", f"{path}.{name}".lstrip("."), f"{shape.name} has no such member")
            return found
        if kind == "list":
            if not shape.serialization.get("flattened"):
                name = shape.member.serialization.get("name", "member")
                children = list(nodes[0])
                for child in children:
                    if child.tag.rsplit("}", 1)[-1] != name:
                        self.breach("unknown member", f"{path}.{child.tag}", f"the members of a {shape.name} are called {name}")
                nodes = children
            return [self.xml(shape.member, [node], f"{path}[{index}]") for index, node in enumerate(nodes, 1)]
        if len(nodes) > 1 or len(nodes[0]):
            self.breach("type", path, f"more than one value for a {kind}")
        return self.scalar(shape, nodes[0].text or "", path)


def form_name(key, member, ec2):
    if ec2:
        name = member.serialization.get("queryName") or member.serialization.get("name") or key
        return name if "queryName" in member.serialization else name[0].upper() + name[1:]
    if member.type_name == "list" and member.serialization.get("flattened"):
        return member.member.serialization.get("name") or member.serialization.get("name", key)
    return member.serialization.get("name", key)


def tree_of(pairs):
    tree = {}
    for name, value in pairs:
        *folders, leaf = name.split(".")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
            if not isinstance(place, dict):
                raise Unreadable("type", name, "is both a value and a structure")
        if leaf in place:
            raise Unreadable("type", name, "is there twice")
        place[leaf] = value
    return tree


def read_form(models_of_service, request, reading):
    text = request["body"].decode() or request["query"]
    pairs = urllib.parse.parse_qsl(text, keep_blank_values=True, strict_parsing=True)
    fields = dict(pairs)
    model = next((model for model in models_of_service if model.api_version == fields.get("Version")), None)
    if model is None:
        raise Unreadable("version", "Version", f"{fields.get('Version')!r} is none of {request['service']}")
    operation = named(model, fields.get("Action"))
    tree = tree_of([pair for pair in pairs if pair[0] not in ("Action", "Version")])
    if operation.input_shape is None:
        for name in tree:
            reading.breach("unknown member", name, f"{operation.name} has no members")
        return model, operation, {}
    return model, operation, reading.form(operation.input_shape, tree, "", model.metadata["protocol"] == "ec2")


def read_json(models_of_service, request, reading):
    model = models_of_service[0]
    prefix, _, action = request["headers"].get("x-amz-target", "").rpartition(".")
    if prefix != model.metadata["targetPrefix"]:
        raise Unreadable("operation", "X-Amz-Target", f"{prefix!r} is not {model.metadata['targetPrefix']!r}")
    operation = named(model, action)
    content = request["headers"].get("content-type")
    if content != f"application/x-amz-json-{model.metadata['jsonVersion']}":
        reading.breach("content type", "Content-Type", f"{content!r}")
    body = json.loads(request["body"] or b"{}")
    return model, operation, reading.json(operation.input_shape, body, "") if operation.input_shape else {}


def named(model, action):
    if action not in model.operation_names:
        raise Unreadable("operation", "Action", f"{model.service_name} has no operation {action!r}")
    return model.operation_model(action)


def read_rest(models_of_service, request, reading):
    model = models_of_service[0]
    query = dict(urllib.parse.parse_qsl(request["query"], keep_blank_values=True))
    headers = request["headers"]
    candidates = []
    for name in model.operation_names:
        operation = model.operation_model(name)
        if operation.http["method"] != request["method"] or query.get("x-id", name) != name:
            continue
        path, _, literal = operation.http["requestUri"].partition("?")
        literal = dict(urllib.parse.parse_qsl(literal, keep_blank_values=True))
        if any(key not in query or (value and query[key] != value) for key, value in literal.items()):
            continue
        uri = matched(path, request["path"])
        if uri is None:
            continue
        shape = operation.input_shape
        members = shape.members if shape else {}
        located = {
            key: member.serialization for key, member in members.items()
            if member.serialization.get("location") in ("header", "querystring")
        }
        present = {
            key for key, where in located.items()
            if where.get("name", key) in query or where.get("name", key).lower() in headers
        }
        if any(key in located and key not in present for key in (shape.required_members if shape else [])):
            continue
        strangers = set(query) - set(literal) - {located[key].get("name", key) for key in present} - {"x-id"}
        candidates.append(((len(literal), -len(strangers), len(present)), name, operation, uri, literal))
    if not candidates:
        raise Unreadable("operation", "path", f"{model.service_name} has no {request['method']} {request['path']}?{request['query']}")
    _, _, operation, uri, literal = max(candidates, key=lambda candidate: (candidate[0], candidate[1]))
    return model, operation, rest_parameters(model, operation, request, reading, uri, query, set(literal) | {"x-id"})


def matched(template, path):
    """The parts of a path in a template; None when it is another one. A slash at the end means nothing: AWS's own SDKs differ in it."""
    pattern, position = "", 0
    template = template.rstrip("/")
    for part in re.finditer(r"\{([^}+]+)(\+?)\}", template):
        pattern += re.escape(template[position:part.start()])
        pattern += f"(?P<{part[1]}>{'.+' if part[2] else '[^/]+'})"
        position = part.end()
    pattern += re.escape(template[position:])
    found = re.fullmatch(pattern if template.endswith("+}") else pattern + "/?", path)
    return {key: urllib.parse.unquote(value) for key, value in found.groupdict().items()} if found else None


def rest_parameters(model, operation, request, reading, uri, query, known):
    shape, headers, parameters = operation.input_shape, dict(request["headers"]), {}
    query = {key: value for key, value in query.items() if key not in known}
    members = shape.members if shape else {}
    payload = shape.serialization.get("payload") if shape else None
    in_body = {}
    for key, member in members.items():
        location, name = member.serialization.get("location"), member.serialization.get("name", key)
        if location == "uri":
            if name in uri:
                parameters[key] = reading.scalar(member, uri[name], key)
        elif location == "querystring":
            if name in query:
                parameters[key] = reading.scalar(member, query.pop(name), key)
        elif location == "header":
            if name.lower() in headers:
                text = headers.pop(name.lower())
                kind = member.type_name
                parameters[key] = text.split(",") if kind == "list" else reading.scalar(member, text, key)
        elif location == "headers":
            start = name.lower()
            found = {header[len(start):]: headers.pop(header) for header in list(headers) if header.startswith(start)}
            if found:
                parameters[key] = found
        elif key != payload:
            in_body[key] = member
    for name in query:
        reading.breach("unknown member", name, f"{operation.name} has no such parameter of the query")
    for name in headers:
        if name.startswith("x-amz-") and not GENERAL_HEADERS.fullmatch(name) and not name.startswith(("x-amz-checksum-", "x-amz-sdk-")):
            reading.breach("unknown member", name, f"{operation.name} has no such header")
    body = request["body"]
    if payload:
        member = members[payload]
        if member.type_name in ("blob", "string"):
            # Content of an object or a disk; whether there is any is all that matters.
            parameters[payload] = body or b""
        elif body:
            parameters[payload] = structured(model, member, body, reading)
    elif in_body and body:
        found = structured(model, shape, body, reading)
        parameters.update({key: value for key, value in (found or {}).items() if key in in_body})
    elif body and not in_body:
        reading.breach("unknown member", "body", f"{operation.name} has no body")
    return parameters


def structured(model, shape, body, reading):
    if model.metadata["protocol"] == "rest-json":
        return reading.json(shape, json.loads(body), "")
    return reading.xml(shape, [xml.etree.ElementTree.fromstring(body)], "")


READERS = {"query": read_form, "ec2": read_form, "json": read_json, "rest-xml": read_rest, "rest-json": read_rest}


def read(request):
    """Service, operation, parameters, and breaches (kind, member, detail) of a line of the record."""
    reading = Reading()
    request = {**request, "body": base64.b64decode(request["body"] or "")}
    names = SERVICES.get(request["service"], [request["service"]])
    if any(name not in SESSION.get_available_services() for name in names):
        raise Unreadable("service", "", f"there is no service {request['service']!r}")
    of_service = [model_of(name) for name in names]
    try:
        model, operation, parameters = READERS[of_service[0].metadata["protocol"]](of_service, request, reading)
    except (ValueError, xml.etree.ElementTree.ParseError) as error:
        raise Unreadable("syntax", "", str(error)) from error
    return model.service_name, operation, parameters, reading.breaches
