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

# What is under way, of tests with arguments case by case, and where it is.
report() {
  sed -nE 's/.*"kind":"testCase(Started|Ended)".*"testID":"([^"]*)".*/\1 \2/p' "$work/events" 2> /dev/null |
    awk '{ open[$2] += $1 == "Started" ? 1 : -1 }
      END { for (each in open) if (open[each] > 0) print "under way: " each }' | sed 's|\\/|/|g' | sort | head -50
  stacks "$(pgrep -P "$running" | head -1)"
}

# Ends the tests, and what they started, which would go on without them.
finish() {
  local tests
  tests=$(pgrep -P "$running" | head -1)
  # shellcheck disable=SC2046
  kill -KILL $([ -z "$tests" ] || pgrep -P "$tests") $tests "$running" 2> /dev/null
  wait "$running" 2> /dev/null
}

touch "$work/events"
swift test --skip-build --event-stream-output-path "$work/events" "$@" &
running=$!
trap 'finish; exit 130' INT
trap 'echo "tests: stopped by a signal" >&2; report >&2; finish; exit 143' TERM
end=$((SECONDS + minutes * 60))
while kill -0 "$running" 2> /dev/null; do
  if [ "$SECONDS" -ge "$end" ]; then
    echo "tests: not done after $minutes minutes (TEST_MINUTES)" >&2
    report >&2
    finish
    exit 1
  fi
  sleep 1 &
  wait $!
done
wait "$running"
