#!/usr/bin/env bash
# Measures restarts, after SIGKILL and after a clean stop: how long they take, and the memory beside that of the same process before.
#
# usage: scripts/bench/restart.sh [LOAD...]
#
#   LOAD          SERIESxSAMPLES, 15 s apart; 500000x480 and 500000x150 unless some are named
#
#   SETTLE        for how long the process is left alone before it is killed (default: 20)
#   INTERVAL      between the samples of a series (default: 15s)
#   AGE           how many seconds ago the first samples were taken; without it the last ones are taken now
#   FLAGS         further flags of the process, such as --bucket.backend=filesystem: with AGE=14400 blocks are cut and shipped
#                 meanwhile
#   VERIFY        1: afterwards every acknowledged sample is asked for (default: 0)
#   BAROGRAPH, LOADTEST
#                 the programs; release builds are made and taken unless they are named
#
# Memory is anonymous plus shared memory, looked at every 100 ms. "settled" is the median of the time left alone, and the
# start counts until 10 s after the process is ready; its CPU is that until it is ready. Everything is in target/bench/restart; the table is table.md there.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

root=$(cd "$(dirname "$0")/../.." && pwd)
out=$root/target/bench/restart
barograph=${BAROGRAPH:-$root/target/release/barograph}
loadtest=${LOADTEST:-$root/target/release/loadtest}
settle=${SETTLE:-20}
verify=${VERIFY:-0}
interval=${INTERVAL:-15s}
read -ra flags <<<"${FLAGS:-}"
port=${BENCH_PORT:-19009}
url=http://127.0.0.1:$port
after_ready=10
server_pid='' sampler_pid=''

stop() {
    [ -z "$sampler_pid" ] || kill "$sampler_pid" 2>/dev/null || true
    [ -z "$server_pid" ] || kill -KILL "$server_pid" 2>/dev/null || true
    wait 2>/dev/null || true
    server_pid='' sampler_pid=''
}

start() {
    "$barograph" --data "$data" --http "127.0.0.1:$port" --grpc "127.0.0.1:$((port + 1))" --limits.max-global-series-per-user 0 \
        --self-monitoring.enabled=false "${flags[@]}" >>"$log" 2>&1 &
    server_pid=$!
    sample "$server_pid" >"$1" &
    sampler_pid=$!
}

# Prints seconds since the start and KiB of anonymous and shared memory, until the process ends.
sample() {
    local begun=${EPOCHREALTIME/./} now key value memory
    while memory=0; {
        while read -r key value _; do
            case $key in RssAnon: | RssShmem:) memory=$((memory + value)) ;; esac
        done <"/proc/$1/status"
    } 2>/dev/null && [ "$memory" -gt 0 ] || [ $((${EPOCHREALTIME/./} - begun)) -lt 200000 ]; do
        now=$((${EPOCHREALTIME/./} - begun))
        printf '%d.%06d %d\n' $((now / 1000000)) $((now % 1000000)) "$memory"
        sleep 0.1
    done
}

# Waits until the server is ready; gives the seconds since its start.
ready_after() {
    local begun=${EPOCHREALTIME/./}
    until curl -sf -o /dev/null "$url/ready"; do
        kill -0 "$server_pid" 2>/dev/null || fail "the server ended by itself; its output is in $log"
        [ $((${EPOCHREALTIME/./} - begun)) -lt 300000000 ] || fail "the server was not ready within 5 minutes; its output is in $log"
        sleep 0.05
    done
    seconds=$(((${EPOCHREALTIME/./} - begun) / 1000))
    seconds=$((seconds / 1000)).$(printf '%03d' $((seconds % 1000)))
}

# User and system time of the server so far, in seconds.
cpu() { awk -v ticks="$(getconf CLK_TCK)" '{ sub(/^.*\) /, ""); printf "%.1f", ($12 + $13) / ticks }' "/proc/$server_pid/stat"; }

