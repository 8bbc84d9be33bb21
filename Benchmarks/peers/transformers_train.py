"""Measures a full fine-tuning step of transformers: a Qwen2-VL of 79.8 M parameters, AdamW, gradients clipped at 1.0, a
batch of 8 conversations with a picture each, padded to 850 tokens (4,535 real ones, 1,719 of them of pictures), bf16 by
autocast or fp32. The plain loop that users write.

train_samples and train_tokens: samples and non-padding tokens a second. train_step: seconds a step. The limit is three
times the arithmetic of a forward pass without padding, at the machine's bf16 matmul rate.

--long: one conversation of 4,096 tokens, 1,024 of them of a picture. --save-memory: gradient checkpointing.
"""

import argparse
import time

import torch
import transformers
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

from common import add_options, better_limits, check_rows, measure_limits, peak_memory, print_report, repeat_timed, row, say
from shapes import TEXT, VISION, prefill_flops, tower_flops

ROWS = ["train_samples", "train_tokens", "train_step", "train_peak_memory"]
SMALL_TEXT = {
    **TEXT,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 32000,
    "rope_scaling": {"type": "mrope", "mrope_section": [8, 12, 12]},
}
SMALL_VISION = {**VISION, "depth": 8, "embed_dim": 384, "num_heads": 6, "hidden_size": 512}
IDS = {"vision_start_token_id": 31996, "vision_end_token_id": 31997, "image_token_id": 31998, "video_token_id": 31999}
LENGTHS = [850, 760, 690, 600, 520, 445, 370, 300]
PICTURES = [(20, 16), (18, 18), (16, 16), (15, 14), (14, 13), (13, 12), (11, 11), (15, 10)]  # merged rows, columns


LONG_LENGTHS, LONG_PICTURES = [4096], [(32, 32)]


def batch():
    """Each row: some text, the picture, text whose second half is the answer, padding on the right."""
    random = torch.Generator().manual_seed(1)
    longest = max(LENGTHS)
    ids = torch.zeros(len(LENGTHS), longest, dtype=torch.int64)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for index, (length, (rows, columns)) in enumerate(zip(LENGTHS, PICTURES)):
        line = torch.randint(1, 31000, (length,), generator=random)
        end = 10 + 1 + rows * columns
        line[10], line[end] = IDS["vision_start_token_id"], IDS["vision_end_token_id"]
        line[11:end] = IDS["image_token_id"]
        ids[index, :length], mask[index, :length] = line, 1
        answer = (end + 1 + length) // 2
        labels[index, answer:length] = line[answer:]
    grids = torch.tensor([[1, 2 * rows, 2 * columns] for rows, columns in PICTURES])
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "labels": labels,
        "mm_token_type_ids": (ids == IDS["image_token_id"]).int(),
        "pixel_values": torch.randn(int(grids.prod(1).sum()), 1176, generator=random),
        "image_grid_thw": grids,
    }


def forward_flops():
    texts = sum(prefill_flops({**SMALL_TEXT, "vocab_size": 0}, length) for length in LENGTHS)
    head = 2 * SMALL_TEXT["hidden_size"] * SMALL_TEXT["vocab_size"] * sum(LENGTHS)
    return texts + head + sum(tower_flops(SMALL_VISION, 4 * rows * columns) for rows, columns in PICTURES)


def main():
    parser = argparse.ArgumentParser(
        prog="Benchmarks/peers/run train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser, ROWS, runs=3)
    parser.add_argument("--dtype", choices=["bf16", "fp32"], default="bf16", help="default: bf16")
    parser.add_argument("--long", action="store_true", help="one conversation of 4,096 tokens")
    parser.add_argument("--save-memory", action="store_true", help="gradient checkpointing")
    options = parser.parse_args()
    check_rows(parser, options, ROWS)
    if options.long:
        LENGTHS[:], PICTURES[:] = LONG_LENGTHS, LONG_PICTURES

    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    say("measuring the machine's limits")
    limits = measure_limits(options.threads)
    config = Qwen2VLConfig.from_dict({"model_type": "qwen2_vl", **IDS, **SMALL_TEXT, "vision_config": SMALL_VISION})
    config._attn_implementation = "sdpa"
    model = Qwen2VLForConditionalGeneration(config).train()
    say(f"{sum(parameter.numel() for parameter in model.parameters()) / 1e6:.1f} M parameters")
    if options.save_memory:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    inputs = batch()

    def step():
        begin = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=options.dtype == "bf16"):
            loss = model(**inputs, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds = time.perf_counter() - begin
        say(f"loss {loss.item():.4f}, {seconds:.1f} s")
        return seconds

    seconds = repeat_timed(step, options)
    memory = peak_memory()
    limits = better_limits(limits, measure_limits(options.threads))
    shortest = 3 * forward_flops() / (limits["matmul"] * 1e9)
    # Weights, gradients and the two moments: what a step cannot do without.
    state = 4 * sum(parameter.nbytes for parameter in model.parameters()) / 1e9
    samples, tokens = len(LENGTHS), sum(LENGTHS)
    rows = {
        "train_samples": row("train_samples", "samples/s", [samples / s for s in seconds], samples / shortest),
        "train_tokens": row("train_tokens", "tokens/s", [tokens / s for s in seconds], tokens / shortest),
        "train_step": row("train_step", "s", seconds, shortest, "lower"),
        "train_peak_memory": row("train_peak_memory", "GB", [memory], state, "lower"),
    }
    report = {
        "program": f"transformers {transformers.__version__}, torch {torch.__version__}",
        "config": "qwen2-vl-80m, 4,096 tokens" if options.long else "qwen2-vl-80m",
        "dtype": options.dtype,
        "threads": options.threads,
        "limits": limits,
        "rows": [rows[name] for name in options.rows],
    }
    print_report(report, options.json)


if __name__ == "__main__":
    main()
