#!/usr/bin/env bash
# Sends queries that ask for far too much, as one tenant, while another asks cheap ones, and prints how each ended, what
# the process held at most, and what became of the cheap queries' latency. Fails where a hostile query is answered,
# takes longer than its time, or memory goes above the bound.
#
# usage: scripts/bench/hostile.sh
#
#   BIN             where barograph and loadtest are (default: target/release)
#   SERIES          series of the hostile tenant (default: 300000)
#   PARALLEL        how many of each hostile query at a time (default: 4)
#   MAX_MEMORY_MIB  what the process may hold at most, in MiB (default: 6144)
#   BENCH_PORT      where the process listens (default: 19009)
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

root=$(cd "$(dirname "$0")/../.." && pwd)
bin=${BIN:-$root/target/release}
series=${SERIES:-300000}
parallel=${PARALLEL:-4}
max_memory=$((${MAX_MEMORY_MIB:-6144} * 1024))
port=${BENCH_PORT:-19009}
api=http://127.0.0.1:$port/api/v1
# How long a hostile query may take; it asks for no more, and 3 s are for what surrounds it on a busy machine.
timeout=10
work=$(mktemp -d)
server_pid=
sampler_pid=
calm_pid=

finish() {
    for pid in $calm_pid $sampler_pid $server_pid; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

[ -x "$bin/barograph" ] && [ -x "$bin/loadtest" ] || fail "$bin has no barograph and loadtest; BIN names where they are"

say "starting, and writing $series series for the hostile tenant and 200 for the calm one"
"$bin/barograph" --data "$work/data" --http "127.0.0.1:$port" --multitenancy-enabled=true \
    --self-monitoring.enabled=false --limits.max-global-series-per-user 0 --log-level warn >"$work/log" 2>&1 &
server_pid=$!
until curl -sf "http://127.0.0.1:$port/ready" >/dev/null; do sleep 0.1; done
"$bin/loadtest" write --url "$api/push" --tenants 1 --tenant-name hog --series "$series" --samples 8 --quiet >/dev/null
"$bin/loadtest" write --url "$api/push" --tenants 1 --tenant-name calm --series 200 --samples 40 --quiet >/dev/null

tenant_of() { curl -sf "http://127.0.0.1:$port/metrics" | sed -n "s/.*tenant=\"\($1[^\"]*\)\".*/\1/p" | head -1; }
hog=$(tenant_of hog) calm=$(tenant_of calm)
metric() {
    curl -sf -H "X-Scope-OrgID: $1" "$api/label/__name__/values" | tr -d '[]"' | sed 's/.*"data"://; s/[{}]//g' |
        tr ',' '\n' | sed 's/.*://' | grep -E '^[a-z_]+$' | head -1
}
hog_metric=$(metric "$hog") calm_metric=$(metric "$calm")
now=$(date +%s)

# Everything that the process holds itself, twice a second: the most of it goes to the file.
memory_kib() { awk '/^RssAnon|^RssShmem/ { sum += $2 } END { print sum }' "/proc/$server_pid/status"; }
(
    most=0
    while sleep 0.1; do
        held=$(memory_kib) || exit 0
        [ "$held" -le "$most" ] || { most=$held && echo "$most" >"$work/most"; }
    done
) &
sampler_pid=$!
before_memory=$(memory_kib)

# Asks cheap queries for as long as it is let, one after the other; a time in seconds per line.
calm() {
    while [ -e "$work/$1.go" ]; do
        curl -s -o /dev/null -w '%{time_total} %{http_code}\n' -H "X-Scope-OrgID: $calm" "$api/query_range" \
            --data-urlencode "query=sum(rate(${calm_metric}[2m]))" -d "start=$((now - 600))&end=$now&step=15" \
            >>"$work/$1.times"
    done
}
quantiles() {
    awk '$2 != 200 { bad++ } { print $1 * 1000 } END { if (bad) print bad " failed" > "/dev/stderr" }' "$1" | sort -n |
        awk '{ v[NR] = $1 } END { printf "%d queries, ms: half %.1f, 99 %% %.1f, all %.1f", NR, v[int((NR + 1) / 2)], v[int(NR * 0.99 + 0.99)], v[NR] }'
}

say "cheap queries alone"
touch "$work/alone.go" && calm alone & calm_pid=$!
sleep 5 && rm "$work/alone.go" && wait "$calm_pid" && calm_pid=
say "$(quantiles "$work/alone.times")"

# Texts of any length, without starting a program per piece.
times() { head -c "$(($1 * ${#2}))" < <(yes "$2" | tr -d '\n' || true); }

hostile() {
    local name=$1 endpoint=$2 rest=$3 i
    printf '%s' "$4" >"$work/query"
    for ((i = 0; i < parallel; i++)); do
        curl -s --max-time $((timeout * 3)) -o "$work/answer.$i" -w '%{http_code} %{time_total}\n' \
            -H "X-Scope-OrgID: $hog" "$api/$endpoint" --data-urlencode "query@$work/query" \
            -d "$rest&timeout=${timeout}s" >"$work/code.$i" &
        pids[i]=$!
    done
    wait "${pids[@]}" || true
    cat "$work"/code.[0-9]* >"$work/codes"
    local codes slowest text
    codes=$(cut -d' ' -f1 "$work/codes" | sort | uniq -c | awk '{ printf "%s%d x %s", sep, $1, $2; sep = ", " }')
    slowest=$(cut -d' ' -f2 "$work/codes" | sort -n | tail -1)
    text=$(sed 's/.*"error":"//; s/"}$//' "$work/answer.0" | cut -c1-110)
    printf '| %s | %s | %.2f | %s |\n' "$name" "$codes" "$slowest" "$text" | tee -a "$work/table"
    ! grep -qv '^\(400\|413\|422\|429\|503\) ' "$work/codes" || echo "$name: answered, or no answer" >>"$work/wrong"
    awk -v most=$((timeout + 3)) -v name="$name" '$2 > most { print name ": took " $2 " s" }' "$work/codes" >>"$work/wrong"
}

say "hostile queries, $parallel of each at a time"
touch "$work/beside.go" "$work/wrong" && calm beside & calm_pid=$!
at="time=$now" day="start=$((now - 86400))&end=$now"
all="{__name__=~\".+\"}"
hostile "100,000 parentheses" query "$at" "$(times 100000 '(')1$(times 100000 ')')"
hostile "100,000 additions" query "$at" "1$(times 100000 '+1')"
hostile "100,000 signs" query "$at" "$(times 100000 '-')1"
hostile "100,000 calls" query "$at" "$(times 100000 'abs(')1"
hostile "a query of 2 MB" query "$at" "$(times 2000000 'a')"
hostile "a billion steps" query_range "start=0&end=1000000000&step=1" "$hog_metric"
hostile "a subquery of a billion steps" query "$at" "max_over_time(vector(1)[1000000000s:1s])"
hostile "subqueries in subqueries" query "$at" \
    "max_over_time(max_over_time(max_over_time(vector(1)[1d:1s])[1d:1s])[1d:1s])"
hostile "a regex of a million states" query "$at" '{__name__=~"(.{1000}){1000}"}'
hostile "a regex that backtracks" query "$at" "{__name__=~\"(((.*)*)*)*x\",a=~\"$(times 20000 '(a|aa)+')\"}"
hostile "group_left over all series" query_range "$day&step=60" "$all * on(__name__) group_left $all"
hostile "all series, 11,000 steps" query_range "start=$((now - 11000))&end=$now&step=1" "$all"
hostile "or of everything" query_range "$day&step=10" "$all or ($all offset 1m) or ($all offset 2m) or ($all offset 3m)"
bomb="label_replace(vector(1), \"x\", \"aaaaaaaaaaaaaaaa\", \"\", \"\")"
for _ in $(seq 30); do bomb="label_replace($bomb, \"x\", \"\$1\$1\$1\$1\", \"x\", \"(.*)\")"; done
hostile "a label_replace bomb" query "$at" "$bomb"
hostile "count_values over time" query_range "$day&step=10" "count_values(\"v\", $all * 0 + time())"
hostile "a quantile at every step" query_range "start=$((now - 11000))&end=$now&step=1" \
    "quantile_over_time(0.5, (vector(1) + time())[7d:1s])"
hostile "sorted, joined and counted" query_range "$day&step=10" \
    "count(sort(topk(1000000, $all * on() group_left vector(1)))) by (__name__, instance)"
rm "$work/beside.go" && wait "$calm_pid" && calm_pid=

say "cheap queries beside: $(quantiles "$work/beside.times")"
most=$(cat "$work/most")
say "memory: $((before_memory / 1024)) MiB before, $((most / 1024)) MiB at most"
still=$(curl -s -o /dev/null -w '%{http_code}' -H "X-Scope-OrgID: $calm" "$api/query?query=1")
[ "$still" = 200 ] || fail "the process no longer answers"
! grep -q panicked "$work/log" || fail "something panicked: $(grep panicked "$work/log" | head -3)"
[ "$most" -le "$max_memory" ] || fail "the process held more than $((max_memory / 1024)) MiB"
[ ! -s "$work/wrong" ] || fail "$(cat "$work/wrong")"
