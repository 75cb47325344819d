#!/usr/bin/env bats
# The surroundings that a first run may have: each works, or is refused in one line before any work. Needs no virtual machine.

setup() {
    cd "$BATS_TEST_DIRNAME/.."
    ROOT="$PWD"
    XTASK="${FUTUSWARM_XTASK:-cargo xtask}"
    BIN="$(dirname "${FUTUSWARM_XTASK:-target/debug/xtask}")"
    export FUTUSWARM_STATE="$BATS_TEST_TMPDIR/s"
    SPEC="$ROOT/e2e/specs/local-bats.toml"
}

# One line on standard error, and nothing on standard output.
refused_in_one_line() {
    [ "$status" -ne 0 ]
    [ "${#lines[@]}" -eq 1 ]
    [[ "$output" == "error: "* ]]
}

@test "an ordinary user is told at once what takes root, with the one command to get on" {
    # A copy, since the clone and its target folder may be in a folder that only root enters.
    dir=$(mktemp -d /tmp/fsw-user.XXXXXX)
    mkdir -p "$dir/debug"
    cp "$BIN/xtask" "$dir/debug/xtask"
    chmod -R a+rX "$dir"
    user() { (cd "$dir" && setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/nonexistent RUSTUP_HOME=/opt/rust "$dir/debug/xtask" "$@"); }
    for words in "deploy-cluster --local" "destroy-cluster --local" "status --local" "test" "bench" "publish --local" "ssh i-1 --local" "chaos kill i-1 --local"; do
        run user $words
        echo "$words: $output"
        refused_in_one_line
        [[ "$output" == *"takes root; run \`sudo env \"PATH=\$PATH\" RUSTUP_HOME=/opt/rust CARGO_TARGET_DIR="*" cargo xtask $words\`" ]]
    done
    # What takes no root is not refused for it.
    run user test some_filter
    [[ "$output" != *"takes root"* ]]
    rm -r "$dir"
}

@test "folders that cannot be written are refused in one line, with the variable that chooses another" {
    # Nobody makes folders below /proc, not even root.
    run env -u FUTUSWARM_CACHE -u FUTUSWARM_STATE -u XDG_CACHE_HOME -u XDG_STATE_HOME HOME=/proc/1 $XTASK deploy-cluster --local --spec "$SPEC"
    echo "$output"
    refused_in_one_line
    [[ "$output" == *"the cache folder /proc/1/.cache/futuswarm cannot be written"*"FUTUSWARM_CACHE"* ]]
    run env FUTUSWARM_STATE="$BATS_TEST_TMPDIR/two words" $XTASK deploy-cluster --local --spec "$SPEC"
    refused_in_one_line
    [[ "$output" == *"two words has the character ' ' in its path"*"set FUTUSWARM_STATE"* ]]
    run env FUTUSWARM_STATE=/proc/1/state $XTASK status --local --spec "$SPEC"
    refused_in_one_line
    [[ "$output" == *"the state folder /proc/1/state cannot be written"*"FUTUSWARM_STATE"* ]]
}

@test "a spec that is not there is refused before anything is compiled" {
    run $XTASK deploy-cluster --local --spec nowhere.toml
    refused_in_one_line
    [[ "$output" == *"there is no cluster spec nowhere.toml"* ]]
}

@test "without HOME everything is where the system's list of users says" {
    run env -u HOME CARGO_HOME="${CARGO_HOME:-$HOME/.cargo}" RUSTUP_HOME="${RUSTUP_HOME:-$HOME/.rustup}" $XTASK status --local --spec "$SPEC"
    echo "$output"
    [[ "$output" == *"the local cloud local-bats is not running"* ]]
}

@test "a run from a sub-folder finds the clone, and paths are those of the sub-folder" {
    cd crates/local
    run $XTASK status --local --spec ../../e2e/specs/local-bats.toml
    [[ "$output" == *"the local cloud local-bats is not running"* ]]
    cp "$SPEC" "$BATS_TEST_TMPDIR/here.toml"
    echo 'oops = 1' >> "$BATS_TEST_TMPDIR/here.toml"
    cd "$BATS_TEST_TMPDIR"
    run env FUTUSWARM_WORKSPACE="$ROOT" $XTASK status --local --spec here.toml
    [[ "$output" == *"here.toml:"*"oops"* ]]
    run env -u FUTUSWARM_WORKSPACE $XTASK status --local --spec here.toml
    refused_in_one_line
    [[ "$output" == *"is not inside a clone"* ]]
}

@test "a locale without UTF-8 changes nothing" {
    cp "$SPEC" "$BATS_TEST_TMPDIR/bücher.toml"
    for locale in C POSIX de_DE.ISO-8859-1 xx_YY; do
        run env -u LANG LC_ALL="$locale" $XTASK status --local --spec "$BATS_TEST_TMPDIR/bücher.toml"
        echo "$output"
        [ "$status" -eq 1 ]
        [ "${lines[0]}" = "error: the local cloud local-bats is not running; start it with \`cargo xtask deploy-cluster --local\`" ]
        run env -u LANG LC_ALL="$locale" $XTASK status --local --spec "$BATS_TEST_TMPDIR/könig.toml"
        [[ "$output" == *"könig.toml"* ]]
    done
}

