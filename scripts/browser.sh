#!/usr/bin/env bash
# Brings the browser that tests look at pages with: Debian's chromium, installed where it is missing. BAROGRAPH_CHROMIUM names
# another one.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

if [ -z "${BAROGRAPH_CHROMIUM:-}" ] && [ ! -x /usr/bin/chromium ]; then
    command -v dpkg-query >/dev/null || fail "chromium is missing: install it, or let BAROGRAPH_CHROMIUM name one"
    install_packages chromium
fi
