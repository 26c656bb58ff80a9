#!/usr/bin/env bash
# Installs what building needs beyond Rust: a C++ compiler and libclang for RocksDB, a C compiler for the allocator, make,
# git and certificates; and what tests of clusters need.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

command -v cargo >/dev/null || fail "cargo is missing: install Rust 1.95 or newer (https://rustup.rs)"
if command -v dpkg-query >/dev/null; then
    # Tests and chaos cut processes off in network namespaces, with `ip`.
    install_packages build-essential g++ make git ca-certificates iproute2
    # Bindings of RocksDB are made with libclang, of any version; its own headers are enough, a compiler is not needed.
    # (libclang-cpp is another library.)
    if ! compgen -G '/usr/lib/llvm-*/lib/libclang.so*' >/dev/null && ! compgen -G '/usr/lib/*/libclang-[0-9]*.so*' >/dev/null; then
        if apt-cache show libclang1-14 libclang-common-14-dev >/dev/null 2>&1; then
            install_packages libclang1-14 libclang-common-14-dev
        else
            install_packages libclang-dev
        fi
    fi
else
    command -v cc >/dev/null || fail "a C compiler is missing"
    command -v c++ >/dev/null || fail "a C++ compiler is missing"
    command -v git >/dev/null || fail "git is missing"
fi

# A disk that fills up ends a build with a bus error of the linker, which says nothing.
free_gib=$(($(df -Pk . | awk 'NR == 2 { print $4 }') / 1024 / 1024))
if ((free_gib < 10)); then
    say "only $free_gib GiB are free here: building and testing from nothing takes up to 10"
fi
