#!/usr/bin/env python3
"""Writes Sources/Text/Tokenizer/Generated/UnicodeRanges.swift.

Run it with a Python whose unicodedata is Unicode 14.0 (CPython 3.11): that is the version of the Oniguruma inside the
Rust `tokenizers` library, and newer letters must not join words there.
"""
import os
import unicodedata as u

assert u.unidata_version == "14.0.0", u.unidata_version
white = {0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0x20} | set(range(9, 14)) | set(range(0x2000, 0x200B))


def scalars():
    return (c for c in range(0x110000) if not 0xD800 <= c < 0xE000)


def ranges(predicate):
    result = []
    for c in scalars():
        if predicate(c):
            if result and result[-1][1] == c - 1:
                result[-1][1] = c
            else:
                result.append([c, c])
    return result


# A scalar is unsafe if the composed form of a text may differ from the text because of it: it is a mark or a vowel that
# composes with what stands before it, or it is itself replaced.
second = set()
for c in scalars():
    d = u.decomposition(chr(c))
    if d and d[0] != "<" and " " in d:
        second.add(int(d.split()[1], 16))
second |= set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))


def unsafe(c):
    return u.combining(chr(c)) != 0 or c in second or u.normalize("NFC", chr(c)) != chr(c)


tables = [
    ("letters", "General category L.", lambda c: u.category(chr(c))[0] == "L"),
    ("numbers", "General category N.", lambda c: u.category(chr(c))[0] == "N"),
    ("whitespace", "Property White_Space.", lambda c: c in white),
    ("composing", "Scalars that the composed form may change or join to what stands before them.", unsafe),
]
out = [
    "// Written by make_unicode_ranges.py from Unicode " + u.unidata_version + ". Do not edit.",
    "",
    "/// Closed ranges of Unicode scalars: first, last, first, last, ...",
    "enum UnicodeRanges {",
]
for name, text, predicate in tables:
    values = [v for r in ranges(predicate) for v in r]
    out += ["    /// " + text, "    static let " + name + ": [UInt32] = ["]
    line = "       "
    for v in values:
        item = " " + hex(v) + ","
        if len(line + item) > 120:
            out.append(line)
            line = "       "
        line += item
    out += [line, "    ]"]
    if name != tables[-1][0]:
        out.append("")
out += ["}", ""]
root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
with open(os.path.join(root, "Sources", "Text", "Tokenizer", "Generated", "UnicodeRanges.swift"), "w") as f:
    f.write("\n".join(out))
