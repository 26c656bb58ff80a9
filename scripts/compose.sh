#!/usr/bin/env bash
# Prints deploy/compose/docker-compose.yml: the processes of `make cluster` as containers, each with exactly the flags
# that scripts/cluster.sh has for it where every process is a host of its own.
#
# usage: scripts/compose.sh >deploy/compose/docker-compose.yml
set -euo pipefail

cluster=$(dirname "$0")/cluster.sh
export CLUSTER_HOSTS=names
# The port of this machine that the first front door is published on.
port=9009

head_of_file() {
    cat <<'END'
# A cluster of Barograph on one machine: three metastores, three ingesters in three zones, two distributors, two queriers, three rulers,
# three Alertmanagers, and Prometheus, which scrapes them all and writes through the distributors. docs/operations/docker.md says how to use
# it. Made by scripts/compose.sh of scripts/cluster.sh: every container has exactly the flags of `make cluster`.
version: '3.8'

x-barograph: &barograph
  image: ${BAROGRAPH_IMAGE:-barograph:latest}
  restart: unless-stopped
  stop_grace_period: 2m
  networks: [cluster]
  environment:
    BAROGRAPH_GRPC_CLUSTER_SECRET: ${CLUSTER_SECRET:?set it to a long random text that all processes of the cluster share}

services:
END
}

service() {
    local name=$1 flag
    printf '  %s:\n    <<: *barograph\n    hostname: %s\n    command:\n' "$name" "$name"
    while read -r flag; do
        printf "      - '%s'\n" "${flag//\'/\'\'}"
    done < <("$cluster" flags "$name")
    case $name in
    alertmanager-*)
        printf "    volumes: ['%s:/var/lib/barograph', './alertmanager.yml:/etc/barograph/alertmanager.yml:ro']\n" "$name" ;;
    *) printf "    volumes: ['%s:/var/lib/barograph']\n" "$name" ;;
    esac
    case $name in
    distributor-* | querier-* | ruler-* | alertmanager-*)
        printf "    ports: ['127.0.0.1:%s:9009']\n" "$port"
        port=$((port + 1))
        ;;
    esac
    echo
}

tail_of_file() {
    cat <<'END'
  prometheus:
    image: ${PROMETHEUS_IMAGE:-prom/prometheus:v3.5.0}
    restart: unless-stopped
    command: [--config.file=/etc/prometheus/prometheus.yml, --storage.tsdb.path=/prometheus, --storage.tsdb.retention.time=1d]
    networks: [cluster]
    ports: ['127.0.0.1:9090:9090']
    volumes:
      - ./prometheus.yml:/etc/prometheus/prometheus.yml:ro
      - prometheus:/prometheus

  # What only a registry has stands in profiles: docker-compose --profile grafana --profile bucket up -d
  grafana:
    image: grafana/grafana:12.1.0
    profiles: [grafana]
    restart: unless-stopped
    environment: {GF_AUTH_ANONYMOUS_ENABLED: 'true', GF_AUTH_ANONYMOUS_ORG_ROLE: Admin}
    networks: [cluster]
    ports: ['127.0.0.1:3000:3000']
    volumes: ['../grafana/datasources:/etc/grafana/provisioning/datasources:ro']

  # A bucket to try things with; no role of this version keeps data in one.
  minio:
    image: minio/minio:RELEASE.2025-07-23T15-54-02Z
    profiles: [bucket]
    restart: unless-stopped
    command: [server, /data, --console-address, ':9001']
    networks: [cluster]
    ports: ['127.0.0.1:9000:9000', '127.0.0.1:9001:9001']
    volumes: ['minio:/data']

networks:
  cluster:

volumes:
END
    local name
    for name in $("$cluster" names) prometheus minio; do
        echo "  $name:"
    done
}

head_of_file
for name in $("$cluster" names); do
    service "$name"
done
tail_of_file
