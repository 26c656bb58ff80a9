#!/usr/bin/env bash
# Measures Barograph, Prometheus and VictoriaMetrics one after the other under the same loads, and prints one table.
#
# usage: scripts/bench/side-by-side.sh [SERVER...]
#
#   SERVER    barograph, prometheus, victoria-metrics; all three unless some are named
#
#   LOADS     which loads, of: short long tenants many rw2 (default: all)
#   SETTLE    how long background work is counted after the last request (default: 10s)
#
# Reports go to target/bench as JSON, one per load and server, with the table beside them. Expects release builds in
# target/release and the peers in $BAROGRAPH_PEERS_DIR: `make bench-peers` makes both.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
bench=$root/target/bench
port=${BENCH_PORT:-19009}
. "$root/scripts/bench/servers.sh"

loads=${LOADS:-short long tenants many rw2}
settle=${SETTLE:-10s}

# The arguments of a load; see docs/performance.md for what each is there for.
load_arguments() {
    case $1 in
    short) echo "--series 100000 --samples 40" ;;
    long) echo "--series 50000 --samples 240" ;;
    tenants) echo "--series 100000 --samples 20 --tenants 1000 --series-per-request 50 --concurrency 8" ;;
    many) echo "--series 500000 --samples 12" ;;
    rw2) echo "--series 100000 --samples 40 --protocol 2" ;;
    *) fail "$1 is no load; there are short, long, tenants, many and rw2" ;;
    esac
}

measure() {
    local server=$1 load=$2 data=$bench/data/$1 arguments=()
    rm -rf "$bench/data"
    mkdir -p "$data"
    say "$load: $server"
    [ "$load $server" != "tenants barograph" ] || arguments=(--multitenancy-enabled=true)
    start "$server" "$data" "$bench/$load-$server.log" ${arguments[@]+"${arguments[@]}"}
    # What the server does at its start is not to be counted.
    sleep 2
    local code=0
    # shellcheck disable=SC2046 # several arguments
    "$release/loadtest" write --url "$write_url" --pid "$server_pid" --data-dir "$data" \
        --settle "$settle" --name "$load, $server" --json $(load_arguments "$load") \
        >"$bench/$load-$server.json" || code=$?
    stop
    rm -rf "$bench/data"
    # 1 is a run of which not everything was acknowledged; the table says so.
    [ "$code" -le 1 ] || fail "measuring $server under load $load was not possible"
    reports+=("$bench/$load-$server.json")
}

main() {
    local servers=("$@") load server reports=()
    [ $# -gt 0 ] || servers=(prometheus victoria-metrics barograph)
    for load in $loads; do
        load_arguments "$load" >/dev/null
    done
    for load in $loads; do
        for server in "${servers[@]}"; do
            # VictoriaMetrics takes a request of remote write 2.0 for an empty one of 1.0.
            [ "$load $server" != "rw2 victoria-metrics" ] || continue
            measure "$server" "$load"
        done
    done
    table "${servers[*]}" "${reports[@]}" | tee "$bench/table.md"
}

main "$@"
