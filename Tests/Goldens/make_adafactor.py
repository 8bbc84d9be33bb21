"""adafactor_small: steps of transformers' Adafactor at a rate of its own, on a matrix, a vector and a kernel.

    pip install -r requirements-lora.txt
    python make_adafactor.py
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers.optimization import Adafactor

SHAPES = {"matrix": (7, 5), "vector": (9,), "kernel": (4, 3, 2, 5)}
STEPS, RATE, DECAY = 5, 1e-2, 0.1


def main(folder):
    generator = torch.Generator().manual_seed(3)
    parameters = {
        name: torch.nn.Parameter(torch.randn(shape, generator=generator)) for name, shape in SHAPES.items()
    }
    tensors = {f"{name}.0": parameter.detach().clone() for name, parameter in parameters.items()}
    optimizer = Adafactor(
        list(parameters.values()), lr=RATE, weight_decay=DECAY, scale_parameter=False, relative_step=False
    )
    for step in range(1, STEPS + 1):
        for name, parameter in parameters.items():
            # Small ones too, and one that clips the update.
            scale = [1.0, 1e-4, 30.0, 1e-3, 1.0][step - 1]
            parameter.grad = torch.randn(parameter.shape, generator=generator) * scale
            tensors[f"{name}.gradient.{step}"] = parameter.grad.clone()
        optimizer.step()
        for name, parameter in parameters.items():
            tensors[f"{name}.{step}"] = parameter.detach().clone()
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "golden.safetensors")


if __name__ == "__main__":
    main(Path(__file__).parent / "adafactor_small")
