"""Measures transformers (bf16, sdpa, CPU) on random weights of Qwen2-VL-2B's shapes, row by row, beside what the
machine allows: memory read and bf16 matmul, measured before and after. Nothing is downloaded; 5 GB of memory are used.

prefill_N and decode_depth_N: tokens a second of the decoder, with logits of the last token only. tower_WxH: seconds a
picture, the merger included. start_to_first_token: from the start of a fresh process to the first token behind a
448x448 picture and 30 tokens of text, weights from a safetensors file that is written once to the cache (4.4 GB) and
read once before. peak_memory: resident size behind the other rows chosen, without start_to_first_token.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "omma" / "peers" / "qwen2-vl-2b-random"
TOWERS = {"tower_448": (448, 448), "tower_1344x896": (1344, 896)}
ROWS = [
    "prefill_512",
    "prefill_2048",
    "decode_depth_0",
    "decode_depth_1024",
    *TOWERS,
    "start_to_first_token",
    "peak_memory",
]
TEXT_TOKENS = 30


def first_token(threads):
    """A fresh process: weights, picture and prompt to the first token, which it prints."""
    import torch
    from PIL import Image
    from transformers import Qwen2VLForConditionalGeneration, Qwen2VLImageProcessorPil

    from shapes import IDS

    torch.set_num_threads(threads)
    model = Qwen2VLForConditionalGeneration.from_pretrained(CACHE, dtype=torch.bfloat16, attn_implementation="sdpa").eval()
    with torch.inference_mode():
        picture = Qwen2VLImageProcessorPil()(Image.open(CACHE / "picture.png"), return_tensors="pt")
        marks = picture["image_grid_thw"].prod().item() // 4
        before = [IDS["bos_token_id"]] * (TEXT_TOKENS // 2) + [IDS["vision_start_token_id"]]
        after = [IDS["vision_end_token_id"]] + [IDS["bos_token_id"]] * (TEXT_TOKENS // 2 - 2)
        ids = torch.tensor([before + [IDS["image_token_id"]] * marks + after])
        kinds = (ids == IDS["image_token_id"]).int()
        logits = model(input_ids=ids, mm_token_type_ids=kinds, logits_to_keep=1, use_cache=True, **picture).logits
    print(logits[0, -1].argmax().item(), flush=True)


def write_checkpoint():
    """Random weights with the released key names, written tensor by tensor so that little memory is needed."""
    import torch
    from PIL import Image

    from shapes import CONFIG

    if (CACHE / "model.safetensors").exists():
        return
    from common import say

    say(f"writing random weights to {CACHE} (4.4 GB, once)")
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / "config.json").write_text(json.dumps(CONFIG, indent=2))
    Image.effect_mandelbrot((448, 448), (-2, -1.5, 1, 1.5), 100).convert("RGB").save(CACHE / "picture.png")
    shapes = {released(name): list(tensor.shape) for name, tensor in build("meta").named_parameters()}
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 2 * torch.Size(shape).numel()
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    part = CACHE / "model.part"
    with open(part, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            tensor = torch.empty(shape, dtype=torch.bfloat16)
            fill(name, tensor)
            file.write(tensor.view(torch.uint8).numpy().data)
    part.rename(CACHE / "model.safetensors")


def released(name):
    return name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")


_noise = None


def fill(name, tensor):
    """Small random weights. One block of noise over and over: drawing two billion numbers takes a minute."""
    import torch

    global _noise
    if _noise is None:
        _noise = torch.empty((1 << 22) + 1, dtype=torch.bfloat16).normal_(0, 0.02)
    flat = tensor.detach().view(-1)
    if tensor.dim() == 1 and name.endswith("weight"):
        flat.fill_(1)
        return
    for start in range(0, flat.numel(), _noise.numel()):
        piece = flat[start : start + _noise.numel()]
        piece.copy_(_noise[: piece.numel()])


def build(device="cpu"):
    import torch
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration
    from transformers.initialization import no_init_weights

    from shapes import CONFIG

    torch.set_default_dtype(torch.bfloat16)
    try:
        config = Qwen2VLConfig.from_dict(CONFIG)
        config._attn_implementation = "sdpa"
        with no_init_weights(), torch.device(device):
            model = Qwen2VLForConditionalGeneration(config)
            model.tie_weights()
    finally:
        torch.set_default_dtype(torch.float32)
    return model.eval()


class Bench:
    def __init__(self, options):
        import torch

        self.options, self.torch = options, torch
        self.model = build()
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                fill(name, parameter)

    def prompt(self, tokens, start=0):
        torch = self.torch
        ids = torch.randint(0, 100_000, (1, tokens), generator=torch.Generator().manual_seed(tokens))
        return {"input_ids": ids, "position_ids": torch.arange(start, start + tokens).expand(3, 1, -1)}

    def prefill(self, tokens, cache=None):
        return self.model(**self.prompt(tokens), past_key_values=cache, use_cache=True, logits_to_keep=1).logits

    def measure_prefill(self, tokens):
        from common import repeat

        self.prefill(16)
        return [tokens / seconds for seconds in repeat(lambda: self.prefill(tokens), self.options)]

    def measure_decode(self, depth):
        from common import repeat
        from transformers import DynamicCache

        torch, count = self.torch, self.options.tokens
        cache = DynamicCache(config=self.model.config.text_config)
        self.prefill(max(depth, 1), cache)

        def decode():
            further = cache.get_seq_length() - depth
            if further:
                cache.crop(-further)  # forget the run before
            token = torch.tensor([[1]])
            for index in range(count):
                positions = torch.full((3, 1, 1), depth + index)
                step = self.model(input_ids=token, position_ids=positions, past_key_values=cache, use_cache=True)
                token = step.logits[:, -1].argmax(-1, keepdim=True)

        return [count / seconds for seconds in repeat(decode, self.options)]

    def measure_tower(self, width, height):
        from common import repeat

        torch = self.torch
        patches = width * height // 14**2
        pixels = torch.randn(patches, 1176).bfloat16()
        grid = torch.tensor([[1, height // 14, width // 14]])
        return repeat(lambda: self.model.get_image_features(pixels, grid), self.options)


def measure_start(options):
    """Seconds from the start of a process to the line that it prints; its way out is not counted."""
    from common import repeat_timed

    write_checkpoint()
    with open(CACHE / "model.safetensors", "rb") as file:  # into the page cache
        while file.read(1 << 26):
            pass

    def start():
        begin = time.perf_counter()
        command = [sys.executable, __file__, "--first-token", "--threads", str(options.threads)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            line = process.stdout.readline()
            seconds = time.perf_counter() - begin
        if process.returncode or not line.strip().isdigit():
            raise SystemExit("the process of start_to_first_token failed")
        return seconds

    return repeat_timed(start, options)


def measure(options):
    import torch
    import transformers

    from common import better_limits, measure_limits, peak_memory, row, say
    from shapes import TEXT, VISION, decode_bytes, prefill_flops, tower_flops

    torch.set_num_threads(options.threads)
    say("measuring the machine's limits")
    limits = measure_limits(options.threads)
    results = {}
    if set(options.rows) - {"start_to_first_token"}:
        say("building the model")
        bench = Bench(options)
        with torch.inference_mode():
            for name in options.rows:
                kind, _, depth = name.rpartition("_")
                if kind == "prefill":
                    say(name)
                    results[name] = bench.measure_prefill(int(depth))
                elif kind == "decode_depth":
                    say(name)
                    results[name] = bench.measure_decode(int(depth))
                elif name in TOWERS:
                    say(name)
                    results[name] = bench.measure_tower(*TOWERS[name])
        results["peak_memory"] = [peak_memory()]
        weights = sum(parameter.nbytes for parameter in bench.model.parameters()) / 1e9
        del bench
    if "start_to_first_token" in options.rows:
        say("start_to_first_token")
        results["start_to_first_token"] = measure_start(options)
    say("measuring the machine's limits again")
    limits = better_limits(limits, measure_limits(options.threads))

    rows, flops = [], limits["matmul"] * 1e9
    for name in options.rows:
        kind, _, depth = name.rpartition("_")
        if kind == "prefill":
            limit = flops / prefill_flops(TEXT, int(depth)) * int(depth)
            rows.append(row(name, "tokens/s", results[name], limit))
        elif kind == "decode_depth":
            limit = limits["memory_read"] * 1e9 / decode_bytes(TEXT, int(depth) + options.tokens // 2)
            rows.append(row(name, "tokens/s", results[name], limit))
        elif name in TOWERS:
            width, height = TOWERS[name]
            limit = tower_flops(VISION, width * height // 14**2) / flops
            rows.append(row(name, "s", results[name], limit, "lower"))
        elif name == "start_to_first_token":
            work = tower_flops(VISION, 1024) + prefill_flops(TEXT, 256 + TEXT_TOKENS)
            rows.append(row(name, "s", results[name], work / flops, "lower"))
        else:
            rows.append(row(name, "GB", results[name], weights, "lower"))
    return {
        "program": f"transformers {transformers.__version__}, torch {torch.__version__}",
        "config": "qwen2-vl-2b",
        "dtype": "bf16",
        "threads": options.threads,
        "limits": limits,
        "rows": rows,
    }


def main():
    from common import add_options, check_rows, print_report

    parser = argparse.ArgumentParser(
        prog="Benchmarks/peers/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser, ROWS, runs=5)
    parser.add_argument("--tokens", type=int, default=16, metavar="N", help="tokens of a decode run (default 16)")
    options = parser.parse_args()
    check_rows(parser, options, ROWS)
    print_report(measure(options), options.json)


if __name__ == "__main__":
    # The fresh process of start_to_first_token goes straight to its work.
    if sys.argv[1:2] == ["--first-token"]:
        first_token(int(sys.argv[3]))
    else:
        main()
