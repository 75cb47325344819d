#!/usr/bin/env bats
# A deployment whose driver dies. The variables are those of first_hour.bats, and:
#   APPS_MANAGERS  instances of the managers      APPS_SPEC  the cluster's spec
bats_require_minimum_version 1.5.0
load helpers

xtask() { "$FUTUSWARM_XTASK" "$@"; }

# The manager whose control service drives release $1.
driver() {
    for manager in $APPS_MANAGERS; do
        if xtask ssh "$manager" --local --spec "$APPS_SPEC" -- sudo journalctl --unit=futuswarm-server --output=cat </dev/null |
            grep -qE "drives a release.*release=$1( |$)"; then
            echo "$manager"
            return 0
        fi
    done
    return 1
}

@test "an app is deployed" {
    run -0 f image:push hello:1 --archive "$APPS_DIR/hello-1.tar"
    run -0 f image:push hello:2 --archive "$APPS_DIR/hello-2.tar"
    run -0 f deploy hello -i hello:1 -f "$APPS_DIR/app.toml"
    wait_for_page "version=1"
}

@test "a manager that dies in the middle of a deployment: another one ends it, once" {
    run -0 --separate-stderr f deploy hello -i hello:2 -f "$APPS_DIR/slow.toml" --detach --json
    release=$(field release <<<"$output")
    for _ in $(seq 10); do
        if victim=$(driver "$release"); then break; fi
    done
    echo "release $release is driven by $victim"
    xtask chaos kill "$victim" --local --spec "$APPS_SPEC"
    # Who waits is told that the connection is gone, and asks the next manager.
    for _ in $(seq 30); do
        run --separate-stderr f watch hello "$release" --json
        [ "$status" -eq 7 ] || break
        sleep 2
    done
    echo "$status $output $stderr"
    [ "$status" -eq 0 ]
    [ "$(field outcome <<<"$output")" = deployed ]
    wait_for_page "version=2"
    run -0 --separate-stderr f releases hello --json
    once='import json, sys; print([one["outcome"] for one in json.load(sys.stdin) if one["release"] == int(sys.argv[1])])'
    [ "$(python3 -c "$once" "$release" <<<"$output")" = "['deployed']" ]
    [ -n "$(driver "$release")" ]
}
