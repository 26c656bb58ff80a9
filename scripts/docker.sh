#!/usr/bin/env bash
# Sees to it that a Docker engine answers, and that docker-compose is there: installs Debian's packages where they are
# missing, and starts the engine where it does not run and this is root. An engine that it started stays; its process id
# is in /run/docker.pid.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# How long a starting engine may take, in seconds.
patience=60

main() {
    command -v dockerd >/dev/null || docker info >/dev/null 2>&1 || install_packages docker.io iptables
    command -v docker-compose >/dev/null || docker compose version >/dev/null 2>&1 || install_packages docker-compose
    ! docker info >/dev/null 2>&1 || return 0
    [ "$(id -u)" -eq 0 ] || fail "no Docker engine answers, and only root can start one"
    say "starting a Docker engine (log in /var/log/dockerd.log)"
    setsid dockerd >/var/log/dockerd.log 2>&1 </dev/null &
    local waited=0
    until docker info >/dev/null 2>&1; do
        [ $((waited += 1)) -le "$patience" ] || fail "the engine does not answer: $(tail -3 /var/log/dockerd.log)"
        sleep 1
    done
}

main
