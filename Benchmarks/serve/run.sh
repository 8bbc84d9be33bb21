#!/bin/sh
# Requests a second, tokens a second and time to the first token of `omma serve` with 1, 4 and 8 clients that send
# pictures, and the share of the engine's time that is not the model's.
# PROGRAM may name a built omma, MODEL a checkpoint; without them the release build and the embedded model.
set -eu
cd "$(dirname "$0")/../.."
if [ -z "${PROGRAM:-}" ]; then
    swift build -c release --product omma
    PROGRAM="$(swift build -c release --show-bin-path)/omma"
fi
work="$(mktemp -d)"
"$PROGRAM" serve --port 0 ${MODEL:+--model "$MODEL"} > "$work/out" &
server=$!
trap 'kill $server; rm -rf "$work"' EXIT
while ! grep -q http:// "$work/out"; do
    kill -0 $server || exit 1
    sleep 0.2
done
head -1 "$work/out"
python3 Benchmarks/serve/load.py "$(grep -o 'http://[0-9.:]*' "$work/out")" "${1:-20}"
