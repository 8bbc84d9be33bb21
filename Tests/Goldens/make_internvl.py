"""internvl2_{phi3,llama3,yi}_small: InternVL2 with the decoders of its 4B, 76B and 40B, with random weights.

The reference is the InternVL of a newer transformers than the other goldens need, whose weights are written under the
names of the released InternVL2 files:

    pip install -r requirements-internvl.txt
    python make_internvl.py [NAME...]
"""

import copy
import io
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import AddedToken, processors
from transformers import InternVLConfig, InternVLForConditionalGeneration, InternVLVisionConfig, LlamaConfig, Phi3Config

import golden_file
import pictures
import reference
import tokenizer
from golden_file import HIDDEN, LOGITS, PIXELS

HERE = Path(__file__).parent
SYSTEM = "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。"
TILE, PATCH = 32, 8
MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
# Those of the decoder's own tokenizer, then InternVL's in the order of its training code.
CHATML = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
PHI3 = ["<s>", "<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>"]
LLAMA3 = ["<|begin_of_text|>", "<|end_of_text|>", "<|im_start|>", "<|im_end|>"]
INTERNVL = ["<img>", "</img>", "<IMG_CONTEXT>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>"]

_rates = np.random.default_rng(9)
SHORT, LONG = (np.round(1 + scale * _rates.random(6), 3).tolist() for scale in (0.3, 8))

MODELS = {
    # InternVL2-4B: fused matrices, a factor for each frequency, heads that are no power of two.
    "internvl2_phi3_small": {
        "seed": 401,
        "template": "phi3-chat",
        "specials": PHI3,
        "bos": None,
        "pad": "<|endoftext|>",
        "stop": "<|end|>",
        "norm": "layer_norm",
        "llm": {
            "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "hidden_size": 48, "intermediate_size": 72,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4, "rms_norm_eps": 1e-05,
            "rope_theta": 10000.0, "max_position_embeddings": 1024, "original_max_position_embeddings": 256,
            "rope_scaling": {"type": "su", "short_factor": SHORT, "long_factor": LONG}, "sliding_window": 2048,
        },
    },  # fmt: skip
    # InternVL2-Llama3-76B: a token at the beginning of every text.
    "internvl2_llama3_small": {
        "seed": 416,
        "template": "internlm2-chat",
        "specials": LLAMA3,
        "bos": "<|begin_of_text|>",
        "pad": "<|end_of_text|>",
        "stop": "<|im_end|>",
        "norm": "rms_norm",
        "llm": {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 48, "intermediate_size": 80,
            "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2, "rms_norm_eps": 1e-05,
            "rope_theta": 500000.0, "max_position_embeddings": 1024, "rope_scaling": None,
        },
    },  # fmt: skip
    # InternVL2-40B: seven heads to one of keys and values, as Yi-34B has it.
    "internvl2_yi_small": {
        "seed": 403,
        "template": "Hermes-2",
        "specials": CHATML,
        "bos": None,
        "pad": "<|endoftext|>",
        "stop": "<|im_end|>",
        "norm": "rms_norm",
        "llm": {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 56, "intermediate_size": 60,
            "num_hidden_layers": 2, "num_attention_heads": 7, "num_key_value_heads": 1, "rms_norm_eps": 1e-05,
            "rope_theta": 5000000.0, "max_position_embeddings": 1024, "rope_scaling": None,
        },
    },  # fmt: skip
}
VISION = {
    "model_type": "intern_vit_6b", "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
    "num_attention_heads": 2, "image_size": TILE, "patch_size": PATCH, "hidden_act": "gelu", "layer_norm_eps": 1e-06,
    "attention_dropout": 0.0, "dropout": 0.0, "drop_path_rate": 0.0, "initializer_factor": 0.1,
}  # fmt: skip

CASES = {
    "single_image": {"question": "<image>\nDescribe the picture.", "images": ["small_a.png"], "max_num": 1},
    "tiles": {"question": "What stands\nin <image>\nand why? 哪一个？", "images": ["small_b.png"], "max_num": 2},
    "frames": {
        "question": "Frame1: <image>\nFrame2: <image>\nFrame3: <image>\nWhat moves?",
        "images": [f"frame_{index}.png" for index in (0, 2, 4)],
        "max_num": 1,
    },
    "text_only": {"question": "Good evening. 2 + 7 = ?", "history": [["Are you there?", "Yes."]], "images": []},
}
# Longer than the length of pre-training of Phi-3.
LONG_CASE = {"question": "How many boats are in the harbour? " * 6 + "<image>\nAnswer.", "images": ["small_a.png"], "max_num": 1}


