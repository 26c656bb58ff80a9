#!/usr/bin/env bash
# Measures what queries over a month of blocks cost: Barograph, which has them in a bucket of files, and Prometheus, which
# has the same ones on its disk.
#
# usage: scripts/bench/blocks.sh [SERVER...]
#
#   SERVER    barograph, prometheus; both unless one is named
#
#   SERIES    how many series, one or several numbers (default: 10000 100000)
#   INTERVALS time between two samples of a series, for each of these numbers (default: 1m 5m)
#   DURATION  how much time there is (default: 30d)
#   STEP      distance of evaluations (default: 2h)
#   ONLY      only queries whose names contain this
#
# Blocks are of a day, as compactors leave them. The first execution of each query is cold: nobody has asked for its series
# before. Reports go to target/bench as JSON, what was fetched from the bucket beside them. Expects release builds in
# target/release and Prometheus in $BAROGRAPH_PEERS_DIR.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
bench=${BENCH_DIR:-$root/target/bench}
port=${BENCH_PORT:-19019}
. "$root/scripts/bench/servers.sh"

read -ra numbers <<<"${SERIES:-10000 100000}"
read -ra intervals <<<"${INTERVALS:-1m 5m}"
duration=${DURATION:-30d}
step=${STEP:-2h}

# Requests to the bucket and bytes from it so far, of a Barograph that runs.
fetched() {
    curl -sf "http://127.0.0.1:$port/metrics" | awk '
        /^barograph_bucket_operations_total/ { requests += $NF }
        /^barograph_bucket_received_bytes_total/ { bytes += $NF }
        END { printf "%d requests, %.1f MiB\n", requests, bytes / 1048576 }'
}

# The blocks as a server wants them: Prometheus shares the files, Barograph imports them into its bucket.
give() {
    local server=$1 blocks=$2 data=$3
    rm -rf "$data"
    mkdir -p "$data"
    case $server in
    prometheus) cp -al "$blocks/." "$data/" ;;
    barograph)
        "$release/barograph" block import --data "$data" --bucket.backend filesystem "$blocks" 2>"$bench/import.log" ||
            fail "blocks cannot be imported: $(tail -n 1 "$bench/import.log")"
        ;;
    esac
}

arguments_of() {
    case $1 in
    # Nothing is merged meanwhile, and nothing is too old.
    prometheus) echo "--storage.tsdb.min-block-duration=1d --storage.tsdb.max-block-duration=1d --storage.tsdb.retention.time=10y" ;;
    barograph) echo "--bucket.backend=filesystem --retention=100d --limits.max-fetched-chunk-bytes-per-query=0" ;;
    esac
}

measure() {
    local server=$1 series=$2 blocks=$3 end_ms=$4 data=$bench/data-blocks/$1 report
    report=$bench/blocks-$series-$server.json
    give "$server" "$blocks" "$data"
    # shellcheck disable=SC2046 # several arguments
    start "$server" "$data" "$bench/blocks-$series-$server.log" $(arguments_of "$server")
    sleep "${SETTLE:-10}"
    say "$server: queries over $duration of $series series"
    [ "$server" != barograph ] || say "before: $(fetched)"
    "$release/loadtest" query --url "$query_url" --pid "$server_pid" --end-ms "$end_ms" --span "$duration" --step "$step" \
        --only "${ONLY:-}" --name "$series series, $duration" --server "$server" --quiet --json >"$report"
    [ "$server" != barograph ] || fetched | tee "$bench/blocks-$series-fetched.txt"
    reports+=("$report")
    stop
    rm -rf "$data"
}

main() {
    local servers=("$@") server i series blocks end_ms reports=()
    [ $# -gt 0 ] || servers=(prometheus barograph)
    end_ms=$(($(date +%s) / 86400 * 86400 * 1000))
    for i in "${!numbers[@]}"; do
        series=${numbers[$i]} blocks=$bench/blocks-$series
        rm -rf "$blocks"
        mkdir -p "$blocks"
        say "writing $duration of $series series, a sample each ${intervals[$i]}"
        "$release/loadtest" blocks "$blocks" --series "$series" --duration "$duration" --interval "${intervals[$i]}" \
            --end-ms "$end_ms" --quiet
        say "$(du -sh "$blocks" | cut -f 1) of blocks"
        for server in "${servers[@]}"; do
            measure "$server" "$series" "$blocks" "$end_ms"
        done
        rm -rf "$blocks"
    done
    table "${servers[*]}" "${reports[@]}" | tee "$bench/blocks.md"
}

main "$@"
