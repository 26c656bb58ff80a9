#!/usr/bin/env bash
# Measures what merging blocks costs: Barograph (`barograph compact run`) and Prometheus, which merges the same ones.
#
# usage: scripts/bench/compact.sh [SERVER...]
#
#   SERVER    barograph, prometheus; both unless one is named
#
#   SERIES    how many series, one or several numbers (default: 1 1000 100000 1000000)
#   KINDS     which blocks: in-a-row (three of two hours, one after the other, become one of six) and replicas (three copies
#             of one, as three ingesters cut it); both by default
#   INTERVAL  time between two samples of a series (default: 30s; 1m from a million series on)
#
# Prints a table: samples that were read for each second of CPU time, and the most anonymous memory. Expects release builds
# in target/release and Prometheus in $BAROGRAPH_PEERS_DIR.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
bench=${BENCH_DIR:-$root/target/bench}
port=${BENCH_PORT:-19019}
. "$root/scripts/bench/servers.sh"

read -ra numbers <<<"${SERIES:-1 1000 100000 1000000}"
read -ra kinds <<<"${KINDS:-in-a-row replicas}"
# A time that windows of two and of six hours begin at: the end of the last block.
end_s=$((1767225600 / 21600 * 21600))

# CPU seconds of a process so far, in hundredths.
cpu_of() {
    awk '{ print $14 + $15 }' "/proc/$1/stat" 2>/dev/null || echo 0
}

# Notes the most anonymous memory of a process, in KiB, until it ends.
watch_memory() {
    local pid=$1 file=$2 most=0 now
    while now=$(awk '/RssAnon/ { print $2 }' "/proc/$pid/status" 2>/dev/null) && [ -n "$now" ]; do
        [ "$now" -le "$most" ] || { most=$now && echo "$most" >"$file"; }
        sleep 0.05
    done
}

