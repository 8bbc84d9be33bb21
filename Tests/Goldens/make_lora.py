"""lora_small: an adapter that PEFT wrote for qwen2vl_small, and the scores of the model with it.

Newer packages than the other goldens need, because keys follow the current names of modules:

    pip install -r requirements-lora.txt
    python make_lora.py                    remake lora_small
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


def make(folder):
    shutil.rmtree(folder, ignore_errors=True)
    given = inputs()
    plain = load(BASE)
    with torch.no_grad():
        before = plain(**given).logits[0]
    config = LoraConfig(
        r=4, lora_alpha=6, lora_dropout=0.1, use_rslora=True, rank_pattern={"v_proj": 2},
        target_modules=r".*(self_attn\.[qvo]_proj|mlp\.(gate_proj|down_proj|fc1|fc2)|attn\.(qkv|proj)|merger\.mlp\.[02])",
    )  # fmt: skip
    model = get_peft_model(plain, config).eval()
    generator = torch.Generator().manual_seed(7)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.15
    with torch.no_grad():
        after = model(**given).logits[0]
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    written = json.loads((folder / "adapter_config.json").read_text())
    written["base_model_name_or_path"] = "../qwen2vl_small"
    (folder / "adapter_config.json").write_text(json.dumps(written, indent=2, sort_keys=True) + "\n")
    assert (after - before).abs().max() > 0.5, "the adapter must show"
    save_file({"logits": after.contiguous(), "base_logits": before.contiguous()}, folder / "golden.safetensors")


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
    check(options.check) if options.check else make(HERE / "lora_small")
