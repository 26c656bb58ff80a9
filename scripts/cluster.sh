#!/usr/bin/env bash
# A cluster on this machine: which processes it has, with which flags, and starting and stopping them.
#
#   scripts/cluster.sh run                  start all, wait for Ctrl-C, stop all (make cluster)
#   scripts/cluster.sh start [NAME...]      start all, or these, and wait until they are ready
#   scripts/cluster.sh stop [NAME...]       stop all, or these, in order
#   scripts/cluster.sh restart NAME...      one after the other, each ready before the next
#   scripts/cluster.sh kill NAME...         SIGKILL
#   scripts/cluster.sh status               who runs, and who is ready
#   scripts/cluster.sh names                the processes, in the order in which they start
#   scripts/cluster.sh flags NAME           the flags of a process, one a line
#   scripts/cluster.sh commands             every process on a line: its name and its flags
#   scripts/cluster.sh url NAME             where a process serves HTTP
#
# Settings, by environment:
#   CLUSTER_DIR     data, logs and process ids (data/cluster)
#   CLUSTER_BIN     the program (target/release/barograph)
#   CLUSTER_PORT    HTTP is on the ports after this one, gRPC on those after them (9400)
#   CLUSTER_HOSTS   "names": every process is a host of its name, as in containers; HTTP on 9009, gRPC on 9095
#   CLUSTER_ARGS    further flags for every process
#   CLUSTER_ALERTS  the configuration of the Alertmanagers; without one they tell nobody, but for tenants with their own.
#                   With CLUSTER_HOSTS=names it is where containers have it
set -euo pipefail
cd "$(dirname "$0")/.."

DIR=${CLUSTER_DIR:-data/cluster}
BIN=${CLUSTER_BIN:-${CARGO_TARGET_DIR:-target}/release/barograph}
PORT=${CLUSTER_PORT:-9400}
HOSTS=${CLUSTER_HOSTS:-loopback}
ALERTS=${CLUSTER_ALERTS:-}
PATIENCE_SECONDS=120

# The cluster: name, role, zone. They start in this order and stop in the opposite one.
PROCESSES="
metastore-1    metastore    zone-a
metastore-2    metastore    zone-b
metastore-3    metastore    zone-c
ingester-1     ingester     zone-a
ingester-2     ingester     zone-b
ingester-3     ingester     zone-c
distributor-1  distributor  zone-a
distributor-2  distributor  zone-b
querier-1      querier      zone-a
querier-2      querier      zone-b
ruler-1        ruler        zone-a
ruler-2        ruler        zone-b
ruler-3        ruler        zone-c
alertmanager-1 alertmanager zone-a
alertmanager-2 alertmanager zone-b
alertmanager-3 alertmanager zone-c
"

fail() {
    echo "cluster: $*" >&2
    exit 1
}

names() {
    awk 'NF {print $1}' <<<"$PROCESSES"
}

# The nth field of a process.
field() {
    awk -v name="$1" -v n="$2" '$1 == name {print $n}' <<<"$PROCESSES"
}

# A process' place in the list, from 1 on.
number() {
    awk -v name="$1" 'NF {i++} $1 == name {print i}' <<<"$PROCESSES"
}

known() {
    [[ -n $(number "$1") ]] || fail "there is no $1; there are: $(names | paste -sd ' ')"
}

# Where a process is reached: its address for http or grpc.
address() {
    local name=$1 kind=$2 port
    if [[ $HOSTS == names ]]; then
        port=9009
        if [[ $kind == grpc ]]; then port=9095; fi
        echo "$name:$port"
    else
        port=$((PORT + $(number "$name")))
        if [[ $kind == grpc ]]; then port=$((port + $(names | wc -l))); fi
        echo "127.0.0.1:$port"
    fi
}

# Where it listens: all interfaces where it is a host.
listen() {
    if [[ $HOSTS == names ]]; then
        echo "0.0.0.0:$(address "$1" "$2" | cut -d: -f2)"
    else
        address "$1" "$2"
    fi
}

metastores() {
    names | grep '^metastore-'
}

flags() {
    local name=$1 role nodes
    role=$(field "$name" 2)
    echo "--target=$role"
    echo "--instance-id=$name"
    echo "--zone=$(field "$name" 3)"
    echo "--http=$(listen "$name" http)"
    if [[ $role == metastore || $role == ingester || $role == ruler || $role == alertmanager ]]; then
        echo "--grpc=$(listen "$name" grpc)"
        echo "--grpc.advertise=$(address "$name" grpc)"
    fi
    if [[ $role == metastore ]]; then
        nodes=$(for node in $(metastores); do echo "$node=$(address "$node" grpc)"; done | paste -sd ,)
        echo "--metastore.name=$name"
        echo "--metastore.voters=$nodes"
    else
        nodes=$(for node in $(metastores); do address "$node" grpc; done | paste -sd ,)
        echo "--metastore.addresses=$nodes"
    fi
    if [[ $role == alertmanager && $HOSTS == names ]]; then
        echo "--alertmanager-config=${ALERTS:-/etc/barograph/alertmanager.yml}"
    elif [[ $role == alertmanager && -n $ALERTS ]]; then
        echo "--alertmanager-config=$(realpath "$ALERTS")"
    fi
}

