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
. "$(dirname "$0")/../lib.sh"

root=$(cd "$(dirname "$0")/../.." && pwd)
peers=${BAROGRAPH_PEERS_DIR:-$root/.tools/sid}
bench=$root/target/bench
loads=${LOADS:-short long tenants many rw2}
settle=${SETTLE:-10s}
port=${BENCH_PORT:-19009}
server_pid=

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

# Starts a server on an empty folder; sets server_pid, write_url and ready_url.
start() {
    local server=$1 load=$2 data=$3 log=$4 arguments=()
    case $server in
    barograph)
        write_url=http://127.0.0.1:$port/api/v1/push ready_url=http://127.0.0.1:$port/ready
        arguments=("$root/target/release/barograph" --data "$data" --http "127.0.0.1:$port"
            --limits.max-global-series-per-user 0 --self-monitoring.enabled=false)
        [ "$load" != tenants ] || arguments+=(--multitenancy-enabled=true)
        ;;
    prometheus)
        write_url=http://127.0.0.1:$port/api/v1/write ready_url=http://127.0.0.1:$port/-/ready
        echo 'global: {}' >"$data.yml"
        arguments=("$peers/usr/bin/prometheus" --config.file "$data.yml" --storage.tsdb.path "$data"
            --web.listen-address "127.0.0.1:$port" --web.enable-remote-write-receiver)
        ;;
    victoria-metrics)
        write_url=http://127.0.0.1:$port/api/v1/write ready_url=http://127.0.0.1:$port/health
        arguments=("$peers/usr/bin/victoria-metrics" -storageDataPath "$data" -httpListenAddr "127.0.0.1:$port"
            -retentionPeriod 1y)
        ;;
    *) fail "$server is no server; there are barograph, prometheus and victoria-metrics" ;;
    esac
    [ -x "${arguments[0]}" ] || fail "${arguments[0]} is not there; \`make bench-peers\` brings everything"
    "${arguments[@]}" >"$log" 2>&1 &
    server_pid=$!
}

wait_ready() {
    local log=$1
    for _ in $(seq 300); do
        kill -0 "$server_pid" 2>/dev/null || fail "the server ended by itself; its output is in $log"
        if curl -sf -o /dev/null "$ready_url"; then
            # What the server does at its start is not to be counted.
            sleep 2
            return
        fi
        sleep 0.1
    done
    fail "the server was not ready within 30 s; its output is in $log"
}

stop() {
    [ -n "$server_pid" ] || return 0
    kill "$server_pid" 2>/dev/null || true
    wait "$server_pid" 2>/dev/null || true
    server_pid=
}

measure() {
    local server=$1 load=$2 data=$bench/data/$1 log=$bench/$2-$1.log
    rm -rf "$bench/data"
    mkdir -p "$data"
    say "$load: $server"
    start "$server" "$load" "$data" "$log"
    wait_ready "$log"
    local code=0
    # shellcheck disable=SC2046 # several arguments
    "$root/target/release/loadtest" write --url "$write_url" --pid "$server_pid" --data-dir "$data" \
        --settle "$settle" --name "$load, $server" --json $(load_arguments "$load") \
        >"$bench/$load-$server.json" || code=$?
    stop
    rm -rf "$bench/data"
    # 1 is a run of which not everything was acknowledged; the table says so.
    [ "$code" -le 1 ] || fail "measuring $server under load $load was not possible"
    reports+=("$bench/$load-$server.json")
}

main() {
    local servers=("$@") load server
    [ $# -gt 0 ] || servers=(prometheus victoria-metrics barograph)
    [ -x "$root/target/release/loadtest" ] || fail "target/release/loadtest is not there: cargo build --release -p loadtest"
    for load in $loads; do
        load_arguments "$load" >/dev/null
    done
    mkdir -p "$bench"
    trap stop EXIT
    reports=()
    for load in $loads; do
        for server in "${servers[@]}"; do
            # VictoriaMetrics takes a request of remote write 2.0 for an empty one of 1.0.
            [ "$load $server" != "rw2 victoria-metrics" ] || continue
            measure "$server" "$load"
        done
    done
    {
        echo "$(date -u +%F), $(nproc) cores, $(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo), load average before: $load_before"
        for server in "${servers[@]}"; do
            [ "$server" = barograph ] || echo "$server $(cat "$peers/.$server")"
        done
        echo
        "$root/target/release/loadtest" report "${reports[@]}"
    } | tee "$bench/table.md"
}

load_before=$(cut -d ' ' -f 1 /proc/loadavg)
main "$@"
