#!/usr/bin/env bash
# Runs the tests that were built; when they do not end in time, says which are under way and where their threads are,
# and fails. Without that a test that hangs leaves nothing to look at but a log that stops.
#
#   Tests/run.sh [ARGUMENT ...]     arguments of `swift test`, such as --filter NAME
#
#   TEST_MINUTES    how long the tests may take: 40 without it; whole runs take 10 to 20 on two cores
# Stacks need gdb.
set -uo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
minutes=${TEST_MINUTES:-40}

# Where the threads of a process are: one stack for all that stand at the same place, from the first function on that is
# ours; those of the tests come last.
stacks() {
  command -v gdb > /dev/null || { echo "tests: where their threads are needs gdb" >&2; return; }
  timeout 300 gdb -p "$1" -batch -ex 'set pagination off' -ex 'set print frame-arguments none' \
    -ex 'thread apply all -q backtrace 60' 2> /dev/null |
    sed -nE 's/^#([0-9]+) +(0x[0-9a-f]+ in )?(.*)$/\1 \3/p' | swift demangle --simplified |
    awk -v own="$PWD/" '
      function flush_stack() { if (ours) seen[first stack]++; first = stack = ""; ours = 0 }
      $1 == 0 { flush_stack() }
      {
        $1 = ""; gsub(own, ""); gsub(/ \(.*\) at /, " at ")
        line = "\n   " substr($0, 1, 150)
        if (/ at (Sources|Tests)\//) ours++
        if (!ours) first = line
        else if (ours < 9 || / at Tests\//) stack = stack line
      }
      END {
        flush_stack()
        for (turn = 0; turn < 2; turn++)
          for (each in seen) if ((each ~ /Tests\//) == turn) printf "threads: %d at%s\n", seen[each], each
      }'
}

# Runs beside the tests; ends when they do.
watch() {
  local end=$((SECONDS + minutes * 60)) tests=''
  while [ "$SECONDS" -lt "$end" ]; do
    sleep 2
    kill -0 "$1" 2> /dev/null || return
  done
  tests=$(pgrep -P "$1" | head -1)
  touch "$work/late"
  {
    echo "tests: not done after $minutes minutes (TEST_MINUTES)"
    sed -nE 's/.*"kind":"testCase(Started|Ended)".*"testID":"([^"]*)".*/\1 \2/p' "$work/events" 2> /dev/null |
      awk '{ open[$2] += $1 == "Started" ? 1 : -1 }
        END { for (each in open) if (open[each] > 0) print "under way: " each }' | sed 's|\\/|/|g' | sort | head -50
    [ -z "$tests" ] || stacks "$tests"
  } >&2
  # What the tests started would go on without them.
  for process in $(pgrep -P "${tests:-0}") $tests "$1"; do kill -KILL "$process" 2> /dev/null; done
}

touch "$work/events"
swift test --skip-build --event-stream-output-path "$work/events" "$@" &
running=$!
watch "$running" &
watching=$!
wait "$running"
status=$?
wait "$watching"
[ ! -e "$work/late" ] || exit 1
exit "$status"
