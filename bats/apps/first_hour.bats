#!/usr/bin/env bats
# The first hour of an app developer, in a cluster of virtual machines, from an account of this machine that may do nothing else.
# `e2e/tests/cluster_lifecycle.rs`, in each `cargo xtask test`, runs the steps that are tagged `short`, those with `end` after a worker was
# replaced, and the one with `joined` before these; `e2e/tests/apps.rs`, with `--long`, runs all of them in their order. A step that is tagged
# needs none that is not. The tests make the cluster, the program, the keys and the images, and set:
#   APPS_CLI       the program `futuswarm`        APPS_DIR   a folder with keys (jane, joe), the authority's key and archives of images
#   APPS_SSH       HOST:PORT of the way in        APPS_URL   the load balancer
bats_require_minimum_version 1.8.0

load helpers

teardown() { visits_stop; }

# bats test_tags=short
@test "login checks the host by the cluster's authority" {
    run -0 f login "jane@$APPS_SSH" --host-ca "$APPS_DIR/authority.pub" --identity "$APPS_DIR/jane/key" --cluster local
    run -0 joe login "joe@$APPS_SSH" --host-ca "$APPS_DIR/authority.pub" --identity "$APPS_DIR/joe/key" --cluster local
    run -0 --separate-stderr f whoami --json
    [ "$(field name <<<"$output")" = jane ]
}

# bats test_tags=short
@test "plain ssh with the same key gets no terminal, no forwarding, no files and no other program" {
    options=(-F none -o BatchMode=yes -o IdentitiesOnly=yes -o "IdentityFile=$APPS_DIR/jane/key" -o HostKeyAlias=futuswarm
        -o "UserKnownHostsFile=$APPS_DIR/jane/futuswarm/local/known_hosts" -o GlobalKnownHostsFile=/dev/null
        -o StrictHostKeyChecking=yes -o UpdateHostKeys=no -o "Port=${APPS_SSH##*:}")
    account=futuswarm@${APPS_SSH%:*}
    # What is run in the place of this speaks with a control service, which ends when nothing is said.
    run --separate-stderr someone jane timeout 60 ssh -v "${options[@]}" "$account" id </dev/null
    [[ "$stderr" == *"Authenticated to "* ]]
    [[ "$output$stderr" != *uid=* ]]
    run --separate-stderr someone jane timeout 60 ssh -tt "${options[@]}" "$account" id </dev/null
    [[ "$stderr" == *"PTY allocation request failed"* ]]
    [[ "$output$stderr" != *uid=* ]]
    run --separate-stderr someone jane timeout 60 ssh -W 127.0.0.1:22 "${options[@]}" "$account" </dev/null
    [ "$status" -ne 0 ]
    [[ "$stderr" == *"administratively prohibited"* ]]
    run someone jane timeout 60 sftp "${options[@]}" -b - "$account" <<<"ls /etc"
    [ "$status" -ne 0 ]
    [[ "$output" != *passwd* ]]
    # ssh takes the home of the account's row, whatever HOME is.
    [ ! -e "$APPS_DIR/jane/.ssh" ]
    [ ! -e "$(getent passwd 65534 | cut -d: -f6)/.ssh" ]
}

@test "a stranger's authority is no reason to trust" {
    run -7 someone stranger "$APPS_CLI" login "jane@$APPS_SSH" --host-ca "$APPS_DIR/other.pub" --identity "$APPS_DIR/jane/key"
}

@test "there are no apps, and one that does not exist is told from one that is another's" {
    run -0 --separate-stderr f app:list --json
    [ "$output" = "[]" ]
    run -4 f app:inspect ghost
}

# bats test_tags=short
@test "an image is pushed from an archive, and nothing of it twice" {
    run -0 --separate-stderr f image:push hello:1 --archive "$APPS_DIR/hello-1.tar" --json
    first=$(field sent_bytes <<<"$output")
    [ "$first" -gt 100000 ]
    run -0 --separate-stderr f image:push hello:2 --archive "$APPS_DIR/hello-2.tar" --json
    # Only its config differs.
    [ "$(field sent_bytes <<<"$output")" -lt 5000 ]
}

