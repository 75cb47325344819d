"""Holds a record of requests (`futuswarm-local record`) against the service models of AWS that botocore ships.

Argument: the file. Prints JSON: how many requests there are, how many of each caller and operation, and every breach. A record
of nobody's requests is no proof of anything: whoever calls this asserts how many there were.
"""

import collections
import json
import sys

import rules
import wire


def breaches_of(request):
    try:
        service, operation, parameters, breaches = wire.read(request)
    except wire.Unreadable as error:
        return f"{request['service']} ?", [(error.kind, error.member, error.detail)]
    breaches.extend(rules.check_operation(service, operation, parameters))
    return f"{service} {operation.name}", breaches


callers, operations, agents, found = collections.Counter(), collections.Counter(), collections.Counter(), []
with open(sys.argv[1], encoding="utf-8") as record:
    for number, line in enumerate(record, 1):
        request = json.loads(line)
        name, breaches = breaches_of(request)
        callers[request["caller"]] += 1
        operations[name] += 1
        agents["under test"] += "app/under-test" in request["headers"].get("user-agent", "")
        for kind, member, detail in breaches:
            found.append({"line": number, "operation": name, "kind": kind, "member": member, "detail": detail})
print(json.dumps({"requests": sum(callers.values()), "callers": callers, "agents": agents, "operations": operations, "breaches": found}))
