#!/usr/bin/env bash
# Measures what a sample costs in a cluster with three replicas: all processes of scripts/cluster.sh together, and each by
# itself, and how much distributors send to ingesters.
#
# usage: scripts/bench/cluster.sh [LOAD...]
#
#   LOAD      short long tenants rw2, as in side-by-side.sh; short and rw2 unless some are named
#
#   SETTLE    how long background work is counted after the last request (default: 10s)
#   VERIFY    yes: ask for every sample afterwards (default: no)
#
# Reports go to target/bench. Expects release builds in target/release, or in $BAROGRAPH_RELEASE_DIR.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/scripts/lib.sh"
release=${BAROGRAPH_RELEASE_DIR:-$root/target/release}
bench=$root/target/bench
export CLUSTER_DIR=$bench/cluster
export CLUSTER_BIN=$release/barograph
export CLUSTER_PORT=${CLUSTER_PORT:-9400}
settle=${SETTLE:-10s}
verify=${VERIFY:-no}

cluster() {
    "$root/scripts/cluster.sh" "$@"
}

load_arguments() {
    case $1 in
    short) echo "--series 100000 --samples 40" ;;
    long) echo "--series 50000 --samples 240" ;;
    tenants) echo "--series 100000 --samples 20 --tenants 1000 --series-per-request 50 --concurrency 8" ;;
    rw2) echo "--series 100000 --samples 40 --protocol 2" ;;
    *) fail "$1 is no load; there are short, long, tenants and rw2" ;;
    esac
}

# User and system time of a process so far, in seconds.
cpu_seconds() {
    awk -v ticks="$(getconf CLK_TCK)" '{ sub(/^.*\) /, ""); print ($12 + $13) / ticks }' "/proc/$1/stat"
}

# The sum of a counter over all its labels, of all distributors.
counter() {
    local name
    for name in $(cluster names | grep '^distributor-'); do
        curl -sf "$(cluster url "$name")/metrics"
    done | awk -v metric="$1" 'index($1, metric) == 1 { sum += $2 } END { printf "%.0f\n", sum }'
}

measure() {
    local load=$1 report=$bench/cluster-$1.json name pids=() before=() i code=0 samples arguments
    rm -rf "$CLUSTER_DIR"
    arguments=
    [ "$load" != tenants ] || arguments=--multitenancy-enabled=true
    say "$load: $(cluster names | wc -l) processes"
    CLUSTER_ARGS="--self-monitoring.enabled=false $arguments" cluster start
    # What processes do at their start is not to be counted.
    sleep 2
    for name in $(cluster names); do
        pids+=("$(cat "$CLUSTER_DIR/$name/pid")")
        before+=("$(cpu_seconds "${pids[-1]}")")
    done
    # shellcheck disable=SC2046 # several arguments
    "$release/loadtest" write --url "$(cluster url distributor-1)/api/v1/push" $(printf -- '--pid %s ' "${pids[@]}") \
        --data-dir "$CLUSTER_DIR" --acks "$CLUSTER_DIR/acks" --settle "$settle" --name "$load, 3 replicas" --json --quiet \
        $(load_arguments "$load") >"$report" || code=$?
    # 1 is a run of which not everything was acknowledged; the table says so.
    [ "$code" -le 1 ] || fail "measuring under load $load was not possible"
    samples=$(counter barograph_distributor_received_samples_total)
    say "$load: CPU-seconds per million samples, by process"
    i=0
    for name in $(cluster names); do
        awk -v name="$name" -v before="${before[$i]}" -v after="$(cpu_seconds "${pids[$i]}")" -v samples="$samples" \
            'BEGIN { printf "  %-14s %6.2f\n", name, (after - before) * 1e6 / samples }'
        i=$((i + 1))
    done
    awk -v sent="$(counter barograph_grpc_peer_sent_bytes_total)" -v samples="$samples" \
        'BEGIN { printf "  distributors sent %.1f bytes a sample to ingesters, all replicas together\n", sent / samples }'
    if [ "$verify" = yes ]; then
        "$release/loadtest" verify --url "$(cluster url querier-1)/prometheus" --acks "$CLUSTER_DIR/acks" --quiet
    fi
    cluster stop
    reports+=("$report")
}

main() {
    local loads=("$@") load reports=()
    [ $# -gt 0 ] || loads=(short rw2)
    [ -x "$CLUSTER_BIN" ] || fail "$CLUSTER_BIN is not there: make build"
    [ -x "$release/loadtest" ] || fail "$release/loadtest is not there: cargo build --release -p loadtest"
    mkdir -p "$bench"
    trap 'cluster stop' EXIT
    for load in "${loads[@]}"; do
        load_arguments "$load" >/dev/null
    done
    for load in "${loads[@]}"; do
        measure "$load"
    done
    "$release/loadtest" report "${reports[@]}" | tee "$bench/cluster.md"
}

main "$@"
