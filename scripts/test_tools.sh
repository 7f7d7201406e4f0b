#!/bin/sh
# Make sure that the programs the tests talk to are there (a Chromium, Redis, PostgreSQL, libfaketime), and print the
# Chromium's path. Tests that need one of the others skip, and say so, where it could not be installed; a Chromium is a must.
set -e
python=$(dirname "$0")/../.venv/bin/python
own='from playwright.sync_api import sync_playwright as s; p = s().start(); print(p.chromium.executable_path); p.stop()'

find_chromium() {
    for name in chromium chromium-browser google-chrome; do
        command -v "$name" && return 0
    done
    path=$("$python" -c "$own" 2>/dev/null) && [ -x "$path" ] && echo "$path"
}

wanted=""
find_chromium >/dev/null || wanted="chromium"
command -v redis-server >/dev/null || wanted="$wanted redis-server"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || wanted="$wanted postgresql"
ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || wanted="$wanted libfaketime"
if [ -n "$wanted" ] && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "Installing for the tests: $wanted" >&2
    # shellcheck disable=SC2086
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $wanted; } >/dev/null 2>&1 || true
fi
find_chromium || { "$python" -m playwright install chromium >/dev/null 2>&1 && find_chromium; } || {
    echo "No Chromium was found, and none could be installed: install it, then run again." >&2
    exit 1
}
