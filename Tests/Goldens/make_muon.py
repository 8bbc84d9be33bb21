"""muon_small: steps of torch.optim.Muon on a wide, a tall and a square matrix.

    pip install -r requirements.txt
    python make_muon.py
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

SHAPES = {"wide": (12, 40), "tall": (48, 16), "square": (24, 24)}
STEPS, RATE, DECAY = 4, 2e-2, 0.1


def main(folder):
    generator = torch.Generator().manual_seed(3)
    parameters = {
        name: torch.nn.Parameter(torch.randn(shape, generator=generator)) for name, shape in SHAPES.items()
    }
    tensors = {f"{name}.0": parameter.detach().clone() for name, parameter in parameters.items()}
    optimizer = torch.optim.Muon(
        list(parameters.values()), lr=RATE, weight_decay=DECAY, adjust_lr_fn="match_rms_adamw"
    )
    for step in range(1, STEPS + 1):
        for name, parameter in parameters.items():
            scale = [1.0, 1e-4, 30.0, 1e-2][step - 1]
            parameter.grad = torch.randn(parameter.shape, generator=generator) * scale
            tensors[f"{name}.gradient.{step}"] = parameter.grad.clone()
        optimizer.step()
        for name, parameter in parameters.items():
            tensors[f"{name}.{step}"] = parameter.detach().clone()
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "golden.safetensors")


if __name__ == "__main__":
    main(Path(__file__).parent / "muon_small")
