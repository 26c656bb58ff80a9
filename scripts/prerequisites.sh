#!/usr/bin/env bash
# Installs what building needs beyond Rust: a C compiler for the allocator, make, git and certificates.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

command -v cargo >/dev/null || fail "cargo is missing: install Rust 1.95 or newer (https://rustup.rs)"
if command -v dpkg-query >/dev/null; then
    install_packages build-essential make git ca-certificates
else
    command -v cc >/dev/null || fail "a C compiler is missing"
    command -v git >/dev/null || fail "git is missing"
fi