def words(model):
    """The small BPE of the other goldens with the special tokens of this decoder and InternVL's behind them."""
    made = tokenizer.train()
    stripped = tokenizer.Tokenizer(made.model)
    stripped.normalizer, stripped.pre_tokenizer, stripped.decoder = made.normalizer, made.pre_tokenizer, made.decoder
    stripped.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token in model["specials"] + INTERNVL]
    )
    plain = processors.ByteLevel(trim_offsets=False)
    if model["bos"]:
        bos = (model["bos"], stripped.token_to_id(model["bos"]))
        template = processors.TemplateProcessing(single=f"{bos[0]} $A", pair=f"{bos[0]} $A $B", special_tokens=[bos])
        stripped.post_processor = processors.Sequence([plain, template])
    else:
        stripped.post_processor = plain
    return stripped


def save_tokenizer(made, model, folder):
    made.save(str(folder / "tokenizer.json"))
    added = {
        str(made.token_to_id(token)): {
            "content": token, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
            "special": True,
        }  # fmt: skip
        for token in model["specials"] + INTERNVL
    }
    reference.write_config(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast", "added_tokens_decoder": added, "bos_token": model["bos"],
            "eos_token": model["stop"], "pad_token": model["pad"], "clean_up_tokenization_spaces": False,
            "model_max_length": 8192,
        },  # fmt: skip
    )


def tiles(picture, most):
    """`dynamic_preprocess` of internvl_chat: the grid nearest in shape, tiles row by row, a thumbnail behind several."""
    ratios = sorted({(i, j) for n in range(1, most + 1) for i in range(1, n + 1) for j in range(1, n + 1) if i * j <= most},
                    key=lambda ratio: ratio[0] * ratio[1])  # fmt: skip
    width, height = picture.size
    best, nearest = (1, 1), float("inf")
    for ratio in ratios:
        difference = abs(width / height - ratio[0] / ratio[1])
        if difference < nearest:
            best, nearest = ratio, difference
        elif difference == nearest and width * height > 0.5 * TILE * TILE * ratio[0] * ratio[1]:
            best = ratio
    large = picture.resize((TILE * best[0], TILE * best[1]))
    cut = [
        large.crop((x * TILE, y * TILE, (x + 1) * TILE, (y + 1) * TILE)) for y in range(best[1]) for x in range(best[0])
    ]
    if len(cut) > 1:
        cut.append(picture.resize((TILE, TILE)))
    return best, cut


