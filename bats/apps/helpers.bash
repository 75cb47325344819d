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
