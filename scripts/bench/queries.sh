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
#   SETTLE    how many seconds pass between the writes and the queries (default: 15)
#   BAROGRAPH_FLAGS  flags for Barograph, such as --local-blocks=true; windows are cut and listed after some minutes
#
# Six hours of samples are written first. Reports go to target/bench as JSON, one per server, number and span, with the
# tables beside them. Expects release builds in target/release and the peers in $BAROGRAPH_PEERS_DIR: `make
# bench-queries` makes both.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
bench=$root/target/bench
port=${BENCH_PORT:-19019}
. "$root/scripts/bench/servers.sh"

numbers=${SERIES:-10000 100000}
spans=${SPANS:-1h 6h}
interval=${INTERVAL:-30s}

step_of() {
    case $1 in
    1h) echo 15s ;;
    6h) echo 60s ;;
    *) fail "$1 is no span; there are 1h and 6h" ;;
    esac
}

arguments_of() {
    case $1 in
    barograph) echo "${BAROGRAPH_FLAGS:-}" ;;
    # Blocks as long as this are not cut: everything stays in the head, as with the others.
    prometheus) echo "--storage.tsdb.min-block-duration=24h --storage.tsdb.max-block-duration=24h" ;;
    victoria-metrics) echo "-search.maxUniqueTimeseries 2000000" ;;
    esac
}

measure() {
    local server=$1 series=$2 data=$bench/data/$1 samples span name report
    rm -rf "$bench/data"
    mkdir -p "$data"
    # shellcheck disable=SC2046 # several arguments
    start "$server" "$data" "$bench/queries-$series-$server.log" $(arguments_of "$server")
    say "$server: writing 6 h of $series series"
    # A multiple of all steps, so that every server evaluates at the same times. Each series' newest sample is of the last interval
    # before it, as on a system that is asked about now.
    local end_ms=$(($(date +%s) / 60 * 60 * 1000))
    samples=$((6 * 3600 / ${interval%s}))
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
    local servers=("$@") server series reports=()
    [ $# -gt 0 ] || servers=(prometheus victoria-metrics barograph)
    for series in $numbers; do
        for server in "${servers[@]}"; do
            measure "$server" "$series"
        done
    done
    table "${servers[*]}" "${reports[@]}" | tee "$bench/queries.md"
}

main "$@"
