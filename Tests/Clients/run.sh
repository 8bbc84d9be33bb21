#!/usr/bin/env bash
# Drives `omma serve` with clients that others wrote: OpenAI's Python library, schemathesis, and Chromium; and with bad
# pictures and a crowd.
#
#   Tests/Clients/run.sh [PROGRAM]     PROGRAM: .build/debug/omma without it
#
# Gets what it needs by itself: the Python packages into .build/clients, and Chromium from Debian's packages where this
# user may install them. Where the network does not give them, it says so and ends with status 0.
#   EXAMPLES, CROWD_SECONDS    how long schemathesis and the crowd go on
#   SCREENSHOTS                a folder for the page's pictures
set -euo pipefail
cd "$(dirname "$0")/../.."
program=${1:-.build/debug/omma}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
skip() { echo "clients: SKIPPED: $*"; exit 0; }

# --- what the clients need -------------------------------------------------------------------------------------------
run=()
[ "$(id -u)" -eq 0 ] || run=(sudo -n)
install() { # Debian packages: false where they cannot be had
  command -v apt-get > /dev/null || return 1
  "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq > /dev/null 2>&1 || true
  "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" > /dev/null 2>&1
}

environment=${OMMA_CLIENTS_VENV:-$PWD/.build/clients}
wanted=$(sha256sum Tests/Clients/requirements.txt | cut -d' ' -f1)
if [ "$(cat "$environment/.requirements" 2> /dev/null || true)" != "$wanted" ]; then
  command -v python3 > /dev/null || install python3 || skip "there is no python3"
  python3 -m venv "$environment" 2> "$work/venv" ||
    { install python3-venv && python3 -m venv "$environment"; } || { cat "$work/venv"; skip "python3 has no venv"; }
  if ! "$environment/bin/pip" install --quiet --disable-pip-version-check --requirement Tests/Clients/requirements.txt \
    2> "$work/pip"; then
    # Without a network nothing can be had; with one, what cannot be had is a mistake in requirements.txt.
    "$environment/bin/pip" download --quiet --no-deps --dest "$work/probe" packaging > /dev/null 2>&1 ||
      skip "the package index of Python cannot be reached"
    cat "$work/pip"
    exit 1
  fi
  echo "$wanted" > "$environment/.requirements"
fi
browser() { command -v chromium || command -v chromium-browser || command -v google-chrome; }
browser > /dev/null || install chromium fonts-dejavu-core || true

# --- the server ------------------------------------------------------------------------------------------------------
key=client-test-key
echo $key > "$work/keys"
# One thread: the model is small, and several would wait for each other wherever the machine has other work.
"$program" serve --port 0 --threads 1 --api-key-file "$work/keys" --max-queue 64 > "$work/out" 2> "$work/err" &
server=$!
trap 'kill $server 2> /dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 240); do
  grep -q http:// "$work/out" && break
  kill -0 $server 2> /dev/null || { cat "$work/err"; exit 1; }
  sleep 0.5
done
url=$(grep -o 'http://[0-9.:]*' "$work/out")
python=$environment/bin/python

# --- the clients -----------------------------------------------------------------------------------------------------
timeout 900 "$python" Tests/Clients/openai_client.py "$url" $key
timeout 900 "$python" Tests/Clients/pictures.py "$url" $key $server
# It would have every text be a picture that can be read; what its own checks leave out, openai_client.py looks at.
(cd "$work" && timeout 1200 "$environment/bin/schemathesis" run "$url/openapi.json" \
  --header "Authorization: Bearer $key" --checks all \
  --exclude-checks positive_data_acceptance,unsupported_method --max-examples "${EXAMPLES:-40}" \
  --phases examples,coverage,fuzzing --request-timeout 120 --seed 1 --no-color --suppress-health-check all \
  > "$work/schemathesis" 2>&1) || { cat "$work/schemathesis"; exit 1; }
grep -A12 -i 'test cases\|summary' "$work/schemathesis" | tail -n 14
timeout 900 "$python" Tests/Clients/crowd.py "$url" $key "${CROWD_SECONDS:-60}"
if browser > /dev/null; then
  mkdir -p "${SCREENSHOTS:-$work}"
  timeout 900 "$python" Tests/Clients/page.py "$url" $key "${SCREENSHOTS:-$work}"
else
  echo "page: SKIPPED: there is no Chromium, and it could not be installed"
fi

# The server ends as it is told to, with status 0, and has nothing left.
"$python" - "$url" $key <<'PYTHON'
import sys, time, urllib.request
request = urllib.request.Request(sys.argv[1] + "/metrics", headers={"Authorization": "Bearer " + sys.argv[2]})
for turn in range(50):
    text = urllib.request.urlopen(request, timeout=60).read().decode()
    if all(line + "\n" in text for line in ["omma_requests_here 0", "omma_answers_running 0", "omma_reserved_bytes 0"]):
        break
    time.sleep(0.2)
else:
    sys.exit(text)
PYTHON
kill -TERM $server
wait $server
trap 'rm -rf "$work"' EXIT
echo "clients: done, the server ended with status 0"