pid() {
    local pid
    pid=$(cat "$DIR/$1/pid" 2>/dev/null) || return 1
    # The number may be another process' by now.
    grep -qza -- "--instance-id=$1" "/proc/$pid/cmdline" 2>/dev/null || return 1
    echo "$pid"
}

# The status of GET /ready; 000 where nobody answers.
ready() {
    curl --silent --output /dev/null --max-time 2 --write-out '%{http_code}' "http://$(address "$1" http)/ready" || true
}

launch() {
    local name=$1
    if pid "$name" >/dev/null; then return; fi
    mkdir -p "$DIR/$name" "$DIR/logs"
    if [[ ! -s $DIR/secret ]]; then
        (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$DIR/secret")
    fi
    # A session of its own, so that Ctrl-C reaches this script and not them all at once.
    # shellcheck disable=SC2046,SC2086
    BAROGRAPH_GRPC_CLUSTER_SECRET=$(cat "$DIR/secret") setsid "$BIN" $(flags "$name") --data="$DIR/$name/data" \
        ${CLUSTER_ARGS:-} >>"$DIR/logs/$name.log" 2>&1 </dev/null &
    local started=$!
    echo "$started" >"$DIR/$name/pid"
    # Until it is the program, it is a copy of this script.
    while [[ -d /proc/$started ]] && ! pid "$name" >/dev/null; do sleep 0.02; done
}

await() {
    local name=$1 waited=0
    while [[ $(ready "$name") != 200 ]]; do
        pid "$name" >/dev/null || fail "$name ended; see $DIR/logs/$name.log"
        if ((waited++ > PATIENCE_SECONDS * 5)); then
            fail "$name is not ready: $(curl --silent --max-time 2 "http://$(address "$name" http)/ready")"
        fi
        sleep 0.2
    done
}

start() {
    local name
    [[ -x $BIN ]] || fail "$BIN is missing; make build makes it"
    for name in "$@"; do known "$name"; done
    for name in "$@"; do launch "$name"; done
    for name in "$@"; do await "$name"; done
}

stop() {
    local name pid waited
    for name in "$@"; do
        known "$name"
        pid=$(pid "$name") || continue
        kill -TERM "$pid"
        waited=0
        while pid "$name" >/dev/null; do
            if ((waited++ > PATIENCE_SECONDS * 10)); then fail "$name does not stop"; fi
            sleep 0.1
        done
    done
}

status() {
    local name running
    for name in $(names); do
        if running=$(pid "$name"); then
            printf '%-14s  pid %-8s  ready: %s  http://%s\n' "$name" "$running" "$(ready "$name")" "$(address "$name" http)"
        else
            printf '%-14s  stopped\n' "$name"
        fi
    done
}

run() {
    local idle=
    # shellcheck disable=SC2046
    trap 'echo; echo "==> stopping"; kill "$idle" 2>/dev/null || true; stop $(names | tac); exit 0' INT TERM
    echo "==> starting $(names | wc -l) processes; logs are in $DIR/logs"
    # shellcheck disable=SC2046
    start $(names)
    cat <<EOF
The cluster is ready.
  Prometheus   remote_write: [{url: http://$(address distributor-1 http)/api/v1/push}]    (or http://$(address distributor-2 http)/…)
  Grafana      data source of type Prometheus, URL http://$(address querier-1 http)/prometheus    (or http://$(address querier-2 http)/…)
  Rules        $BIN rules load --url http://$(address ruler-1 http) FILE...    (or at any other ruler)
  Alerts       http://$(address alertmanager-1 http)    (or any other Alertmanager: amtool, Grafana, pages at /ui)
  Metastore    $BIN metastore status --endpoint $(address metastore-1 grpc) --secret-file $DIR/secret
  Processes    scripts/cluster.sh status | restart NAME | kill NAME | start NAME
Ctrl-C stops it; data stays in $DIR.
EOF
    while true; do
        # In the background, so that a signal is acted upon at once.
        sleep 3600 >/dev/null 2>&1 &
        idle=$!
        wait "$idle" || true
    done
}

command=${1:-}
[[ $# -gt 0 ]] && shift
# shellcheck disable=SC2046
case $command in
    run) run ;;
    start) if [[ $# -gt 0 ]]; then start "$@"; else start $(names); fi ;;
    stop) if [[ $# -gt 0 ]]; then stop "$@"; else stop $(names | tac); fi ;;
    restart) for name in "$@"; do stop "$name" && start "$name"; done ;;
    kill) for name in "$@"; do known "$name" && kill -KILL "$(pid "$name" || fail "$name does not run")"; done ;;
    status) status ;;
    names) names ;;
    commands) for name in $(names); do echo "$name $(flags "$name" | paste -sd ' ')"; done ;;
    flags) known "${1:?a name}" && flags "$1" ;;
    url) known "${1:?a name}" && echo "http://$(address "$1" http)" ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 2 ;;
esac
