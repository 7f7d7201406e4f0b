#!/bin/sh
# Print the path of a Chromium for the browser tests, installing one where none is found.
set -e
for name in chromium chromium-browser google-chrome; do
    command -v "$name" && exit 0
done
python=$(dirname "$0")/../.venv/bin/python
own='from playwright.sync_api import sync_playwright as s; p = s().start(); print(p.chromium.executable_path); p.stop()'
path=$("$python" -c "$own" 2>/dev/null) && [ -x "$path" ] && echo "$path" && exit 0
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; } >/dev/null 2>&1 &&
        command -v chromium && exit 0
fi
"$python" -m playwright install chromium >/dev/null 2>&1 && exec "$python" -c "$own"
echo "No Chromium was found, and none could be installed: install it, then run again." >&2
exit 1
