#!/usr/bin/env bash
# Measures what the same queries cost Barograph, Prometheus and VictoriaMetrics, on the same series, held in memory.
#
# usage: scripts/bench/queries.sh [SERVER...]
#
#   SERVER    barograph, prometheus, victoria-metrics; all three unless some are named
#
#   SERIES    how many series, one or several numbers (default: 10000 100000)
#   SPANS     how long range queries reach back, of: 1h 6h (default: both)
#   INTERVAL  time between two samples of a series (default: 30s)
#
# Six hours of samples are written first. Reports go to target/bench as JSON, one per server, number and span, with the
# tables beside them. Expects release builds in target/release and the peers in $BAROGRAPH_PEERS_DIR: `make
# bench-queries` makes both.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

root=$(cd "$(dirname "$0")/../.." && pwd)
peers=${BAROGRAPH_PEERS_DIR:-$root/.tools/sid}
release=${BAROGRAPH_RELEASE_DIR:-$root/target/release}
bench=$root/target/bench
numbers=${SERIES:-10000 100000}
spans=${SPANS:-1h 6h}
interval=${INTERVAL:-30s}
port=${BENCH_PORT:-19019}
server_pid=

step_of() {
    case $1 in
    1h) echo 15s ;;
    6h) echo 60s ;;
    *) fail "$1 is no span; there are 1h and 6h" ;;
    esac
}

# Starts a server on an empty folder; sets server_pid, write_url, ready_url and query_url.
start() {
    local server=$1 data=$2 log=$3 arguments=() base=http://127.0.0.1:$port
    write_url=$base/api/v1/write query_url=$base
    case $server in
    barograph)
        ready_url=$base/ready
        arguments=("$release/barograph" --data "$data" --http "127.0.0.1:$port" --self-monitoring.enabled=false)
        ;;
    prometheus)
        ready_url=$base/-/ready
        echo 'global: {}' >"$data.yml"
        # Blocks as long as this are not cut: everything stays in the head, as with the others.
        arguments=("$peers/usr/bin/prometheus" --config.file "$data.yml" --storage.tsdb.path "$data"
            --web.listen-address "127.0.0.1:$port" --web.enable-remote-write-receiver
            --storage.tsdb.min-block-duration=24h --storage.tsdb.max-block-duration=24h)
        ;;
    victoria-metrics)
        ready_url=$base/health
        arguments=("$peers/usr/bin/victoria-metrics" -storageDataPath "$data" -httpListenAddr "127.0.0.1:$port"
            -retentionPeriod 1y -search.maxUniqueTimeseries 2000000)
        ;;
    *) fail "$server is no server; there are barograph, prometheus and victoria-metrics" ;;
    esac
    [ -x "${arguments[0]}" ] || fail "${arguments[0]} is not there; \`make bench-queries\` brings everything"
    "${arguments[@]}" >"$log" 2>&1 &
    server_pid=$!
    for _ in $(seq 300); do
        kill -0 "$server_pid" 2>/dev/null || fail "$server ended by itself; its output is in $log"
        ! curl -sf -o /dev/null "$ready_url" || return 0
        sleep 0.1
    done
    fail "$server was not ready within 30 s; its output is in $log"
}

stop() {
    [ -n "$server_pid" ] || return 0
    kill "$server_pid" 2>/dev/null || true
    wait "$server_pid" 2>/dev/null || true
    server_pid=
}

measure() {
    local server=$1 series=$2 data=$bench/data/$1 samples span name report
    rm -rf "$bench/data"
    mkdir -p "$data"
    start "$server" "$data" "$bench/queries-$series-$server.log"
    say "$server: writing 6 h of $series series"
    # A multiple of all steps, so that every server evaluates at the same times.
    local end_ms=$(($(date +%s) / 60 * 60 * 1000))
    samples=$((6 * 3600 / ${interval%s} + 1))
    "$release/loadtest" write --url "$write_url" --series "$series" --samples "$samples" --interval "$interval" \
        --start-ms "$((end_ms - 6 * 3600 * 1000))" --quiet --json >"$bench/queries-write.json"
    # Background work of the writes shall not count as a query's.
    sleep "${SETTLE:-15}"
    for span in $spans; do
        name="$series series, $span"
        report=$bench/queries-$series-$span-$server.json
        say "$server: queries over $span"
        "$release/loadtest" query --url "$query_url" --pid "$server_pid" --end-ms "$end_ms" --span "$span" \
            --step "$(step_of "$span")" --name "$name" --server "$server" --quiet --json >"$report"
        reports+=("$report")
    done
    stop
    rm -rf "$bench/data"
}

main() {
    local servers=("$@") server series
    [ $# -gt 0 ] || servers=(prometheus victoria-metrics barograph)
    [ -x "$release/loadtest" ] || fail "$release/loadtest is not there: cargo build --release -p loadtest"
    mkdir -p "$bench"
    trap stop EXIT
    reports=()
    for series in $numbers; do
        for server in "${servers[@]}"; do
            measure "$server" "$series"
        done
    done
    {
        echo "$(date -u +%F), $(nproc) cores, $(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo), load average before: $load_before"
        for server in "${servers[@]}"; do
            [ "$server" = barograph ] || echo "$server $(cat "$peers/.$server")"
        done
        echo
        "$release/loadtest" report "${reports[@]}"
    } | tee "$bench/queries.md"
}

load_before=$(cut -d ' ' -f 1 /proc/loadavg)
main "$@"
