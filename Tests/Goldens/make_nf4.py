"""nf4_small: a matrix as bitsandbytes packs it in 4-bit NormalFloat with doubly quantised scales, and its values again.

    pip install -r requirements-lora.txt
    python make_nf4.py
"""

from pathlib import Path

import torch
from bitsandbytes import functional
from safetensors.torch import save_file

# More blocks of 64 than share a scale of scales, and a last one that is not full.
SHAPE = (130, 131)


def main(folder, seed=11):
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(SHAPE, generator=generator) * torch.logspace(-3, 1, SHAPE[0])[:, None]
    matrix[5] = 0
    matrix[9, 3] = 40.0
    packed, state = functional.quantize_4bit(matrix, blocksize=64, compress_statistics=True, quant_type="nf4")
    # bitsandbytes' kernel for the CPU takes the other of two scales that are equally near, or nearly: another seed then.
    largest = torch.nn.functional.pad(matrix.reshape(-1), (0, -matrix.numel() % 64)).reshape(-1, 64).abs().amax(1)
    apart = (largest - state.offset).split(256)
    scaled = torch.cat([part / part.abs().max() for part in apart])
    nearest = (scaled[:, None] - functional.create_dynamic_map()).abs().argmin(1)
    if not torch.equal(nearest, state.absmax.long()):
        return main(folder, seed + 1)
    tensors = {
        "matrix": matrix,
        "packed": packed.reshape(-1),
        "scales": state.absmax,
        "outer": state.state2.absmax,
        "offset": state.offset.reshape(1),
        "values": functional.dequantize_4bit(packed, state),
    }
    folder.mkdir(exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "golden.safetensors")


if __name__ == "__main__":
    main(Path(__file__).parent / "nf4_small")
