#!/usr/bin/env bash
# Starts and stops the servers that are compared: what the scripts that compare them share. Sourced, not run.
#
# Expects $root, $port and $bench; release builds in $release, peers in $peers, both with defaults.
set -euo pipefail
. "$root/scripts/lib.sh"

peers=${BAROGRAPH_PEERS_DIR:-$root/.tools/sid}
release=${BAROGRAPH_RELEASE_DIR:-$root/target/release}
load_before=$(cut -d ' ' -f 1 /proc/loadavg)
server_pid=

# Starts a server on an empty folder with further arguments of its own, and waits until it is ready. Sets server_pid,
# write_url and query_url.
start() {
    local server=$1 data=$2 log=$3 base=http://127.0.0.1:$port ready_url arguments=()
    shift 3
    write_url=$base/api/v1/write query_url=$base
    case $server in
    barograph)
        ready_url=$base/ready
        arguments=("$release/barograph" --data "$data" --http "127.0.0.1:$port" --self-monitoring.enabled=false)
        ;;
    prometheus)
        ready_url=$base/-/ready
        echo 'global: {}' >"$data.yml"
        arguments=("$peers/usr/bin/prometheus" --config.file "$data.yml" --storage.tsdb.path "$data"
            --web.listen-address "127.0.0.1:$port" --web.enable-remote-write-receiver)
        ;;
    victoria-metrics)
        ready_url=$base/health
        arguments=("$peers/usr/bin/victoria-metrics" -storageDataPath "$data" -httpListenAddr "127.0.0.1:$port"
            -retentionPeriod 1y)
        ;;
    *) fail "$server is no server; there are barograph, prometheus and victoria-metrics" ;;
    esac
    [ -x "${arguments[0]}" ] || fail "${arguments[0]} is not there; the targets bench-peers and bench-queries of make bring everything"
    "${arguments[@]}" "$@" >"$log" 2>&1 &
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

# Prints where and with what servers were measured, and the tables of the reports.
table() {
    local servers=$1 server
    shift
    echo "$(date -u +%F), $(nproc) cores, $(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo), load average before: $load_before"
    for server in $servers; do
        [ "$server" = barograph ] || echo "$server $(cat "$peers/.$server")"
    done
    echo
    "$release/loadtest" report "$@"
}

[ -x "$release/loadtest" ] || fail "$release/loadtest is not there: cargo build --release -p loadtest"
mkdir -p "$bench"
trap stop EXIT
