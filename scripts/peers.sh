#!/usr/bin/env bash
# Brings the programs that tests and benchmarks run Barograph against: Debian's packages of the sid suite, unpacked into
# a folder of ours. The system is left alone: lists, caches and packages live under .tools, nothing is installed.
#
# usage: scripts/peers.sh PACKAGE...
#
# The mirror is the one that this machine's own apt sources name. The programs are then in $BAROGRAPH_PEERS_DIR/usr/bin;
# the folder is .tools/sid unless that variable says otherwise. A program that is there already is not fetched again.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

root=$(cd "$(dirname "$0")/.." && pwd)
peers=${BAROGRAPH_PEERS_DIR:-$root/.tools/sid}
state=$root/.tools/apt
suite=sid

# The mirror of the suite that this machine runs: first of those that apt knows.
mirror() {
    local codename
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    # shellcheck disable=SC2016 # the words in dollars are apt's
    apt-get indextargets --format '$(REPO_URI)|$(CODENAME)|$(RELEASE)|$(COMPONENT)' 'Created-By: Packages' |
        awk -F '|' -v name="$codename" '($2 == name || $3 == name || $3 == "stable") && $4 == "main" { print $1; exit }'
}

# apt-get with lists and caches of its own.
private_apt() {
    apt-get -q \
        -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
        -o Dir::State="$state/state" -o Dir::State::Lists="$state/state/lists" -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache="$state/cache" -o APT::Sandbox::User="$(id -un)" \
        -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o Acquire::Retries=3 "$@"
}

update_lists() {
    local uri
    uri=$(mirror) || true
    [ -n "$uri" ] || fail "apt on this machine names no mirror to take the $suite suite from"
    mkdir -p "$state/state/lists/partial" "$state/cache/archives/partial"
    local signed_by=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$signed_by] $uri $suite main" >"$state/sources.list"
    say "reading the list of Debian's $suite suite (kept in .tools/apt)"
    private_apt update || fail "the list of the $suite suite cannot be read from $uri"
}

unpack() {
    local package=$1 archives=$state/archives
    mkdir -p "$archives" "$peers"
    say "fetching $package from Debian's $suite suite"
    (cd "$archives" && rm -f "${package}"_*.deb && private_apt download "$package") ||
        fail "$package cannot be fetched from Debian's $suite suite"
    dpkg -x "$archives/${package}"_*.deb "$peers"
    # The marker says that the package is here whole, and which version it is.
    dpkg-deb -f "$archives/${package}"_*.deb Version >"$state/version"
    mv "$state/version" "$peers/.$package"
    rm -f "$archives/${package}"_*.deb
}

# Fails unless a program of a package runs, and the package is of this version or newer.
require() {
    local package=$1 least=$2 program version
    version=$(sed -E 's/^[0-9]+://; s/[-+~].*//' "$peers/.$package")
    printf '%s\n%s\n' "$least" "$version" | sort -V -C ||
        fail "$package is $version, but $least or newer is needed; remove $peers to fetch it again"
    for program in "${@:3}"; do
        "$peers/usr/bin/$program" --version >/dev/null 2>&1 || fail "$peers/usr/bin/$program does not run"
        echo "    $program $version"
    done
}

main() {
    [ $# -gt 0 ] || fail "usage: scripts/peers.sh PACKAGE..."
    local package missing=()
    for package in "$@"; do
        [ -e "$peers/.$package" ] || missing+=("$package")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        command -v apt-get >/dev/null || fail "Debian's apt is needed to fetch: ${missing[*]}"
        update_lists
        for package in "${missing[@]}"; do
            unpack "$package"
        done
    fi
    say "programs to test against, in $peers/usr/bin:"
    for package in "$@"; do
        case $package in
        prometheus | promtool) require "$package" 3.5 "$package" ;;
        prometheus-node-exporter) require "$package" 1.5 "$package" ;;
        prometheus-alertmanager) require "$package" 0.28 "$package" amtool ;;
        victoria-metrics) require "$package" 1.100 "$package" ;;
        *) fail "$package is no package that this script knows how to check" ;;
        esac
    done
}

main "$@"