# bats test_tags=short
@test "a deployment ends healthy, and its page is served" {
    run -0 --separate-stderr f deploy hello -i hello:1 -f "$APPS_DIR/app.toml" --json
    [ "$(field outcome <<<"$output")" = deployed ]
    wait_for_page "version=1"
}

@test "the same again is unchanged" {
    run -0 --separate-stderr f deploy hello --json
    [ "$(field outcome <<<"$output")" = unchanged ]
}

# bats test_tags=short
@test "config reaches the app, and strange values stay what they are" {
    run -0 f config:set -a hello "COLOUR=a=b \"quoted\" 🦀"
    wait_for_page 'colour=a=b "quoted" 🦀'
    run -0 --separate-stderr f config:get COLOUR -a hello
    [ "$output" = 'a=b "quoted" 🦀' ]
    run -2 f config:set -a hello "1BAD=x"
}

# bats test_tags=short
@test "a secret is a file" {
    printf 'hush' >"$APPS_DIR/jane/secret"
    run -0 f secret:set -a hello "KEY=@$APPS_DIR/jane/secret"
    run -0 --separate-stderr f run -a hello -- /app secret KEY
    [ "$output" = hush ]
}

# bats test_tags=short
@test "a program runs with its exit code, input and output" {
    run -7 f run -a hello -- /app exit 7
    run -0 --separate-stderr bash -c "$(declare -f someone f); echo to and fro | f run -a hello -- /app echo"
    [ "$output" = "to and fro" ]
    [[ "$stderr" == *"11 bytes"* ]]
}

@test "a shell has a terminal when there is one, and its exit code is passed on" {
    run -0 --separate-stderr bash -c "$(declare -f someone f); echo here | f shell hello"
    [ "$output" = "here: terminal=false" ]
    at_a_terminal() { printf 'here\nexit 5\n' | someone jane TERM=xterm script --quiet --return --command "$APPS_CLI shell hello" /dev/null; }
    run -5 at_a_terminal
    [[ "$output" == *"here: terminal=true"* ]]
}

# bats test_tags=short
@test "logs are those of its tasks" {
    page /in-the-log >/dev/null
    sleep 2
    run -0 --separate-stderr f logs hello
    [[ "$output" == *"GET /in-the-log"* ]]
    [[ "$output" == *"listens on port 8000"* ]]
}

@test "an app is scaled" {
    run -0 f scale hello 2
    run -0 --separate-stderr f ps hello --json
    running='import json, sys; print(sum(task["state"] == task["desired"] == "running" for task in json.load(sys.stdin)))'
    [ "$(python3 -c "$running" <<<"$output")" = 2 ]
}

# bats test_tags=short
@test "a deployment that fails is put back, and says why" {
    run -1 f deploy hello -i hello:2 -f "$APPS_DIR/dies.toml"
    [[ "$output" == *"ended with the code 3"* ]]
    [[ "$output" == *"cannot find the database"* ]]
    wait_for_page "version=1"
    run -0 --separate-stderr f why hello --json
    [ "$(field class <<<"$output")" = exits ]
}

@test "an app that listens on another port than it says is put back, and is told which" {
    run -1 f deploy hello -i hello:2 -f "$APPS_DIR/elsewhere.toml"
    [[ "$output" == *"nothing listens on the port 8000"*"it listens at port 3000"* ]]
    wait_for_page "version=1"
    run -0 --separate-stderr f why hello --json
    [ "$(field class <<<"$output")" = port ]
    [[ "$(field remedy <<<"$output")" == *"port = 3000"* ]]
}

@test "an image that is not there, or for another machine, changes nothing" {
    run -1 f deploy hello -i hello:9
    [[ "$output" == *"there is no image hello:9"* ]]
    run -0 f image:push hello:arm --archive "$APPS_DIR/hello-arm.tar" --platform linux/arm64
    run -1 f deploy hello -i hello:arm
    [[ "$output" == *"linux/arm64"* ]]
    run -2 f deploy hello -i other:1
}

# bats test_tags=short
@test "a rollback puts code and config back together" {
    # Port and edge stay as they are: no request is lost.
    visits_begin
    run -0 f deploy hello -i hello:2 -f "$APPS_DIR/app.toml"
    wait_for_page "version=2"
    visits_end 1 2
    run -0 f rollback 1 -a hello
    wait_for_page "version=1 colour="
    page | grep -qvF quoted
    run -0 f releases hello
}

