"""Requests to the edges of nodes: reads one job, a line of JSON, and prints what came of it as JSON."""
import http.client, json, sys, threading, time

NOBODY = "no service has this name here\n"


def ask(node, host, path):
    """Status and text of an answer, or 0 and why there is none."""
    connection = http.client.HTTPConnection(node, 80, timeout=20)
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        return 0, repr(error)
    finally:
        connection.close()


def is_right(answer, service):
    status, text = answer
    if service is None:
        return status == 404 and text == NOBODY
    return status == 200 and text.split("/")[0] == service


def reach(job):
    started = time.monotonic()
    left = [(node, *expected) for node in job["nodes"] for expected in job["expected"]]
    while True:
        wrong = []
        # All of them: what was right a moment ago must have stayed so.
        for node, host, path, service in left:
            answer = ask(node, host, path)
            if not is_right(answer, service):
                wrong.append({"node": node, "host": host, "path": path, "expected": service, "answer": answer})
        took = time.monotonic() - started
        if not wrong or took > job["seconds"]:
            return {"wrong": wrong, "took": round(took, 1)}
        time.sleep(1)


def tasks(job):
    started, seen = time.monotonic(), set()
    expected = {str(slot) for slot in range(1, job["tasks"] + 1)}
    while seen < expected and time.monotonic() - started < job["seconds"]:
        status, text = ask(job["nodes"][0], job["host"], "/")
        if status == 200:
            seen.add(text.split("/")[1].strip())
    return {"missing": sorted(expected - seen)}


def traffic(job):
    served, lost, ended = 0, [], threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.is_set():
        for node in job["nodes"]:
            answer = ask(node, job["host"], "/")
            if answer[0] == 200:
                served += 1
            else:
                lost.append([time.strftime("%T"), node, answer])
        time.sleep(0.02)
    return {"served": served, "lost": lost}


job = json.loads(sys.stdin.readline())
print(json.dumps({"reach": reach, "tasks": tasks, "traffic": traffic}[job["job"]](job)))