@test "without a terminal or standard input nothing waits, and questions are answered with no" {
    run timeout 60 setsid $XTASK status --local --spec "$SPEC" <&-
    [[ "$output" == *"is not running"* ]]
    # A build that has nothing to do says nothing about it.
    [[ "$output" != *Finished* ]]
}

@test "on a terminal a build that has nothing to do leaves no line" {
    # script(1) gives the program a terminal of its own.
    run script --quiet --return --command "$XTASK status --local --spec $SPEC" /dev/null
    [ "$status" -eq 1 ]
    # Cargo's last line is followed by the codes that take it away.
    without=$(printf '%s' "$output" | python3 -c 'import re,sys; print(re.sub(r"[^\n]*Finished[^\n]*\r?\n\x1b\[1A\x1b\[2K", "", sys.stdin.read()))')
    [[ "$without" != *Finished* ]]
    [[ "$without" == *"is not running"* ]]
}

# Runs a program whose reader has gone before it begins; prints its exit code, and what it said on standard error.
without_reader() {
    { sleep 0.2; "$@" 2> "$BATS_TEST_TMPDIR/err"; echo $? > "$BATS_TEST_TMPDIR/code"; } | true
    cat "$BATS_TEST_TMPDIR/code" "$BATS_TEST_TMPDIR/err"
}

@test "when the reader of a pipe has gone, every program ends quietly, as if by SIGPIPE" {
    for program in xtask futuswarm-local futuswarm-provision futuswarm-publish futuswarm-bake futuswarm-node; do
        [ -x "$BIN/$program" ]
        run without_reader "$BIN/$program" --help
        echo "$program --help: $output"
        [ "$output" = 141 ]
    done
    # Data, not only help; and the exit code comes through xtask.
    run without_reader "$BIN/futuswarm-local" doctor --json --spec "$SPEC"
    echo "doctor: $output"
    [ "$output" = 141 ]
    run without_reader $XTASK doctor --local --json --spec "$SPEC"
    echo "xtask doctor: $output"
    [ "$output" = 141 ]
}

# The same for standard error.
without_reader_of_errors() {
    { sleep 0.2; "$@" 2>&1 > /dev/null; echo $? > "$BATS_TEST_TMPDIR/code"; } | true
    cat "$BATS_TEST_TMPDIR/code"
}

@test "when the reader of standard error has gone, every program ends without a panic" {
    for command in "xtask status --local --spec nowhere.toml" "futuswarm-local cloud --spec nowhere.toml" "futuswarm-provision check nowhere.toml" \
        "futuswarm-publish publish --image nowhere" "futuswarm-bake --json --node-binary x"; do
        run without_reader_of_errors "$BIN/"$command
        echo "$command: $output"
        [ "$output" = 141 ]
    done
}

@test "a full disk under standard output is told, not a panic" {
    run bash -c "'$BIN/futuswarm-local' doctor --json --spec '$SPEC' > /dev/full"
    [ "$status" -eq 1 ]
    [[ "$output" == *"error: cannot write to standard output: No space left on device"* ]]
    [[ "$output" != *panicked* ]]
}

@test "no colours without a terminal, in no program, not even when it warns" {
    for command in "xtask --help" "xtask oops" "futuswarm-local oops" "futuswarm-provision oops" "futuswarm-publish oops" "futuswarm-bake --oops" "futuswarm-node oops"; do
        run env FUTUSWARM_LOG=trace CLICOLOR_FORCE= TERM=xterm-256color "$BIN/"$command
        [[ "$output" != *$'\e'* ]]
    done
    # The log's own lines, too: the SDK says at this level which places it has looked for credentials at.
    run env -u AWS_PROFILE -u AWS_ACCESS_KEY_ID FUTUSWARM_LOG=debug AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null \
        "$BIN/futuswarm-provision" status clusters/example.toml
    [[ "$output" == *DEBUG* ]]
    [[ "$output" != *$'\e'* ]]
    run env -u AWS_PROFILE -u AWS_ACCESS_KEY_ID FUTUSWARM_LOG=debug AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null \
        "$BIN/futuswarm-publish" image list --region eu-west-1
    [[ "$output" == *DEBUG* ]]
    [[ "$output" != *$'\e'* ]]
}

@test "a clone in a folder with spaces works, from a sub-folder, too" {
    # The same files under another name, in a namespace of our own: cargo takes what it has built for this clone.
    run unshare --mount bash -euc '
        mkdir -p "$1/a clone"
        mount --bind "$2" "$1/a clone"
        cd "$1/a clone/docs"
        unset FUTUSWARM_WORKSPACE
        "$3" status --local --spec ../e2e/specs/local-bats.toml
    ' bash "$BATS_TEST_TMPDIR" "$ROOT" "$BIN/xtask"
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" == *"the local cloud local-bats is not running"* ]]
}
