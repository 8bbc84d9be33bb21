"""Writes golden.json and golden.safetensors; README.md describes the format."""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

# Absolute and relative tolerance of a kind of tensor, in float32 on a CPU.
PIXELS = (1e-6, 0)
ANGLES = (1e-5, 1e-5)
HIDDEN = (2e-4, 1e-3)
LOGITS = (1e-3, 1e-3)

_STORE_WHOLE_UP_TO = 2400  # elements; longer float tensors are sampled
_SAMPLES = 800


def _step(count):
    """About 800 samples, and an odd step, so that the columns of a row take turns."""
    step = -(-count // _SAMPLES)
    return step + 1 if step % 2 == 0 else step


class Tensors:
    """The tensors of one folder and what golden.json says of them."""

    def __init__(self):
        self.records = {}
        self.stored = {}

    def exact(self, name, tensor, description=""):
        tensor = tensor.detach().contiguous()
        tensor = tensor if tensor.dtype == torch.uint8 else tensor.to(torch.int64)
        self.records[name] = {**self._head(tensor, description), "compare": "exact"}
        self.stored[name] = tensor

    def close(self, name, tensor, tolerance, description="", whole=False):
        tensor = tensor.detach().to(torch.float32).contiguous()
        wide = tensor.double()
        record = self.records[name] = {
            **self._head(tensor, description),
            "compare": "allclose",
            "atol": tolerance[0],
            "rtol": tolerance[1],
            "sum": wide.sum().item(),
            "l2": wide.norm().item(),
            "absmax": wide.abs().max().item(),
        }
        if whole or tensor.numel() <= _STORE_WHOLE_UP_TO:
            self.stored[name] = tensor
            return
        record["sampled"] = True
        record["sample_step"] = _step(tensor.numel())
        self.stored[name + ".sample"] = tensor.flatten()[:: record["sample_step"]].clone()
        if tolerance == LOGITS:
            self.stored[name + ".last_row"] = tensor[-1].clone()
            self.stored[name + ".argmax"] = tensor.argmax(-1)

    @staticmethod
    def _head(tensor, description):
        return {
            "shape": list(tensor.shape),
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "desc": description,
            "sha256": hashlib.sha256(tensor.numpy().tobytes()).hexdigest(),
        }


def versions():
    import PIL
    import tokenizers
    import transformers

    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
    }


def write_json(path, record):
    """Compact, one line per second-level entry, so that a change shows as the lines that changed."""

    def compact(value):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    lines = []
    for key, value in record.items():
        if isinstance(value, dict) and value:
            body = ",\n".join(f"{compact(name)}:{compact(entry)}" for name, entry in value.items())
            lines.append(f"{compact(key)}:{{\n{body}\n}}")
        elif isinstance(value, list) and value and isinstance(value[0], (dict, list)):
            body = ",\n".join(compact(entry) for entry in value)
            lines.append(f"{compact(key)}:[\n{body}\n]")
        else:
            lines.append(f"{compact(key)}:{compact(value)}")
    Path(path).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def write(folder, record, tensors):
    write_json(Path(folder) / "golden.json", record)
    save_file(tensors.stored, Path(folder) / "golden.safetensors")
