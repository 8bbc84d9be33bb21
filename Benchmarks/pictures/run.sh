#!/bin/sh
# Decodes and resizes pictures on one thread with omma and with Pillow, in turn, and prints the ratios.
# PYTHON may name a Python that has Pillow (pip install pillow==11.3.0: the release whose pixels omma follows).
set -eu
cd "$(dirname "$0")/../.."
python="${PYTHON:-python3}"
"$python" -c 'import PIL' || { echo "install it with: $python -m pip install pillow==11.3.0" >&2; exit 1; }
swift build -c release --product pictures-benchmark
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"$python" Benchmarks/pictures/compare.py "$(swift build -c release --show-bin-path)/pictures-benchmark" "$work"
