#!/usr/bin/env bats
# What an operator types before there is a cluster, and with mistakes in it. Needs no virtual machine.

setup() {
    cd "$BATS_TEST_DIRNAME/.."
    XTASK="${FUTUSWARM_XTASK:-cargo xtask}"
    export FUTUSWARM_STATE="$BATS_TEST_TMPDIR/s"
    # Network namespaces are the machine's, whatever the state folder: with the usual spec, a cloud that runs would be destroyed.
    SPEC=e2e/specs/local-bats.toml
}

@test "help shows every verb and examples" {
    run $XTASK --help
    [ "$status" -eq 0 ]
    for word in bake deploy-cluster destroy-cluster status ssh console chaos doctor test bench Examples; do
        [[ "$output" == *"$word"* ]]
    done
}

@test "the image pipeline has its own help" {
    run $XTASK bake --help
    [ "$status" -eq 0 ]
    [[ "$output" == *"--update-lock"* ]]
}

@test "a spec with mistakes is refused with file, line, key and the nearest key, and nothing is created" {
    printf 'cluster = "local"\nregion = "eu-west-1"\ndomian = "x.localhost"\n[groups.managers]\nrole = "manager"\ncount = "1"\ninstance_type = "t3.small"\n' > "$BATS_TEST_TMPDIR/bad.toml"
    run $XTASK deploy-cluster --local --no-install "$BATS_TEST_TMPDIR/bad.toml"
    [ "$status" -ne 0 ]
    [[ "$output" == *"bad.toml:3: domian: there is no such key; did you mean \`domain\`?"* ]]
    [[ "$output" == *"bad.toml:6: groups.managers.count: a whole number between 0 and 100 is needed, but the string \"1\" is there"* ]]
    [ ! -e "$FUTUSWARM_STATE/local" ]
}

@test "--local refuses a real cluster's name" {
    run $XTASK deploy-cluster --local --no-install clusters/example.toml
    [ "$status" -ne 0 ]
    [[ "$output" == *"is not a local one"* ]]
    [ ! -e "$FUTUSWARM_STATE/local/prod" ]
}

@test "a missing spec is named" {
    run $XTASK deploy-cluster --local --no-install nowhere.toml
    [ "$status" -ne 0 ]
    [[ "$output" == *"nowhere.toml"* ]]
}

@test "a plan for AWS without credentials says where to get some" {
    run env -u AWS_ACCESS_KEY_ID -u AWS_PROFILE -u AWS_ENDPOINT_URL AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null \
        AWS_EC2_METADATA_DISABLED=true $XTASK deploy-cluster clusters/example.toml --plan
    [ "$status" -eq 1 ]
    [[ "$output" == *"no AWS credentials were found; get new credentials"* ]]
}

@test "a mistyped AWS_PROFILE is named with the nearest" {
    printf '[profile prod]\nregion = eu-west-1\n' > "$BATS_TEST_TMPDIR/config"
    run env -u AWS_ACCESS_KEY_ID -u AWS_ENDPOINT_URL AWS_PROFILE=prdo AWS_CONFIG_FILE="$BATS_TEST_TMPDIR/config" \
        AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true $XTASK deploy-cluster clusters/example.toml --plan
    [ "$status" -eq 1 ]
    [[ "$output" == *'AWS_PROFILE names the profile "prdo", which does not exist: did you mean "prod"?'* ]]
}

@test "every problem of a spec is reported at once, keys that do not fit together, too" {
    sed 's/^count = 1 /count = 2 /; s/"eu-west-1c"/"eu-north-1c"/; s/^memory_mib = 1536/memory_mib = "much"/' clusters/local.toml > "$BATS_TEST_TMPDIR/unfit.toml"
    run $XTASK deploy-cluster --local --no-install "$BATS_TEST_TMPDIR/unfit.toml"
    [ "$status" -ne 0 ]
    [[ "$output" == *"a Swarm needs 1, 3, 5 or 7"* ]]
    [[ "$output" == *"is not in the region"* ]]
    [[ "$output" == *"local.memory_mib: a whole number"* ]]
}

@test "without a cloud, day-two verbs say so and what to do" {
    for verb in "status" "ssh i-1" "console i-1" "chaos kill i-1"; do
        run $XTASK $verb --local --spec "$SPEC"
        [ "$status" -ne 0 ]
        [[ "$output" == *"is not running; start it with \`cargo xtask deploy-cluster --local\`"* ]]
    done
}

@test "destroying what is not there succeeds" {
    run $XTASK destroy-cluster --local --spec "$SPEC"
    [ "$status" -eq 0 ]
}

@test "a plan to destroy what is not there does nothing and says so" {
    mkdir -p "$FUTUSWARM_STATE/local/local-bats"
    run $XTASK destroy-cluster --local --spec "$SPEC" --plan
    [ "$status" -eq 0 ]
    [[ "$output" == *"there is no cluster that could be destroyed"* ]]
    [ -d "$FUTUSWARM_STATE/local/local-bats" ]
    run $XTASK destroy-cluster --local --spec nowhere.toml --plan
    [ "$status" -eq 1 ]
    [[ "$output" == *"nowhere.toml"* ]]
}

@test "a word that no verb knows exits with 1, since 2 is a plan's that has changes" {
    run $XTASK deploy-cluster --lokal --plan
    [ "$status" -eq 1 ]
    [[ "$output" == *"--lokal"* ]]
    run $XTASK deploy-cluster --help
    [ "$status" -eq 0 ]
}

@test "doctor runs every check and names a port's owner" {
    # A port that nobody else can have meanwhile: the kernel chooses it, and it stays taken until the end.
    python3 -c 'import socket,sys,time; s=socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); print(s.getsockname()[1], flush=True); time.sleep(60)' 3>&- > "$BATS_TEST_TMPDIR/port" &
    listener=$!
    for _ in $(seq 100); do [ -s "$BATS_TEST_TMPDIR/port" ] && break; sleep 0.1; done
    port=$(cat "$BATS_TEST_TMPDIR/port")
    sed "s/^# http_port = 8080.*/http_port = $port/; s/\"local\" /\"local-doctor\" /" clusters/local.toml > "$BATS_TEST_TMPDIR/doctor.toml"
    run $XTASK doctor --local --spec "$BATS_TEST_TMPDIR/doctor.toml"
    kill "$listener"
    [ "$status" -ne 0 ]
    [[ "$output" == *"FAIL  port of the balancer"*"port $port of 127.0.0.1 is in use by python3"* ]]
    [[ "$output" == *"set http_port under [local]"* ]]
    # Whatever else is the matter with this machine, every check is there.
    for check in rights taps mmdebstrap namespaces "cluster spec" "disk space" memory "port of the AWS API" acceleration "tools tree" "AWS emulator" leftovers; do
        [[ "$output" == *"$check"* ]]
    done
    [[ "$output" =~ [1-9][0-9]*" of "[0-9]+" checks failed" ]]
}