def pixels(tile):
    values = torch.from_numpy(np.asarray(tile, dtype=np.float32)).permute(2, 0, 1) / 255
    return (values - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(DEVIATION).view(3, 1, 1)


def prompt(template, history, question):
    """`conversation.py` of internvl_chat."""
    if template == "phi3-chat":
        turn = lambda role, text: f"<|{role}|>\n{text}<|end|>"
        end = "<|assistant|>\n"
    else:
        turn = lambda role, text: f"<|im_start|>{role}\n{text}<|im_end|>"
        end = "<|im_start|>assistant\n"
    text = turn("system", SYSTEM)
    for asked, answered in history:
        text += turn("user", asked) + turn("assistant", answered)
    return text + turn("user", question) + end


def released(state):
    """Names of the released files for those of transformers' InternVL."""
    weights, fused = {}, {}
    for name, tensor in state.items():
        name = name.removeprefix("model.")
        for old, new in [
            ("vision_tower.embeddings.cls_token", "vision_model.embeddings.class_embedding"),
            ("vision_tower.embeddings.patch_embeddings.projection", "vision_model.embeddings.patch_embedding"),
            ("vision_tower.embeddings.position_embeddings", "vision_model.embeddings.position_embedding"),
            ("vision_tower.encoder.layer.", "vision_model.encoder.layers."),
            (".attention.projection_layer.", ".attn.proj."),
            (".attention.q_norm.", ".attn.q_norm."),
            (".attention.k_norm.", ".attn.k_norm."),
            (".layernorm_before.", ".norm1."),
            (".layernorm_after.", ".norm2."),
            (".lambda_1", ".ls1"),
            (".lambda_2", ".ls2"),
            ("multi_modal_projector.layer_norm.", "mlp1.0."),
            ("multi_modal_projector.linear_1.", "mlp1.1."),
            ("multi_modal_projector.linear_2.", "mlp1.3."),
        ]:
            name = name.replace(old, new)
        if name.startswith("language_model."):
            name = name.replace("language_model.", "language_model.model.", 1)
        elif name.startswith("lm_head."):
            name = "language_model." + name
        for part in "qkv":
            if f".attention.{part}_proj." in name:
                fused.setdefault(name.replace(f".attention.{part}_proj.", ".attn.qkv."), {})[part] = tensor
                break
        else:
            weights[name] = tensor.detach().contiguous()
    for name, parts in fused.items():
        weights[name] = torch.cat([parts[part] for part in "qkv"]).detach().contiguous()
    return weights


def build(model, vocabulary, image_token):
    llm = {key: value for key, value in model["llm"].items() if key not in ("architectures", "rope_scaling", "rope_theta")}
    llm |= {"vocab_size": vocabulary, "tie_word_embeddings": False, "pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
    rope = {"rope_type": "default", "rope_theta": model["llm"]["rope_theta"]}
    if scaling := model["llm"]["rope_scaling"]:
        rope |= {
            "rope_type": "longrope", "short_factor": scaling["short_factor"], "long_factor": scaling["long_factor"],
            "original_max_position_embeddings": llm["original_max_position_embeddings"],
        }  # fmt: skip
    kind = Phi3Config if model["llm"]["model_type"] == "phi3" else LlamaConfig
    text = kind(**llm, rope_parameters=rope)
    is_large = model["norm"] == "rms_norm"
    vision = InternVLVisionConfig(
        **{key: value for key, value in VISION.items() if key not in ("model_type", "dropout", "drop_path_rate", "initializer_factor")},
        norm_type=model["norm"], attention_bias=not is_large, use_qk_norm=is_large,
    )  # fmt: skip
    config = InternVLConfig(
        vision_config=vision, text_config=text, image_token_id=image_token, image_seq_length=4, tie_word_embeddings=False
    )
    config._attn_implementation = "eager"
    built = InternVLForConditionalGeneration(config).eval()
    built.set_attn_implementation("eager")
    reference.fill(built, model["seed"])
    return built


def decode(run, ids):
    """24 tokens of arg-max decoding, everything computed anew for each."""
    tokens, margins = [], []
    for _ in range(reference.NEW_TOKENS):
        best = run(ids + tokens)[-1].topk(2)
        tokens.append(best.indices[0].item())
        margins.append((best.values[0] - best.values[1]).item())
    assert min(margins) > reference.SMALLEST_MARGIN, f"a step is nearly a tie ({min(margins):.5f}); choose another seed"
    return {"new_tokens": tokens, "top1_minus_top2": margins, "min_margin": min(margins)}


def make(name, folder):
    model = MODELS[name]
    made = words(model)
    vocabulary = made.get_vocab_size()
    save_tokenizer(made, model, folder)
    image_token = made.token_to_id("<IMG_CONTEXT>")
    is_large = model["norm"] == "rms_norm"
    llm = {key: value for key, value in model["llm"].items() if value is not None}
    reference.write_config(
        folder / "config.json",
        {
            "architectures": ["InternVLChatModel"], "model_type": "internvl_chat", "torch_dtype": "float32",
            "template": model["template"], "ps_version": "v2", "downsample_ratio": 0.5, "select_layer": -1,
            "force_image_size": TILE, "dynamic_image_size": True, "min_dynamic_patch": 1, "max_dynamic_patch": 6,
            "use_thumbnail": True, "pad2square": False, "use_backbone_lora": 0, "use_llm_lora": 0,
            "vision_config": {
                **VISION, "norm_type": model["norm"], "qkv_bias": not is_large, "qk_normalization": is_large,
            },
            "llm_config": {**llm, "vocab_size": vocabulary, "tie_word_embeddings": False},
        },
    )  # fmt: skip
    reference.write_config(
        folder / "preprocessor_config.json",
        {
            "crop_size": TILE, "do_center_crop": True, "do_normalize": True, "do_resize": True,
            "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": MEAN, "image_std": DEVIATION,
            "resample": 3, "size": TILE,
        },
    )  # fmt: skip
    reference.write_config(folder / "generation_config.json", {"eos_token_id": [made.token_to_id(model["stop"])]})

    cases = dict(CASES)
    if scaling := model["llm"]["rope_scaling"]:
        cases["long"] = LONG_CASE
    used = {file for case in cases.values() for file in case["images"]}
    files = {file: data for file, data in pictures.model_pictures().items() if file in used}
    images = pictures.write_beside(files, folder)

    built = build(model, vocabulary, image_token)
    save_file(released(built.state_dict()), folder / "model.safetensors", metadata={"format": "pt"})
    wide = copy.deepcopy(built).double()
    inner = built.model
    tensors, records = golden_file.Tensors(), {}
    for case, definition in cases.items():
        cut = [tiles(Image.open(io.BytesIO(files[file])).convert("RGB"), definition["max_num"]) for file in definition["images"]]
        written = prompt(model["template"], definition.get("history", []), definition["question"])
        expanded = written
        for _, parts in cut:
            expanded = expanded.replace("<image>", "<img>" + "<IMG_CONTEXT>" * 4 * len(parts) + "</img>", 1)
        ids = made.encode(expanded).ids
        assert model["llm"]["rope_scaling"] is None or (len(ids) > 256 if case == "long" else len(ids) + 24 < 256), len(ids)
        values = torch.stack([pixels(tile) for _, parts in cut for tile in parts]) if cut else None

        def run(ids, who=built):
            given = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.int64)}
            if values is not None:
                given["pixel_values"] = values.to(next(who.parameters()).dtype)
            with torch.no_grad():
                return who(**given, use_cache=False).logits[0]

        layers = inner.language_model.layers
        modules = {
            "text.layer0": layers[0], "text.last_layer_before_norm": layers[-1],
            "text.final_norm": inner.language_model.norm,
        }  # fmt: skip
        if values is not None:
            modules |= {
                "vision.embeddings": inner.vision_tower.embeddings, "vision.layer0": inner.vision_tower.encoder.layer[0],
                "vision.last_layer": inner.vision_tower.encoder.layer[-1], "vision.mlp1": inner.multi_modal_projector,
            }  # fmt: skip
        with reference.Probe(modules) as probe:
            logits = run(ids)
        tensors.exact(f"{case}.input_ids", torch.tensor(ids))
        if values is not None:
            tensors.close(f"{case}.pixel_values", values, PIXELS)
        for part, seen in probe.seen.items():
            tensors.close(f"{case}.{part}", seen[-1], HIDDEN)
        tensors.close(f"{case}.logits", logits, LOGITS)
        greedy = decode(run, ids)
        records[case] = {
            "history": definition.get("history", []),
            "question": definition["question"],
            "system_message": SYSTEM,
            "template": model["template"],
            "max_num": definition.get("max_num"),
            "images_in_order": [f"images/{file}" for file in definition["images"]],
            "num_patches_list": [len(parts) for _, parts in cut],
            "tile_grids": [list(grid) for grid, _ in cut],
            "prompt_before_image_expansion": written,
            "input_ids": ids,
            "logits_f32_vs_f64_maxabs": (run(ids, wide) - logits).abs().max().item(),
            "logits_std": logits.std().item(),
            "greedy_24_ignore_eos": greedy,
            "greedy_text": made.decode(greedy["new_tokens"], skip_special_tokens=False),
        }
    golden_file.write(
        folder,
        {
            "format_version": 1,
            "reference": "transformers 5.23 InternVLForConditionalGeneration, eager attention, float32 CPU; prompts, "
            "tiles and names of weights as OpenGVLab's internvl_chat has them",
            "seed": model["seed"],
            "tensors": tensors.records,
            "images": images,
            "num_image_token_per_tile": 4,
            "cases": records,
            "versions": golden_file.versions(),
        },
        tensors,
    )


if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        make(name, folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        print(f"{name}: {size / 1e6:.2f} MB written")
