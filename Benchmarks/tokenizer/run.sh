#!/bin/sh
# Encodes 1 MB of mixed text on one thread with omma and with the Rust `tokenizers` library, and prints the ratio.
# PYTHON may name a Python that has `tokenizers` (pip install tokenizers).
set -eu
cd "$(dirname "$0")/../.."
python="${PYTHON:-python3}"
"$python" -c 'import tokenizers' || { echo "install it with: $python -m pip install tokenizers" >&2; exit 1; }
swift build -c release --product tokenizer-benchmark
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"$python" Benchmarks/tokenizer/compare.py "$(swift build -c release --show-bin-path)/tokenizer-benchmark" "$work"
