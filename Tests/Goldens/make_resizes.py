"""resize_small and smart_resize_small: Pillow's and torch's resizing, and Qwen2-VL's choice of a size."""

import math
import random

import numpy as np
import torch
import torch.nn.functional as functional
from PIL import Image
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

import golden_file
import pictures

FILTERS = {
    "nearest": Image.NEAREST,
    "box": Image.BOX,
    "bilinear": Image.BILINEAR,
    "hamming": Image.HAMMING,
    "bicubic": Image.BICUBIC,
    "lanczos": Image.LANCZOS,
}
SIZES = [(28, 14), (9, 23), (41, 5), (1, 4)]  # width, height


def make_resize(folder):
    noise = np.random.default_rng(3).integers(0, 2, (11, 8, 3)) * 255
    sources = {
        "scene.png": pictures.scene(37, 26, 11, noise=30),
        "grey.png": pictures.scene(19, 31, 12, noise=30).convert("L"),
        # Only extremes: bicubic and Lanczos overshoot both ways.
        "extremes.png": Image.fromarray(noise.astype(np.uint8)),
    }
    cases, tensors = {}, golden_file.Tensors()
    for file, picture in sources.items():
        (folder / file).write_bytes(pictures.png(picture))
        stem = file.removesuffix(".png")
        for filter in FILTERS:
            for width, height in SIZES:
                name = f"pil.{stem}.{width}x{height}.{filter}"
                cases[name] = {"source": file, "width": width, "height": height, "filter": filter}
                resized = np.atleast_3d(np.asarray(picture.resize((width, height), FILTERS[filter])))
                tensors.exact(name, torch.from_numpy(resized.copy()), "uint8 HxWxC")
        box = [1.5, 2.25, picture.width - 3.25, picture.height - 1]
        name = f"pil_box.{stem}"
        cases[name] = {"source": file, "width": 15, "height": 10, "filter": "bicubic", "box": box}
        resized = np.atleast_3d(np.asarray(picture.resize((15, 10), Image.BICUBIC, box=box)))
        tensors.exact(name, torch.from_numpy(resized.copy()), "uint8 HxWxC")
        planes = torch.from_numpy(np.atleast_3d(np.asarray(picture)).copy()).permute(2, 0, 1).contiguous()
        for filter in ("bilinear", "bicubic"):
            for width, height in SIZES:
                name = f"tv.{stem}.{width}x{height}.{filter}"
                cases[name] = {"source": file, "width": width, "height": height, "filter": filter}
                sides = {"size": (height, width), "mode": filter}
                scaled = planes[None].float() / 255
                whole = functional.interpolate(planes[None], **sides, antialias=True)[0]
                tensors.close(f"{name}.uint8", whole, (1, 0), "uint8 in and out, CxHxW; within 1", whole=True)
                smooth = functional.interpolate(scaled, **sides, antialias=True)[0]
                tensors.close(f"{name}.float", smooth, (1e-5, 0), "of uint8 / 255, antialiased, no clamp", whole=True)
                plain = functional.interpolate(scaled, **sides)[0]
                tensors.close(f"{name}.noaa", plain, (1e-5, 0), "without antialias (a = -0.75 for bicubic)", whole=True)
    golden_file.write(
        folder,
        {
            "format_version": 1,
            "reference": "Pillow Image.resize on uint8 (exact); torch interpolate on tensors",
            "tensors": tensors.records,
            "cases": cases,
            "versions": golden_file.versions(),
        },
        tensors,
    )


def _later(height, width, factor, low, high, is_points):
    """The other versions: transformers 5 (at least one factor a side when shrinking) and WePOINTS (never)."""
    if max(height, width) / min(height, width) > 200 and not (is_points and min(height, width) < factor):
        raise ValueError("absolute aspect ratio must be smaller than 200")
    tall, wide = round(height / factor) * factor, round(width / factor) * factor
    if tall * wide > high:
        beta, least = math.sqrt(height * width / high), 0 if is_points else factor
        tall = max(least, math.floor(height / beta / factor) * factor)
        wide = max(least, math.floor(width / beta / factor) * factor)
    elif tall * wide < low:
        beta = math.sqrt(low / (height * width))
        tall, wide = math.ceil(height * beta / factor) * factor, math.ceil(width * beta / factor) * factor
    return tall, wide


def make_smart_resize(folder):
    chance = random.Random(5)
    limits = [(28, 3136, 12845056), (28, 3136, 1003520), (16, 1024, 7680), (28, 78400, 100352)]
    sizes = [(1, 1), (1, 200), (1, 201), (14, 14), (27, 28), (28, 5600), (42, 42), (70, 98), (480, 640), (30000, 30000)]
    sizes += [(chance.randint(1, 200), chance.randint(1, 200)) for _ in range(25)]
    sizes += [(chance.randint(1, 9000), chance.randint(1, 9000)) for _ in range(25)]
    rows = []
    for height, width in sizes:
        for factor, low, high in limits:
            row = {"h": height, "w": width, "min_pixels": low, "max_pixels": high, "factor": factor}
            for version, rule in {
                "transformers_4_45": lambda: smart_resize(height, width, factor, low, high),
                "transformers_5": lambda: _later(height, width, factor, low, high, False),
                "points15": lambda: _later(height, width, factor, low, high, True),
            }.items():
                try:
                    row[version] = list(rule())
                except ValueError as error:
                    row[version] = {"error": f"ValueError: {error}"}
            rows.append(row)
    golden_file.write_json(
        folder / "golden.json",
        {
            "format_version": 1,
            "desc": (
                "[height, width] or error. transformers_4_45 is the package's own function; transformers_5 and points15 "
                "are copies of the published formulas. Python rounds half to even."
            ),
            "versions": golden_file.versions(),
            "rows": rows,
        },
    )
