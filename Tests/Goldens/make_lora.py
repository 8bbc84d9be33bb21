"""lora_small and dora_small: adapters that PEFT wrote for qwen2vl_small, and the scores of the model with them; of the
second, whose rows' lengths are learned (DoRA), also gradients and a merged matrix.

Newer packages than the other goldens need, because keys follow the current names of modules:

    pip install -r requirements-lora.txt
    python make_lora.py                    remake lora_small and dora_small
    python make_lora.py --check ADAPTER    open an adapter that Omma wrote, on the checkpoint that it names, and print
                                           the tokens that follow lora_small's prompt; compare with omma chat's
"""

import argparse
import json
import shutil
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoImageProcessor, AutoModelForImageTextToText

HERE = Path(__file__).parent
# Of the tokens of a prompt whose scores are kept.
ROWS = 6
BASE = HERE / "qwen2vl_small"
CASE = "single_image"


def load(base):
    return AutoModelForImageTextToText.from_pretrained(
        base, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def inputs():
    golden = json.loads((BASE / "golden.json").read_text())
    case = golden["cases"][CASE]
    picture = Image.open(BASE / "images" / Path(case["images_in_order"][0]).name).convert("RGB")
    given = AutoImageProcessor.from_pretrained(BASE)(images=[picture], return_tensors="pt")
    assert given["image_grid_thw"].tolist() == case["image_grid_thw"], (given["image_grid_thw"], case)
    ids = torch.tensor([case["input_ids"]])
    kinds = (ids == json.loads((BASE / "config.json").read_text())["image_token_id"]).int()
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "mm_token_type_ids": kinds,
        "pixel_values": given["pixel_values"],
        "image_grid_thw": given["image_grid_thw"],
    }


def make_lora(folder):
    config = LoraConfig(
        r=4, lora_alpha=6, lora_dropout=0.1, use_rslora=True, rank_pattern={"v_proj": 2},
        target_modules=r".*(self_attn\.[qvo]_proj|mlp\.(gate_proj|down_proj|fc1|fc2)|attn\.(qkv|proj)|merger\.mlp\.[02])",
    )  # fmt: skip
    make(folder, config)


def make_dora(folder):
    config = LoraConfig(
        r=3, lora_alpha=5, use_dora=True,
        target_modules=r".*(self_attn\.[qv]_proj|mlp\.(gate_proj|down_proj|fc1)|attn\.qkv|merger\.mlp\.0)",
    )  # fmt: skip
    model, given, tensors = make(folder, config)
    ids = given["input_ids"][0]
    scores = model(**given).logits[0]
    loss = torch.nn.functional.cross_entropy(scores[:-1], ids[1:])
    kept = [name for name, _ in model.named_modules() if name.endswith(
        ("language_model.layers.1.self_attn.q_proj", "language_model.layers.0.mlp.gate_proj", "visual.blocks.1.attn.qkv",
         "visual.merger.mlp.0"))]  # fmt: skip
    assert len(kept) == 4, kept
    parameters = {
        name.replace(".default", ""): parameter
        for name, parameter in model.named_parameters()
        if "lora_" in name and name.split(".lora_")[0] in kept
    }
    gradients = torch.autograd.grad(loss, list(parameters.values()))
    for name, gradient in zip(parameters, gradients):
        # As PEFT names it in files.
        name = name.removesuffix(".weight") if "magnitude" in name else name
        tensors["gradient." + name] = gradient.contiguous()
    merged = model.merge_and_unload()
    for name in kept:
        name = name.removeprefix("base_model.model.") + ".weight"
        tensors["merged." + name] = merged.get_parameter(name).detach().contiguous()
    save_file(tensors, folder / "golden.safetensors")


def make(folder, config):
    shutil.rmtree(folder, ignore_errors=True)
    given = inputs()
    plain = load(BASE)
    with torch.no_grad():
        before = plain(**given).logits[0]
    model = get_peft_model(plain, config).eval()
    generator = torch.Generator().manual_seed(7)
    for name, parameter in model.named_parameters():
        if "magnitude" in name:
            parameter.data = parameter.data * (1 + 0.3 * torch.randn(parameter.shape, generator=generator))
        elif "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.15
    with torch.no_grad():
        after = model(**given).logits[0]
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    written = json.loads((folder / "adapter_config.json").read_text())
    written["base_model_name_or_path"] = "../qwen2vl_small"
    (folder / "adapter_config.json").write_text(json.dumps(written, indent=2, sort_keys=True) + "\n")
    assert (after - before).abs().max() > 0.5, "the adapter must show"
    # Every sixth token's: all of them would be most of the folder.
    tensors = {"logits": after[::ROWS].contiguous(), "base_logits": before[::ROWS].contiguous()}
    save_file(tensors, folder / "golden.safetensors")
    return model, given, tensors


def check(adapter):
    with warnings.catch_warnings():
        # PEFT only warns of keys that it does not find.
        warnings.filterwarnings("error", message=".*(missing|unexpected).*keys.*")
        base = json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"]
        plain = load(base)
        model = PeftModel.from_pretrained(plain, adapter).eval()
    layers = sum("lora_A" in name for name, _ in model.named_parameters())
    shift = sum(p.abs().sum().item() for name, p in model.named_parameters() if "lora_B" in name)
    with torch.no_grad():
        scores = model(**inputs()).logits[0, -1]
    best = scores.topk(5)
    print(f"{layers} layers, sum of |lora_B| {shift:.6g}; best tokens {best.indices.tolist()}")
    print("scores", [round(value, 4) for value in best.values.tolist()])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", type=Path)
    options = parser.parse_args()
    if options.check:
        check(options.check)
    else:
        make_lora(HERE / "lora_small")
        make_dora(HERE / "dora_small")