# Blocks that were merged from three, in a folder.
merged() {
    local meta
    for meta in "$1"/*/meta.json; do
        [ -e "$meta" ] || continue
        python3 - "$meta" <<'PY' || continue
import json, sys
meta = json.load(open(sys.argv[1]))
if len(meta["compaction"].get("sources", [])) != 3:
    sys.exit(1)
print(meta["stats"]["numSamples"])
PY
    done
}

# Three blocks of so many series in a folder.
make() {
    local kind=$1 series=$2 interval=$3 folder=$4
    rm -rf "$folder"
    mkdir -p "$folder"
    case $kind in
    in-a-row)
        "$release/loadtest" blocks --series "$series" --interval "$interval" --duration 6h --block 2h \
            --end-ms "$((end_s * 1000 - 1))" --quiet "$folder" >/dev/null
        # Prometheus leaves the newest block alone.
        "$release/loadtest" blocks --series 1 --interval "$interval" --duration 1h --block 2h \
            --end-ms "$((end_s * 1000 + 7199999))" --quiet "$folder" >/dev/null
        ;;
    replicas)
        "$release/loadtest" blocks --series "$series" --interval "$interval" --duration 2h --block 2h \
            --end-ms "$((end_s * 1000 - 1))" --quiet "$folder" >/dev/null
        # Ingesters cut chunks at the same times: what they have of a series is equal to the byte.
        python3 - "$folder" <<'PY'
import json, os, shutil, sys
folder = sys.argv[1]
ulid = os.listdir(folder)[0]
for last in "XYZ":
    copy = ulid[:-1] + last
    shutil.copytree(f"{folder}/{ulid}", f"{folder}/{copy}", copy_function=os.link)
    os.remove(f"{folder}/{copy}/meta.json")
    meta = json.load(open(f"{folder}/{ulid}/meta.json"))
    meta["ulid"] = copy
    meta["compaction"]["sources"] = [copy]
    json.dump(meta, open(f"{folder}/{copy}/meta.json", "w"))
shutil.rmtree(f"{folder}/{ulid}")
PY
        ;;
    esac
}

# Runs a command; prints its CPU time and how long it took, in hundredths of seconds, and its most anonymous memory in KiB.
measured() {
    python3 - "$@" <<'PY'
import os, re, subprocess, sys, time
begun = time.monotonic()
with open(os.environ["LOG"], "w") as log:
    child = subprocess.Popen(sys.argv[1:], stdout=log, stderr=log)
most = 0
while True:
    pid, status, usage = os.wait4(child.pid, os.WNOHANG)
    if pid:
        break
    try:
        found = re.search(r"RssAnon:\s*(\d+)", open(f"/proc/{child.pid}/status").read())
        most = max(most, int(found[1]) if found else 0)
    except OSError:
        pass
    time.sleep(0.01)
if status:
    sys.exit("it failed: " + open(os.environ["LOG"]).read()[-500:])
print(round((usage.ru_utime + usage.ru_stime) * 100), round((time.monotonic() - begun) * 100), most)
PY
}

# Merges, and sets samples, cpu (hundredths of seconds), memory (KiB) and seconds.
merge_barograph() {
    local blocks=$1 data=$2 log=$3 came
    "$release/barograph" block import --data "$data" --bucket.backend filesystem "$blocks" >"$log" 2>&1 ||
        fail "blocks cannot be imported: $(tail -n 1 "$log")"
    came=$(LOG=$log measured "$release/barograph" compact run --data "$data" --bucket.backend filesystem \
        --compactor.settle 0s --compactor.ranges 2h,6h --limits.compactor-blocks-retention-period 100y)
    read -r cpu seconds memory <<<"$came"
    samples=$(merged "$data/bucket/anonymous")
}

merge_prometheus() {
    local blocks=$1 data=$2 log=$3 before
    mkdir -p "$data"
    cp -al "$blocks/." "$data/"
    start prometheus "$data" "$log" --storage.tsdb.min-block-duration=2h --storage.tsdb.max-block-duration=6h \
        --storage.tsdb.retention.time=100y
    sleep 5
    before=$(cpu_of "$server_pid")
    watch_memory "$server_pid" "$bench/compact-memory" &
    # It looks for what to merge once a minute.
    until samples=$(merged "$data") && [ -n "$samples" ]; do
        kill -0 "$server_pid" 2>/dev/null || fail "prometheus ended by itself; its output is in $log"
        sleep 0.2
    done
    cpu=$(($(cpu_of "$server_pid") - before))
    memory=$(cat "$bench/compact-memory")
    seconds=$(sed -n 's/.*msg="compact blocks".*duration=\([0-9.]*\)\(m\?s\).*/\1 \2/p' "$log" | tail -1 |
        awk '{ printf "%d", $2 == "ms" ? $1 / 10 : $1 * 100 }')
    stop
}

main() {
    local servers=("$@") server kind series interval blocks=$bench/compact-blocks data=$bench/compact-data
    [ $# -gt 0 ] || servers=(prometheus barograph)
    echo "$(date -u +%F), $(nproc) cores, load average before: $load_before" >"$bench/compact.md"
    printf '\n| blocks | series | samples of the merged block | who | CPU s | s | million samples per CPU-s | memory, MiB |\n' >>"$bench/compact.md"
    printf '| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |\n' >>"$bench/compact.md"
    for kind in "${kinds[@]}"; do
        for series in "${numbers[@]}"; do
            interval=${INTERVAL:-30s}
            [ -n "${INTERVAL:-}" ] || [ "$series" -lt 1000000 ] || interval=1m
            say "$kind: three blocks of $series series"
            make "$kind" "$series" "$interval" "$blocks"
            for server in "${servers[@]}"; do
                say "$kind, $series series: $server"
                rm -rf "$data"
                echo 0 >"$bench/compact-memory"
                "merge_$server" "$blocks" "$data" "$bench/compact-$server.log"
                awk -v kind="$kind" -v series="$series" -v samples="$samples" -v who="$server" -v cpu="$cpu" -v s="$seconds" -v memory="$memory" \
                    'BEGIN { printf "| %s | %d | %d | %s | %.2f | %.2f | %.1f | %.0f |\n", kind, series, samples, who, cpu / 100, s / 100,
                        cpu ? samples / cpu / 1e4 : 0, memory / 1024 }' | tee -a "$bench/compact.md"
            done
        done
    done
    rm -rf "$blocks" "$data"
    cat "$bench/compact.md"
}

main "$@"