@test "a database is made, used, backed up, restored, rotated and dropped" {
    sql() { bash -c "$(declare -f someone f); f db:psql hello" <<<"$1"; }
    run -0 --separate-stderr f db:create hello --json
    [[ "$output" == *DATABASE_URL* ]]
    [[ "$output$stderr" != *postgresql://* ]]
    run -0 --separate-stderr f run -a hello -- /app secret DATABASE_URL
    [[ "$output" == postgresql://hello_a:*@*:5432/hello?sslmode=require ]]
    run -0 sql "create table items (name text); insert into items values ('one'), ('two');"
    run -0 sql "select session_user || ' as ' || current_user;"
    [[ "$output" == *"hello_u_jane_"*" as hello_owner"* ]]
    run -3 sql "select 1/0; select 'never';"
    [[ "$output" != *never* ]]
    run -3 joe db:psql hello
    run -0 --separate-stderr f db:backup hello
    backup=$output
    run -0 --separate-stderr f db:list hello --json
    [[ "$output" == *"\"$backup\""* ]]
    run -0 sql "drop table items;"
    run -2 f db:restore hello --backup "$backup"
    run -4 f db:restore hello --backup none --confirm hello
    run -0 f db:restore hello --backup "$backup" --confirm hello
    run -0 sql "select count(*) || ' items' from items;"
    [[ "$output" == *"2 items"* ]]
    run -0 f db:rotate hello
    run -0 --separate-stderr f run -a hello -- /app secret DB_USER
    [ "$output" = hello_b ]
    run -1 f app:remove hello --confirm hello
    [[ "$output" == *"db:drop hello"* ]]
    run -0 f db:drop hello --confirm hello
    run -4 f db:psql hello
}

# bats test_tags=short
@test "nobody else may, until the owner says so" {
    run -3 joe deploy hello -i hello:2
    run -3 joe logs hello
    run -3 joe config:get COLOUR -a hello
    run -0 --separate-stderr joe app:list --json
    [ "$output" = "[]" ]
    run -0 f acl:user:add joe --role viewer -a hello
    run -0 joe logs hello
    run -3 joe deploy hello -i hello:2
    run -0 f acl:user:rm joe -a hello
    run -3 joe logs hello
}

@test "a token deploys one app and does nothing else" {
    run -0 --separate-stderr f tokens:create ci -a hello --json
    python3 -c 'import json, sys; print(json.load(sys.stdin)["key"], end="")' <<<"$output" >"$APPS_DIR/ci/key"
    chown 65534:65534 "$APPS_DIR/ci/key"
    chmod 600 "$APPS_DIR/ci/key"
    # Keys are known to the managers within 30 seconds.
    sleep 30
    ci() { someone ci "$APPS_CLI" "$@"; }
    run -0 ci login "ci@$APPS_SSH" --host-ca "$APPS_DIR/authority.pub" --identity "$APPS_DIR/ci/key" --cluster local
    run -0 ci deploy hello -i hello:2
    run -3 ci config:get COLOUR -a hello
    run -3 ci deploy another -i another:1
    run -0 f tokens:revoke ci -a hello
    run -3 ci deploy hello -i hello:1
}

@test "a plan changes nothing, and what is staged waits for the next change" {
    run -0 --separate-stderr f deploy hello -i hello:1 -f "$APPS_DIR/app.toml" --plan --json
    [ "$(field new <<<"$output")" = False ]
    [[ "$(field changes <<<"$output")" == *hello:1* ]]
    page | grep -qF "version=2"
    run -0 --separate-stderr f image:gc -a hello --plan --json
    [ "$(field plan <<<"$output")" = True ]
    run -4 f cancel hello
    [[ "$output" == *"no release on its way"* ]]
    run -0 --separate-stderr f config:set -a hello STAGED=yes --stage --json
    [ "$(field deployment <<<"$output")" = None ]
    run -0 bash -c "$(declare -f someone f); printf 'COLOUR=green\nSHAPE=round\n' | f config:set -a hello -"
    wait_for_page "colour=green"
    run -0 --separate-stderr f run -a hello -- /app env STAGED
    [ "$output" = yes ]
    run -0 --separate-stderr f run -a hello -- /app env SHAPE
    [ "$output" = round ]
    run -0 --separate-stderr f config:history -a hello --json
    changes='import json, sys; rows = json.load(sys.stdin); print(len(rows) > 2, rows[0]["by"])'
    [ "$(python3 -c "$changes" <<<"$output")" = "True jane" ]
}

@test "logs that are followed go on with what is written meanwhile" {
    (sleep 10 && page /while-followed) >/dev/null 2>&1 3>&- &
    # As somebody who looks for a while and goes: an emulated machine needs seconds for what others answer at once.
    run -124 someone jane timeout 30 "$APPS_CLI" logs hello -f
    wait
    [[ "$output" == *"GET /while-followed"* ]]
}

@test "whom an app admits is kept, and a cluster without a login says that it does not count yet" {
    run -0 f app:access:add hello user:ada@example.com group:staff
    [[ "$output" == *"no login yet"* ]]
    run -3 joe app:access:add hello user:joe@example.com
    run -0 f app:access:rm hello user:ada@example.com
    run -0 --separate-stderr f app:access:list hello --json
    [ "$(field visitors <<<"$output")" = "['group:staff']" ]
    run -2 f app:open hello
    run -0 --separate-stderr f app:open hello --confirm hello --json
    [ "$(field open <<<"$output")" = True ]
    run -0 --separate-stderr f app:private hello --json
    [ "$(field open <<<"$output")" = False ]
    [ "$(field visitors <<<"$output")" = "['group:staff']" ]
    run -0 --separate-stderr f app:access:add hello everybody --json
    [ "$(field visitors <<<"$output")" = None ]
    page | grep -qF "version=2"
}

@test "two apps are linked when both want it, and either ends that" {
    sed 's/hello/shop/' "$APPS_DIR/app.toml" >"$APPS_DIR/shop.toml"
    run -0 f image:push shop:1 --archive "$APPS_DIR/hello-1.tar"
    run -0 f deploy shop -i shop:1 -f "$APPS_DIR/shop.toml"
    run -0 --separate-stderr f app:link hello shop --json
    [ "$(field state <<<"$output")" = waiting ]
    run -0 --separate-stderr f app:link shop hello --json
    [ "$(field state <<<"$output")" = linked ]
    # The release of the other one is its own driver's matter.
    attached='import json, sys; print([(row["other"], row["state"], row["attached"]) for row in json.load(sys.stdin)])'
    for _ in $(seq 60); do
        run -0 --separate-stderr f app:links hello --json
        [ "$(python3 -c "$attached" <<<"$output")" = "[('shop', 'linked', True)]" ] && break
        sleep 2
    done
    [ "$(python3 -c "$attached" <<<"$output")" = "[('shop', 'linked', True)]" ]
    run -0 --separate-stderr f app:unlink hello shop --json
    [ "$(field state <<<"$output")" = ended ]
    # The release which takes it off the network may be on its way.
    for _ in $(seq 60); do
        run f app:remove shop --confirm shop
        [ "$status" -eq 5 ] || break
        sleep 2
    done
    [ "$status" -eq 0 ]
    wait_for_page "version=2"
}

# bats test_tags=joined
@test "an app is served and gets more tasks after a node was replaced" {
    # Which one depends on the steps before.
    wait_for_page "version="
    run -0 f scale hello 2
    for _ in $(seq 6); do
        page | grep -qF "version="
    done
}

# bats test_tags=short,end
@test "an app that is removed is gone" {
    run -0 f app:remove hello --confirm hello
    run -4 f app:inspect hello
    for _ in $(seq 60); do
        page | grep -qF "version=" || return 0
        sleep 1
    done
    return 1
}

# bats test_tags=short,end
@test "the main page offers this very program" {
    # Each node looks every minute, and the page is on two of them.
    for _ in $(seq 40); do
        if download /cli/futuswarm >"$BATS_TEST_TMPDIR/futuswarm" 2>/dev/null &&
            download /cli/futuswarm.sha256 >"$BATS_TEST_TMPDIR/futuswarm.sha256" 2>/dev/null; then
            break
        fi
        sleep 3
    done
    cd "$BATS_TEST_TMPDIR"
    sha256sum --check futuswarm.sha256
    cmp futuswarm "$APPS_CLI"
    run -0 --separate-stderr f cli:version-check --json
    [ "$(field is_offered <<<"$output")" = True ]
}