# Stops the server as an operator does, and gives the seconds that it took.
stop_cleanly() {
    local begun=${EPOCHREALTIME/./}
    kill -TERM "$server_pid"
    wait "$server_pid" || fail "the server did not stop cleanly; its output is in $log"
    took=$(((${EPOCHREALTIME/./} - begun) / 1000))
    took=$((took / 1000)).$(printf '%03d' $((took % 1000)))
    server_pid=''
    stop
}

# Starts again, and gives the seconds until it is ready and the CPU-seconds and the most memory meanwhile.
again() {
    start "$1"
    ready_after
    cpu_seconds=$(cpu)
    sleep "$after_ready"
    awk -v end="$seconds" -v more="$after_ready" '$1 <= end + more' "$1" >"$1.start"
    start_peak=$(peak "$1.start")
    rm "$1.start"
}

peak() { sort -k2n "$1" | awk 'END { printf "%.0f", $2 / 1024 }'; }
# The median of the last so many samples.
settled() { tail -n "$2" "$1" | sort -k2n | awk '{ m[NR] = $2 } END { printf "%.0f", m[int((NR + 1) / 2)] / 1024 }'; }

measure() {
    local series=${1%x*} samples=${1#*x} running="$out/$1-running.txt" restart="$out/$1-restart.txt" code=0
    data=$out/data log=$out/$1.log
    rm -rf "$data"
    mkdir -p "$data"
    : >"$log"
    say "$1: writing"
    start "$running"
    ready_after
    local -a when=()
    [ -z "${AGE:-}" ] || when=(--start-ms $((($(date +%s) - AGE) * 1000)))
    "$loadtest" write --url "$url/api/v1/push" --pid "$server_pid" --data-dir "$data" --quiet --json --settle "${settle}s" \
        --series "$series" --samples "$samples" --interval "$interval" "${when[@]}" --acks "$out/acks" >"$out/$1.json" || code=$?
    [ "$code" -le 1 ] || fail "writing was not possible"
    local blocks
    blocks=$(curl -sf "$url/metrics" | awk '/^barograph_ingester_shipped_blocks_total/ { print $NF }')
    stop
    say "$1: starting again after SIGKILL"
    again "$restart"
    local ready=$seconds killed_cpu=$cpu_seconds killed_peak=$start_peak
    say "$1: starting again after a clean stop"
    stop_cleanly
    again "$restart"
    if [ "$verify" = 1 ]; then
        say "$1: asking for every sample"
        "$loadtest" verify --url "$url" --acks "$out/acks" --quiet || fail "$1: not everything that was acknowledged is there"
    fi
    local calm run_peak
    calm=$(settled "$running" $((settle * 5))) run_peak=$(peak "$running")
    stop
    rm -rf "$data" "$out/acks"
    rows+=("$(printf '| %s | %d | %d MiB | %d MiB | %s | %d MiB | %s s | %s | %d MiB | %s s | %s | %s s |' "$1" "${blocks:-0}" "$calm" \
        "$run_peak" "$(ratio "$run_peak" "$calm")" "$killed_peak" "$ready" "$killed_cpu" "$start_peak" "$seconds" "$cpu_seconds" "$took")")
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

main() {
    local loads=("$@") load rows=()
    [ $# -gt 0 ] || loads=(500000x480 500000x150)
    if [ -z "${BAROGRAPH:-}${LOADTEST:-}" ]; then
        say "building"
        (cd "$root" && cargo build --release -p barograph -p loadtest)
    fi
    mkdir -p "$out"
    trap stop EXIT
    for load in "${loads[@]}"; do
        [[ $load =~ ^[1-9][0-9]*x[1-9][0-9]*$ ]] || fail "$load is no load; one is 500000x480"
        measure "$load"
    done
    {
        echo "$(date -u +%F), $(nproc) cores, load average before: $load_before"
        echo
        echo "| load | blocks shipped | settled | peak while writing | of settled | killed: peak | ready | CPU-s | stopped: peak | ready | CPU-s | the stop |"
        echo "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
        printf '%s\n' "${rows[@]}"
    } | tee "$out/table.md"
}

load_before=$(cut -d ' ' -f 1 /proc/loadavg)
main "$@"
