#!/usr/bin/env bash
# Makes the image `barograph` from a built binary, without a registry: the base is a Debian of the suite that this
# machine runs, made of Debian's packages by debootstrap and kept as the image `barograph-base`.
#
# usage: scripts/image.sh [BINARY]        default: target/release/barograph
#
# IMAGE is the name that the image gets, BASE another base: BASE=debian:bookworm-slim takes that from a registry.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

root=$(cd "$(dirname "$0")/.." && pwd)
binary=${1:-$root/target/release/barograph}
image=${IMAGE:-barograph:latest}
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
base=${BASE:-barograph-base:$suite}

# A minimal Debian as an image, unless there is one.
make_base() {
    ! docker image inspect "$base" >/dev/null 2>&1 || return 0
    install_packages debootstrap
    local folder
    folder=$(mktemp -d)
    say "making $base of Debian's packages ($suite); takes a minute, once"
    as_root debootstrap --variant=minbase --include=ca-certificates,libstdc++6,tzdata "$suite" "$folder/root" >"$folder/log" 2>&1 ||
        { tail -20 "$folder/log" >&2; as_root rm -rf "$folder"; fail "debootstrap could not make a Debian $suite"; }
    as_root rm -rf "$folder/root"/var/cache/apt/archives/*.deb "$folder/root"/var/lib/apt/lists/* \
        "$folder/root"/usr/share/{doc,man,locale,info}
    as_root tar -C "$folder/root" -c . | docker import --change 'CMD ["/bin/bash"]' - "$base" >/dev/null
    as_root rm -rf "$folder"
}

main() {
    [ -x "$binary" ] || fail "$binary is not there: run make build first, or name a binary"
    "$root/scripts/docker.sh"
    [ -n "${BASE:-}" ] || make_base
    # A context of its own: the whole target folder would be sent to the engine otherwise.
    local context
    context=$(mktemp -d)
    # shellcheck disable=SC2064 # the folder is the one of now
    trap "rm -rf '$context'" EXIT
    strip --strip-debug -o "$context/barograph" "$binary"
    say "building $image from $binary"
    docker build --quiet --target prebuilt --build-arg "BASE=$base" --build-arg BINARY=barograph \
        -f "$root/deploy/docker/Dockerfile" -t "$image" "$context" >/dev/null
    docker run --rm "$image" --version
    docker image inspect --format "{{.RepoTags}} {{.Size}} bytes" "$image"
}

main
