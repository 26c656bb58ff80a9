#!/usr/bin/env bash
# Brings the S3 server that tests of buckets run against: moto, from PyPI, into an environment of its own beside the other
# programs of tests ($BAROGRAPH_PEERS_DIR, .tools/sid unless it says otherwise). The system is left alone.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

root=$(cd "$(dirname "$0")/.." && pwd)
peers=${BAROGRAPH_PEERS_DIR:-$root/.tools/sid}
version=5.2

if [ -x "$peers/usr/bin/moto_server" ] && "$peers/usr/bin/moto_server" --help >/dev/null 2>&1; then
    exit 0
fi
command -v python3 >/dev/null || fail "python3 is missing: it runs moto, the S3 server of tests"
python3 -c 'import venv, ensurepip' 2>/dev/null || install_packages python3-venv
say "fetching moto $version, the S3 server of tests, from PyPI"
mkdir -p "$peers/usr/bin"
python3 -m venv --clear "$peers/moto"
"$peers/moto/bin/pip" install --quiet --disable-pip-version-check "moto[server]==$version.*" ||
    fail "moto cannot be fetched from PyPI"
ln -sfn ../../moto/bin/moto_server "$peers/usr/bin/moto_server"
"$peers/usr/bin/moto_server" --help >/dev/null || fail "moto does not run"
