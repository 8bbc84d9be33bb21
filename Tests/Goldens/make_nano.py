"""Writes goldens of a trained checkpoint in Qwen2-VL's layout, run in float32: greedy answers to questions on pictures,
and the tensors on the way. Without --pictures it draws some.
"""

import argparse
import shutil
from pathlib import Path

import golden_file
import pictures
from make_qwen2vl import REFERENCE, Writer

QUESTIONS = ["What does the picture show?", "How many shapes are there?", "Describe the picture.", "这是什么？"]


def drawn():
    return {
        "drawn_a.png": pictures.png(pictures.scene(168, 140, 31)),
        "drawn_b.png": pictures.png(pictures.scene(112, 196, 32)),
        "drawn_c.jpg": pictures.jpeg(pictures.scene(150, 90, 33), quality=90),
    }


def main():
    parser = argparse.ArgumentParser(prog="Tests/Goldens/make nano", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="folder with config.json, weights and tokenizer")
    parser.add_argument("--pictures", type=Path, nargs="+", metavar="FILE", help="ask about these picture files")
    parser.add_argument("--question", action="append", metavar="TEXT", help="may be repeated; they take turns")
    parser.add_argument("--limit", type=int, default=48, metavar="N", help="longest answer in tokens (default 48)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to write (default: the checkpoint's folder)")
    options = parser.parse_args()
    out = options.out or options.checkpoint
    files = {path.name: path.read_bytes() for path in options.pictures} if options.pictures else drawn()
    questions = options.question or QUESTIONS

    shutil.rmtree(out / "images", ignore_errors=True)
    images = pictures.write_beside(files, out)
    writer = Writer(options.checkpoint, pictures_beside=out)
    for index, file in enumerate(images):
        parts = [{"type": "image", "image": file}, {"type": "text", "text": questions[index % len(questions)]}]
        writer.add_answer(f"answer_{index}", {"messages": [{"role": "user", "content": parts}]}, options.limit)
    text = [{"role": "user", "content": questions[len(images) % len(questions)]}]
    writer.add_answer("text_only", {"messages": text}, options.limit)
    golden_file.write(
        out,
        {
            "format_version": 1,
            "reference": REFERENCE,
            "tensors": writer.tensors.records,
            "images": images,
            "cases": writer.cases,
            "versions": golden_file.versions(),
        },
        writer.tensors,
    )
    for name, case in writer.cases.items():
        print(f"{name}: {case['greedy_text']!r} (smallest margin {case['greedy_until_eos']['min_margin']:.4f})")


if __name__ == "__main__":
    main()
