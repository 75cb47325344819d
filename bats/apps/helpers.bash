# What the tests of apps share; see first_hour.bats for where they run.

# As somebody else: `nobody`, with a home of their own, and nothing of root's environment.
someone() {
    local name=$1
    shift
    setpriv --reuid 65534 --regid 65534 --clear-groups \
        env -i HOME="$APPS_DIR/$name" PATH=/usr/bin:/bin LC_ALL=C.UTF-8 FUTUSWARM_HOME="$APPS_DIR/$name/futuswarm" "$@"
}

f() { someone jane "$APPS_CLI" "$@"; }
joe() { someone joe "$APPS_CLI" "$@"; }

# What the app says, through the load balancer.
page() {
    python3 - "$APPS_URL${1:-/}" <<'END'
import sys, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Host": "hello.apps.localhost"})
try:
    answer = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10)
except urllib.error.HTTPError as error:
    answer = error
print(answer.read().decode(), end="")
END
}

# Begins to ask for the app's page through the load balancer, ten times a second and for a quarter of an hour at most. `visits_end` ends it,
# and `visits_stop` when the step has failed.
visits_begin() {
    visits=$BATS_TEST_TMPDIR/visits
    # BATS waits for whoever holds its descriptor 3.
    python3 - "$APPS_URL/" "$visits" 3>&- <<'END' &
import os, sys, time, urllib.error, urllib.request
url, answers = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
request = urllib.request.Request(url, headers={"Host": "hello.apps.localhost"})
end = time.monotonic() + 900
with open(answers, "w", encoding="utf-8") as lines:
    while time.monotonic() < end and not os.path.exists(answers + ".end"):
        try:
            with opener.open(request, timeout=30) as answer:
                said = f"{answer.status} {answer.read().decode().strip()}"
        except urllib.error.HTTPError as error:
            said = f"{error.code} {error.headers.get('Edge-Answer')}"
        except Exception as error:
            said = f"none {error!r}"
        print(time.strftime("%H:%M:%S"), said, file=lines, flush=True)
        time.sleep(0.1)
END
    visitor=$!
    # The first answer is one of before.
    for _ in $(seq 100); do
        [ -s "$visits" ] && return 0
        sleep 0.1
    done
    return 1
}

# Ends that. Every request was answered with 200, by both of these versions in turn; otherwise prints the ones that were not.
visits_end() {
    touch "$visits.end"
    wait "$visitor"
    visitor=
    if grep -v '^[0-9:]* 200 ' "$visits"; then return 1; fi
    grep -q "version=$1 " "$visits"
    grep -q "version=$2 " "$visits"
}

visits_stop() {
    if [ -n "${visitor:-}" ]; then kill "$visitor"; fi
}

# What the cluster's main page has at a path, byte for byte; fails where there is nothing.
download() {
    python3 - "$APPS_URL$1" <<'END'
import shutil, sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
shutil.copyfileobj(opener.open(sys.argv[1], timeout=60), sys.stdout.buffer)
END
}

# Waits for a page with this in it: an edge needs a moment to know a new app.
wait_for_page() {
    for _ in $(seq 60); do
        if page | grep -qF "$1"; then return 0; fi
        sleep 1
    done
    page
    return 1
}

field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
