#!/usr/bin/env bash
# Drives `omma serve` with clients that others wrote: OpenAI's Python library, schemathesis, and Chromium.
#
#   Tests/Clients/run.sh [PROGRAM]     PROGRAM: .build/debug/omma without it
#
# Needs python3 with venv and, for the page, Debian's `chromium` (or another one on the PATH).
set -euo pipefail
cd "$(dirname "$0")/../.."
program=${1:-.build/debug/omma}
work=$(mktemp -d)
environment=${OMMA_CLIENTS_VENV:-$PWD/.build/clients}
[ -x "$environment/bin/openai" ] || python3 -m venv "$environment"
"$environment/bin/pip" install --quiet --requirement Tests/Clients/requirements.txt

echo client-test-key > "$work/keys"
"$program" serve --port 0 --api-key-file "$work/keys" --max-queue 64 > "$work/out" 2> "$work/err" &
server=$!
trap 'kill $server 2> /dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 120); do
  grep -q http:// "$work/out" && break
  kill -0 $server 2> /dev/null || { cat "$work/err"; exit 1; }
  sleep 0.5
done
url=$(grep -o 'http://[0-9.:]*' "$work/out")

"$environment/bin/python" Tests/Clients/openai_client.py "$url" client-test-key
# It would have every text be a picture that can be read; what its own checks leave out, openai_client.py looks at.
(cd "$work" && "$environment/bin/schemathesis" run "$url/openapi.json" \
  --header "Authorization: Bearer client-test-key" --checks all \
  --exclude-checks positive_data_acceptance,unsupported_method --max-examples "${EXAMPLES:-40}" \
  --phases examples,coverage,fuzzing --request-timeout 60 --seed 1 --no-color)
"$environment/bin/python" Tests/Clients/crowd.py "$url" client-test-key "${CROWD_SECONDS:-60}"
"$environment/bin/python" Tests/Clients/page.py "$url" client-test-key "${SCREENSHOTS:-$work}"

# The server ends as it is told to, with status 0, and has nothing left.
"$environment/bin/python" - "$url" <<'PYTHON'
import sys, urllib.request
request = urllib.request.Request(sys.argv[1] + "/metrics", headers={"Authorization": "Bearer client-test-key"})
text = urllib.request.urlopen(request).read().decode()
for line in ["omma_requests_here 0", "omma_answers_running 0", "omma_reserved_bytes 0"]:
    assert line + "\n" in text, text
PYTHON
kill -TERM $server
wait $server
trap 'rm -rf "$work"' EXIT
echo "clients: done, the server ended with status 0"
