#!/bin/sh
# Writes docs/reliability.md from what the tests of faults print: what was tried, and what came of it.
#
#   Tests/reliability.sh LOG     LOG: the output of `make test`
set -eu
cd "$(dirname "$0")/.."
log=${1:?name the log of a test run}
grep -q 'Test run with .* passed' "$log" || { echo "reliability: $log is not the log of a run that passed" >&2; exit 1; }
{
    cat << 'TEXT'
# Faults and bad input

What the tests inject, and what came of it, as `make test` printed it (`make reliability` writes this page anew). A test
fails when anything else happens than what stands here.

| | what happened |
|---|---|
TEXT
    grep -E '^[A-Z][0-9]+: ' "$log" | sort -t: -k1,1V -u -k2 | sed -E 's/\|/\\|/g; s/^([A-Z][0-9]+): (.*)$/| \1 | \2 |/'
    cat << 'TEXT'

C: checkpoints; F: files of strangers; I: pictures; S: safetensors; T: training; U: pictures by address; V: the server.
`Benchmarks/crashes/run` kills a training run at random and compares the weights at its end.
TEXT
} > docs/reliability.md
echo "reliability: $(grep -cE '^\| [A-Z][0-9]' docs/reliability.md) rows in docs/reliability.md"
