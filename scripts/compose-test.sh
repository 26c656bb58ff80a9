#!/usr/bin/env bash
# Runs the compose cluster with a real Docker engine: builds the images from binaries that are here, starts everything,
# writes and reads back for a minute while an ingester and all metastores are killed, asks for every acknowledged sample
# at the end, and prints the figures. Takes everything down again, data too.
#
#   BARO    the program (target/release/barograph)
#   LOAD    the load generator (target/release/loadtest)
#   SAMPLES seconds of load, one sample a series and second (60)
set -euo pipefail
. "$(dirname "$0")/lib.sh"

root=$(cd "$(dirname "$0")/.." && pwd)
baro=${BARO:-$root/target/release/barograph}
load=${LOAD:-$root/target/release/loadtest}
samples=${SAMPLES:-60}
reports=$root/target/compose
peers=${BAROGRAPH_PEERS_DIR:-$root/.tools/sid}
patience=180

export COMPOSE_PROJECT_NAME=barograph-test BAROGRAPH_IMAGE=barograph:test PROMETHEUS_IMAGE=barograph-prometheus:test
CLUSTER_SECRET=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
export CLUSTER_SECRET

compose() {
    if command -v docker-compose >/dev/null; then
        docker-compose -f "$root/deploy/compose/docker-compose.yml" "$@"
    else
        docker compose -f "$root/deploy/compose/docker-compose.yml" "$@"
    fi
}

# Debian's Prometheus in an image of its own.
prometheus_image() {
    local context suite
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    context=$(mktemp -d)
    cp "$peers/usr/bin/prometheus" "$context/prometheus"
    docker build --quiet --build-arg "BASE=${BASE:-barograph-base:$suite}" -f "$root/deploy/docker/prometheus.Dockerfile" \
        -t "$PROMETHEUS_IMAGE" "$context" >/dev/null
    rm -rf "$context"
}

container() {
    compose ps -q "$1"
}

# Waits until every container that has a health check is healthy.
healthy() {
    local waited=0 name state
    for name in $("$root/scripts/cluster.sh" names); do
        while state=$(docker inspect --format '{{.State.Health.Status}}' "$(container "$name")") && [ "$state" != healthy ]; do
            if [ $((waited += 1)) -gt "$patience" ]; then
                docker logs --tail 20 "$(container "$name")" >&2
                fail "$name is $state"
            fi
            sleep 1
        done
    done
}

# What is done to the cluster under load.
disturb() {
    sleep $((samples / 4))
    say "SIGKILL: ingester-2"
    docker kill --signal KILL "$(container ingester-2)" >/dev/null
    sleep $((samples / 4))
    say "ingester-2 starts again; SIGKILL: all metastores"
    docker start "$(container ingester-2)" >/dev/null
    for name in metastore-1 metastore-2 metastore-3; do
        docker kill --signal KILL "$(container "$name")" >/dev/null
    done
}

# What Prometheus scrapes, written through the distributors, comes back through a querier. (The distributors write
# metrics of their own, too.)
scraped() {
    local answer targets waited=0
    # Prometheus scrapes itself, too.
    targets=$(($("$root/scripts/cluster.sh" names | wc -l) + 1))
    while :; do
        answer=$("$baro" query instant 'count(up{instance=~"[a-z].*:90.*"} == 1)' --url "http://127.0.0.1:9011/prometheus" --format csv 2>&1 || true)
        case $answer in *,"$targets") break ;; esac
        [ $((waited += 1)) -le "$patience" ] || fail "targets that are up, by a querier: $answer"
        sleep 1
    done
    say "Prometheus scrapes $targets targets, and all are found through a querier"
}

main() {
    [ -x "$load" ] || fail "$load is not there: run make build first"
    [ -x "$peers/usr/bin/prometheus" ] || "$root/scripts/peers.sh" prometheus
    IMAGE=$BAROGRAPH_IMAGE "$root/scripts/image.sh" "$baro"
    prometheus_image
    mkdir -p "$reports"
    rm -f "$reports"/*
    trap 'compose down --volumes --timeout 10 >/dev/null 2>&1' EXIT
    say "starting the containers"
    compose up -d --no-build >"$reports/up.txt" 2>&1 || fail "the containers do not start: $(tail -5 "$reports/up.txt")"
    healthy
    scraped
    local urls=(--url http://127.0.0.1:9009/api/v1/push --url http://127.0.0.1:9010/api/v1/push)
    local reads=(http://127.0.0.1:9011/prometheus http://127.0.0.1:9012/prometheus)
    say "load for $samples s"
    disturb &
    local disturbing=$! code=0
    "$load" write "${urls[@]}" --verify-during "${reads[0]}" --verify-during "${reads[1]}" --series 5000 --series-per-request 500 \
        --concurrency 10 --interval 1s --samples "$samples" --realtime --timeout 10s --acks "$reports/acks" \
        --name compose --settle 0s --json >"$reports/write.json" || code=$?
    wait "$disturbing"
    [ "$code" -le 1 ] || fail "the load could not be made"
    say "asking for every acknowledged sample, the metastores still dead"
    "$load" verify --url "${reads[0]}" --url "${reads[1]}" --acks "$reports/acks" --keep-trying 30s | tee "$reports/verify.txt"
    say "what it cost, by container"
    docker stats --no-stream --format 'table {{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.NetIO}}' | tee "$reports/stats.txt"
    python3 - "$reports/write.json" <<'END'
import json, sys
report = json.load(open(sys.argv[1]))
reading = report["reading"]
print(f'{report["samples"]} samples acknowledged, {report["samples_not_acknowledged"]} not, {report["retries"]} retries, '
      f'p50 {report["latency_p50_ms"]:.1f} ms, p99 {report["latency_p99_ms"]:.1f} ms')
print(f'{reading["queries"]} queries meanwhile, failed: {reading["failed"]}, latency {reading["latency"]}, '
      f'differences {reading["differences"]["counts"]}')
END
    [ "$code" -eq 0 ] || fail "not everything was acknowledged, or an answer was wrong: see $reports/write.json"
    say "passed"
}

main
