"""Remakes the goldens of this folder, or compares fresh ones with what is here; `make --help` says how."""

import argparse
import filecmp
import json
import shutil
import sys
import tempfile
from pathlib import Path

import golden_file
import make_contrastive
import make_qwen2_text
import make_qwen2vl
import make_resizes
import make_tokenizers
import pictures
import tokenizer

HERE = Path(__file__).parent


def make_images(folder):
    records = pictures.write(pictures.format_pictures(), folder)
    golden_file.write_json(
        folder / "golden.json",
        {
            "desc": (
                "Decoded picture hashes. rgb = PIL Image.open(f).convert('RGB') bytes, row-major HxWx3 uint8, EXIF "
                "orientation NOT applied; exif_transposed_rgb = PIL.ImageOps.exif_transpose, then convert('RGB'); "
                "rgba_over_white_rgb = alpha-composited over white. JPEG decoding is libjpeg-turbo's default (islow "
                "DCT, fancy up-sampling)."
            ),
            "versions": golden_file.versions(),
            "images": [{"file": name, **record} for name, record in records.items()],
        },
    )


def make_tokenizer(folder):
    tokenizer.write(folder)
    mismatches = tokenizer.goldens(folder)
    assert mismatches == 0, f"{mismatches} texts tokenise otherwise in the slow reference tokenizer"


FOLDERS = {
    "images": make_images,
    "resize_small": make_resizes.make_resize,
    "smart_resize_small": make_resizes.make_smart_resize,
    "tokenizer_small": make_tokenizer,
    "tokenizers": make_tokenizers.make,
    "qwen2_text_small": make_qwen2_text.make,
    **{name: lambda folder, name=name: make_contrastive.make(name, folder) for name in make_contrastive.MODELS},
    **{name: lambda folder, name=name: make_qwen2vl.make(name, folder) for name in make_qwen2vl.MODELS},
}


def differences(fresh, kept):
    """What differs and matters: the bytes of every file, but of float results only what leaves the tolerance."""
    from safetensors.torch import load_file

    for path in sorted(path for path in fresh.rglob("*") if path.is_file()):
        other = kept / path.relative_to(fresh)
        if not other.exists():
            yield f"{other} is missing"
        elif path.name == "golden.safetensors":
            new, old, records = load_file(path), load_file(other), json.loads((fresh / "golden.json").read_text())["tensors"]
            for name in sorted(new.keys() | old.keys()):
                record = records.get(name) or records.get(name.removesuffix(".sample").removesuffix(".last_row"), {})
                tolerance = {"atol": record.get("atol", 0), "rtol": record.get("rtol", 0)}
                if name not in new or name not in old or new[name].shape != old[name].shape:
                    yield f"{other}: {name} has another shape or is missing"
                elif not new[name].double().allclose(old[name].double(), **tolerance):
                    yield f"{other}: {name} differs beyond its tolerance"
        elif path.name != "golden.json" and not filecmp.cmp(path, other, shallow=False):
            yield f"{other} differs"


def main():
    parser = argparse.ArgumentParser(prog="Tests/Goldens/make", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FOLDERS))
    parser.add_argument("--check", action="store_true", help="compare with what is here and change nothing")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in FOLDERS]
    if unknown:
        parser.error(f"unknown: {' '.join(unknown)} (there are {', '.join(FOLDERS)})")
    found = []
    for name in options.names or FOLDERS:
        with tempfile.TemporaryDirectory() as scratch:
            fresh = Path(scratch) / name
            fresh.mkdir()
            FOLDERS[name](fresh)
            if options.check:
                found += differences(fresh, HERE / name)
            else:
                shutil.rmtree(HERE / name, ignore_errors=True)
                shutil.copytree(fresh, HERE / name)
            size = sum(path.stat().st_size for path in fresh.rglob("*") if path.is_file())
            print(f"{name}: {size / 1e6:.2f} MB {'compared' if options.check else 'written'}")
    for line in found:
        print(line, file=sys.stderr)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
