#!/usr/bin/env bats
# Beside a local cloud that runs: no port, name or proxy of the machine's other tenants matters. `cargo xtask test` starts that
# cloud; `cargo xtask test --quick` leaves this out.

setup() {
    [ -n "$FUTUSWARM_BESIDE" ] || skip "no local cloud was started: cargo xtask test does"
    cd "$BATS_TEST_DIRNAME/.."
    LOCAL="$(dirname "$FUTUSWARM_XTASK")/futuswarm-local"
    export FUTUSWARM_STATE="$BATS_FILE_TMPDIR/s"
    SECOND="$BATS_FILE_TMPDIR/second.toml"
    # A port that was set is not changed in silence: the specs say nothing of ports.
    [ -e "$SECOND" ] || sed 's/"local" /"local-second" /' clusters/local.toml > "$SECOND"
}

teardown_file() {
    [ -n "$FUTUSWARM_BESIDE" ] || return 0
    cd "$BATS_TEST_DIRNAME/.."
    export FUTUSWARM_STATE="$BATS_FILE_TMPDIR/s"
    "$(dirname "$FUTUSWARM_XTASK")/futuswarm-local" down --spec "$BATS_FILE_TMPDIR/second.toml"
}

endpoint() { "$LOCAL" cloud --spec "$1" | python3 -c 'import json,sys; print(json.load(sys.stdin)["api_endpoint"])'; }

@test "the other cloud runs" {
    run env FUTUSWARM_STATE="$FUTUSWARM_BESIDE_STATE" "$LOCAL" cloud --spec "$FUTUSWARM_BESIDE"
    [ "$status" -eq 0 ]
}

@test "doctor notes who has the usual ports, and fails no check because of it" {
    run bash -c '"$1" doctor --json --spec "$2" 2> /dev/null' bash "$LOCAL" "$SECOND"
    run python3 - "$output" <<'END'
import json, sys
checks = [check for check in json.loads(sys.argv[1]) if "port of" in check["name"]]
assert len(checks) == 4, checks
assert all(check["outcome"] in ("good", "note") for check in checks), checks
noted = [check for check in checks if check["outcome"] == "note"]
assert noted and all("is in use by" in check["found"] and "the next free port" in check["remedy"] for check in noted), checks
END
    echo "$output"
    [ "$status" -eq 0 ]
}

@test "a second cloud of the same spec takes the next free ports and says so, and no proxy learns of it" {
    # Nobody listens on port 9: whatever went to a proxy would fail.
    export HTTP_PROXY=http://127.0.0.1:9 HTTPS_PROXY=http://127.0.0.1:9 ALL_PROXY=http://127.0.0.1:9 http_proxy=http://127.0.0.1:9 NO_PROXY=example.com
    run "$LOCAL" up --api-only --spec "$SECOND"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" =~ "of 127.0.0.1 is in use by futuswarm"[^,]*", so "[0-9]+" is used; api_port under [local] of the spec sets another" ]]
    first=$(env FUTUSWARM_STATE="$FUTUSWARM_BESIDE_STATE" "$LOCAL" cloud --spec "$FUTUSWARM_BESIDE" | python3 -c 'import json,sys; print(json.load(sys.stdin)["api_endpoint"])')
    [ "$(endpoint "$SECOND")" != "$first" ]
    # Again: it is found, and nothing is said of ports.
    run "$LOCAL" up --api-only --spec "$SECOND"
    [ "$status" -eq 0 ]
    [[ "$output" != *"is in use"* ]]
}

@test "what an operator does with a local cloud never goes through a proxy" {
    export HTTP_PROXY=http://127.0.0.1:9 HTTPS_PROXY=http://127.0.0.1:9 ALL_PROXY=http://127.0.0.1:9 http_proxy=http://127.0.0.1:9
    run "$FUTUSWARM_XTASK" destroy-cluster --local --spec "$SECOND" --plan
    echo "$output"
    [ "$status" -eq 0 ]
    run "$FUTUSWARM_XTASK" image list --local --spec "$SECOND"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" == *"there are no images"* ]]
    # Also when only the program is told the endpoint, as people do who wrote down what `cloud` prints; and lower case wins.
    eval "$("$LOCAL" cloud --spec "$SECOND" | python3 -c 'import json,sys; [print(f"export {key}={value}") for key, value in json.load(sys.stdin)["environment"].items() if "proxy" not in key.lower()]')"
    run env no_proxy=example.com NO_PROXY=example.com "$(dirname "$FUTUSWARM_XTASK")/futuswarm-publish" image list
    echo "$output"
    [ "$status" -eq 0 ]
}

@test "a port that the spec sets is refused when it is taken, with its owner" {
    port=$(endpoint "$SECOND"); port=${port##*:}
    sed "s/\"local\" /\"local-third\" /; s/^# api_port = 4566 .*/api_port = $port/" clusters/local.toml > "$BATS_TEST_TMPDIR/third.toml"
    run "$LOCAL" up --api-only --spec "$BATS_TEST_TMPDIR/third.toml"
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" == *"port $port of 127.0.0.1 is in use by futuswarm"*"set \`api_port\` under [local]"* ]]
    run "$LOCAL" cloud --spec "$BATS_TEST_TMPDIR/third.toml"
    [[ "$output" == *"is not running"* ]]
}

@test "destroying a cluster of the same name in another state folder leaves this one alone" {
    run env FUTUSWARM_STATE="$BATS_TEST_TMPDIR/o" "$LOCAL" down --spec "$SECOND"
    [ "$status" -eq 0 ]
    run "$LOCAL" machines --spec "$SECOND"
    echo "$output"
    [ "$status" -eq 0 ]
    netns=$("$LOCAL" cloud --spec "$SECOND" | python3 -c 'import json,sys; print(json.load(sys.stdin)["netns"])')
    [ -e "/run/netns/$netns" ]
}
