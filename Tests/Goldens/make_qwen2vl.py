"""qwen2vl_small and qwen2vl_tied_sharded_small: Qwen2-VL with random weights, in the released layout."""

import copy
import io
from pathlib import Path

import torch
from PIL import Image
from transformers import (
    Qwen2TokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
)

import golden_file
import pictures
import reference
import tokenizer
from golden_file import ANGLES, HIDDEN, LOGITS, PIXELS

REFERENCE = (
    "transformers 4.45.2 Qwen2VLForConditionalGeneration / Qwen2VLProcessor / Qwen2VLImageProcessor (PIL + numpy image "
    "path), attn_implementation='eager', float32 CPU"
)


def _config(hidden, intermediate, layers, heads, key_value_heads, vocabulary, theta, section, tied, epsilon, vision):
    return {
        "architectures": ["Qwen2VLForConditionalGeneration"],
        "attention_dropout": 0.0,
        "bos_token_id": tokenizer.IDS["<|endoftext|>"],
        "eos_token_id": tokenizer.IDS["<|im_end|>"],
        "vision_start_token_id": tokenizer.IDS["<|vision_start|>"],
        "vision_end_token_id": tokenizer.IDS["<|vision_end|>"],
        "vision_token_id": tokenizer.IDS["<|vision_pad|>"],
        "image_token_id": tokenizer.IDS["<|image_pad|>"],
        "video_token_id": tokenizer.IDS["<|video_pad|>"],
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "max_position_embeddings": 2048,
        "max_window_layers": layers,
        "model_type": "qwen2_vl",
        "sliding_window": 2048,
        "tie_word_embeddings": tied,
        "torch_dtype": "float32",
        "transformers_version": "4.45.2",
        "use_cache": True,
        "use_sliding_window": False,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_value_heads,
        "vocab_size": vocabulary,
        "rope_theta": theta,
        "rope_scaling": {"type": "mrope", "mrope_section": section},
        "rms_norm_eps": epsilon,
        "vision_config": {
            "in_chans": 3,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "hidden_size": hidden,
            "hidden_act": "quick_gelu",
            "spatial_patch_size": vision["patch_size"],
            **vision,
        },
    }


# The three parts of mrope_section differ, so that exchanging any two of them shows.
MODELS = {
    "qwen2vl_small": {
        "seed": 305,
        "config": _config(
            hidden=72, intermediate=100, layers=3, heads=6, key_value_heads=3, vocabulary=414, theta=1e6,
            section=[1, 2, 3], tied=False, epsilon=1e-6,
            vision={"patch_size": 8, "depth": 3, "embed_dim": 32, "num_heads": 4, "mlp_ratio": 3},
        ),  # fmt: skip
        "min_pixels": 32 * 32,
        "max_pixels": 96 * 80,
        "shards": 1,
        "cases": None,
    },
    "qwen2vl_tied_sharded_small": {
        "seed": 305,
        "config": _config(
            hidden=80, intermediate=88, layers=2, heads=2, key_value_heads=2, vocabulary=448, theta=1e4,
            section=[5, 7, 8], tied=True, epsilon=1e-5,
            vision={"patch_size": 14, "depth": 2, "embed_dim": 40, "num_heads": 2, "mlp_ratio": 2},
        ),  # fmt: skip
        "min_pixels": 56 * 56,
        "max_pixels": 84 * 84,
        "shards": 4,
        "cases": ["single_image", "two_images", "text_only", "video_long", "train"],
    },
}


def _generation():
    return {
        "bos_token_id": tokenizer.IDS["<|endoftext|>"],
        "pad_token_id": tokenizer.IDS["<|endoftext|>"],
        "do_sample": True,
        "eos_token_id": [tokenizer.IDS["<|im_end|>"], tokenizer.IDS["<|endoftext|>"]],
        "repetition_penalty": 1.0,
        "temperature": 0.01,
        "top_p": 0.001,
        "top_k": 1,
        "transformers_version": "4.45.2",
    }


def _preprocessor(model):
    vision = model["config"]["vision_config"]
    pixels = {"min_pixels": model["min_pixels"], "max_pixels": model["max_pixels"]}
    return {
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2VLProcessor",
        "merge_size": vision["spatial_merge_size"],
        "patch_size": vision["patch_size"],
        "temporal_patch_size": vision["temporal_patch_size"],
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": pixels,
        **pixels,
    }


def _image(file):
    return {"type": "image", "image": file}


def _video():
    return {"type": "video", "video": "clip"}


def _text(text):
    return {"type": "text", "text": text}


def _user(*parts):
    return {"role": "user", "content": list(parts)}


def _assistant(text):
    return {"role": "assistant", "content": [_text(text)]}


FRAMES = [f"images/frame_{index}.png" for index in range(6)]
CASES = {
    "single_image": {"messages": [_user(_image("small_a.png"), _text("What does the picture show?"))]},
    "two_images": {
        "messages": [_user(_image("small_b.png"), _text("Compare this with "), _image("small_a.png"), _text(" please."))]
    },
    "three_images": {
        "messages": [
            _user(*map(_image, ("small_c.jpg", "small_a.png", "small_b.png")), _text("Which is the widest? 哪一个？"))
        ]
    },
    "video": {"messages": [_user(_video(), _text("What moves in the clip?"))], "frames": FRAMES[:4]},
    "mixed": {
        "messages": [_user(_text("First: "), _video(), _image("small_c.jpg"), _text("Is it from the same place?"))],
        "frames": FRAMES[:2],
    },
    "text_only": {"messages": [{"role": "user", "content": "Good evening. 请回答：2 + 7 = ?"}]},
    "system_multi_turn": {
        "messages": [
            {"role": "system", "content": "Be brief."},
            _user(_text("Are you there?")),
            _assistant("Yes."),
            _user(_image("small_b.png"), _text("How many shapes?")),
            _assistant("There are 4."),
            _user(_text("Name the largest.")),
        ]
    },
    "vision_ids": {
        "messages": [
            _user(_image("small_c.jpg"), _text("before")),
            _assistant("seen"),
            _user(_video(), _text("during"), _image("small_a.png"), _text("after")),
        ],
        "frames": FRAMES[:2],
        "template": {"add_vision_id": True},
    },
    "video_long": {
        "messages": [_user(_video(), _text("What changes from start to end?"))],
        "frames": FRAMES + FRAMES + FRAMES[:4],
        "note": (
            "more temporal steps than rows or columns: text behind the clip goes on at max(t,h,w)+1 (transformers "
            "4.45-4.57 and the Qwen2-VL paper); transformers 5.x advances by max(h,w) only and so gives other positions"
        ),
    },
    "train": {
        "messages": [
            _user(_image("small_a.png"), _text("Describe the picture.")),
            _assistant("A grey rectangle lies above 2 discs."),
            _user(_text("还有什么？")),
            _assistant("There's a green one: 7.25, 绿色。"),
        ]
    },
}
BATCH = ["single_image", "text_only", "two_images"]


def make(name, folder):
    recipe, folder = MODELS[name], Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.write(folder)
    reference.write_config(folder / "config.json", recipe["config"])
    reference.write_config(folder / "generation_config.json", _generation())
    reference.write_config(folder / "preprocessor_config.json", _preprocessor(recipe))
    wanted = {name: CASES[name] for name in recipe["cases"] or CASES}
    used = {part["image"] for case in wanted.values() for part in _parts(case) if part["type"] == "image"}
    used |= {Path(frame).name for case in wanted.values() for frame in case.get("frames", [])}
    files = {file: data for file, data in pictures.model_pictures().items() if file in used}
    images = pictures.write_beside(files, folder)

    blank = Qwen2VLForConditionalGeneration(Qwen2VLConfig.from_dict(recipe["config"]))
    reference.fill(blank, recipe["seed"])
    reference.save_weights(blank, folder, recipe["shards"])

    writer = Writer(folder)
    for case, definition in wanted.items():
        (writer.add_training if case == "train" else writer.add_greedy)(case, definition)
    batch = writer.batch()
    golden_file.write(
        folder,
        {
            "format_version": 1,
            "reference": REFERENCE,
            "seed": recipe["seed"],
            "tensors": writer.tensors.records,
            "images": images,
            "cases": writer.cases,
            "batch": batch,
            "image_processor_all_pictures": {
                "desc": (
                    "files of ../images, decoded with convert('RGB') (no EXIF transposition); pixel_values in tensors "
                    "pixels.<file>, or pixels.<file>.sample (every sample_step-th element of the flattened tensor)"
                ),
                "results": writer.all_pictures(),
            },
            "versions": golden_file.versions(),
        },
        writer.tensors,
    )


def _parts(case):
    for message in case["messages"]:
        if not isinstance(message["content"], str):
            yield from message["content"]


class Writer:
    """Runs the cases of one checkpoint folder; the pictures stand in its `images`, or in that of another folder."""

    def __init__(self, folder, pictures_beside=None):
        self.pictures_beside = Path(pictures_beside or folder)
        self.words = Qwen2TokenizerFast.from_pretrained(folder)
        self.processor = Qwen2VLProcessor(Qwen2VLImageProcessor.from_pretrained(folder), self.words)
        self.model = Qwen2VLForConditionalGeneration.from_pretrained(folder, attn_implementation="eager").eval()
        self.wide = copy.deepcopy(self.model).double()
        self.tensors, self.cases = golden_file.Tensors(), {}

    def open(self, path):
        return Image.open(self.pictures_beside / path).convert("RGB")

    def prepare(self, definition, text):
        images = [self.open(f"images/{part['image']}") for part in _parts(definition) if part["type"] == "image"]
        frames = [self.open(frame) for frame in definition.get("frames", [])]
        videos = [frames] if frames else None
        return dict(self.processor(text=[text], images=images or None, videos=videos, return_tensors="pt"))

    def positions(self, inputs):
        return self.model.get_rope_index(
            inputs["input_ids"], inputs.get("image_grid_thw"), inputs.get("video_grid_thw"), inputs["attention_mask"]
        )

    def add_case(self, name, definition):
        template = {"add_generation_prompt": name != "train", **definition.get("template", {})}
        text = self.words.apply_chat_template(definition["messages"], tokenize=False, **template)
        inputs = self.prepare(definition, text)
        ids = inputs["input_ids"][0].tolist()
        positions, deltas = self.positions(inputs)
        grids = {kind: inputs.get(f"{kind}_grid_thw") for kind in ("image", "video")}
        listed = {kind: None if grid is None else grid.tolist() for kind, grid in grids.items()}
        case = self.cases[name] = {
            "messages": definition["messages"],
            "template_kwargs": template,
            "prompt_text": text,
            "input_ids": ids,
            "image_grid_thw": listed["image"],
            "video_grid_thw": listed["video"],
            "video_frames": definition.get("frames"),
            "images_in_order": [f"images/{p['image']}" for p in _parts(definition) if p["type"] == "image"],
            "mrope_position_delta": deltas.flatten().tolist(),
            "attention_mask": "all ones; causal",
        }
        if "note" in definition:
            case["note"] = definition["note"]
        for kind, grid in listed.items():
            if grid:
                ends = [0]
                for slices, rows, columns in grid:
                    ends += [ends[-1] + rows * columns * (index + 1) for index in range(slices)]
                case[f"vision_cu_seqlens_{kind}s"] = ends

        self._tensors(name, inputs, positions, grids)
        logits = self.logits
        with torch.no_grad():
            case["logits_f32_vs_f64_maxabs"] = (self._forward(self.wide, inputs) - logits).abs().max().item()
        case["logits_std"] = logits.std().item()
        return case, inputs, positions, deltas

    def add_greedy(self, name, definition):
        """A case with 24 tokens of greedy decoding that never stops."""
        case, inputs, positions, deltas = self.add_case(name, definition)
        case["greedy_24_ignore_eos"] = reference.greedy(
            self.model, inputs, lambda new: self._grown(positions, deltas, new)
        )
        case["greedy_text"] = self.words.decode(case["greedy_24_ignore_eos"]["new_tokens"])

    def add_answer(self, name, definition, limit):
        """A case with the answer of a trained model: greedy decoding up to its stop token."""
        case, inputs, positions, deltas = self.add_case(name, definition)
        stop = [self.words.eos_token_id, self.words.convert_tokens_to_ids("<|endoftext|>")]
        # A model's answers are what they are: the margins are written down, not chosen.
        case["greedy_until_eos"] = {
            "max_new_tokens": limit,
            **reference.greedy(self.model, inputs, lambda new: self._grown(positions, deltas, new), stop, limit, -1),
        }
        case["greedy_text"] = self.words.decode(case["greedy_until_eos"]["new_tokens"], skip_special_tokens=True)

    def add_training(self, name, definition):
        """A case with one step of training."""
        case, inputs, *_ = self.add_case(name, definition)
        case["labels"] = reference.labels_of(case["input_ids"])
        learner = copy.deepcopy(self.model)
        case["training_step"] = reference.training_step(
            learner, case["labels"], lambda model: self._forward(model, inputs)
        )

    def _forward(self, model, inputs):
        # Without the positions the reference would take plain 1-D ones here: only `generate` fills them in.
        positions, _ = self.positions(inputs)
        return model(**inputs, position_ids=positions, use_cache=False).logits

    def _grown(self, positions, deltas, new):
        """Everything again with `new` at the end. A new token may be a pad mark, which must not call for a picture:
        so from embeddings, and with positions that only count on."""
        embedded = torch.cat([self.embedded, self.model.model.embed_tokens(new)], 1)
        start = positions.shape[-1] + deltas.item()
        further = torch.arange(start, start + new.shape[1]).expand(3, 1, -1)
        return self.model(
            inputs_embeds=embedded, position_ids=torch.cat([positions, further], -1), use_cache=False
        ).logits

    def _tensors(self, name, inputs, positions, grids):
        tensors, visual, decoder = self.tensors, self.model.visual, self.model.model
        rows = "flattened patches, rows in merge-block order; columns channel, temporal, y, x"
        # Pixels and logits are sampled in every case: whole, they would be half of this folder.
        whole = name == "single_image"
        tensors.exact(f"{name}.input_ids", inputs["input_ids"])
        tensors.exact(f"{name}.position_ids", positions[:, 0], "M-RoPE positions, rows t,h,w")
        for key in ("pixel_values", "pixel_values_videos"):
            if key in inputs:
                tensors.close(f"{name}.{key}", inputs[key], PIXELS, rows)
        probe = reference.Probe(
            {
                "vision.patch_embed": visual.patch_embed,
                "vision.block0": visual.blocks[0],
                "vision.last_block": visual.blocks[-1],
                "vision.merger": visual.merger,
                "text.layer0": decoder.layers[0],
                "text.last_layer_before_norm": decoder.layers[-1],
                "text.final_norm": decoder.norm,
            },
            inputs={"inputs_embeds": decoder.layers[0]},
        )
        with torch.no_grad(), probe:
            self.logits = self._forward(self.model, inputs)
        seen = probe.seen
        mixed = len(seen.get("vision.merger", [])) == 2
        if mixed:
            merged = seen["vision.merger"][0]
            tensors.close(f"{name}.vision.merger.images", merged, HIDDEN, "tower + merger output for the images")
        for kind, grid in grids.items():
            if grid is not None:
                note = (
                    "angles (h part, w part) per patch, before cat with itself; attention inside each cu_seqlens block only"
                )
                tensors.close(f"{name}.vision.rotary_freqs.{kind}s", visual.rot_pos_emb(grid), ANGLES, note)
        order = [key for key in seen if key != "inputs_embeds"]
        for key in order:
            note = "module output"
            if mixed and key.startswith("vision."):
                note += "; for mixed input these are the VIDEO pass of the tower"
            tensors.close(f"{name}.{key}", seen[key][-1], HIDDEN, note, whole)
        self.embedded = seen["inputs_embeds"][-1]
        note = "text embeddings with vision features put in"
        tensors.close(f"{name}.inputs_embeds", self.embedded, HIDDEN, note, whole)
        tensors.close(f"{name}.logits", self.logits[0], LOGITS)

    def batch(self):
        tensors = self.tensors
        texts = [self.cases[name]["prompt_text"] for name in BATCH]
        images = [self.open(path) for name in BATCH for path in self.cases[name]["images_in_order"]]
        for side, key in (("left", "batch"), ("right", "batch_right")):
            self.words.padding_side = side
            # The processor expands the texts in place.
            inputs = dict(self.processor(text=list(texts), images=images, padding=True, return_tensors="pt"))
            positions, deltas = self.positions(inputs)
            tensors.exact(f"{key}.input_ids", inputs["input_ids"])
            tensors.exact(f"{key}.attention_mask", inputs["attention_mask"])
            note = "3 x B x S; padded places hold 1" if side == "left" else ""
            tensors.exact(f"{key}.position_ids", positions, note)
            if side == "right":
                break
            tensors.exact("batch.image_grid_thw", inputs["image_grid_thw"])
            with torch.no_grad():
                last = self._forward(self.model, inputs)[:, -1]
            tensors.close("batch.last_logits", last, LOGITS, "", whole=True)
            generated, _ = reference.generate(self.model, inputs)
            tensors.exact("batch.generated", generated)
            left = deltas.flatten().tolist()
            alone = torch.stack([self._last_row(name) for name in BATCH])
            for row, name in zip(generated.tolist(), BATCH):
                assert row == self.cases[name]["greedy_24_ignore_eos"]["new_tokens"], f"{name} differs in the batch"
        return {
            "rows": BATCH,
            "padding_side": "left (batch.*) and right (batch_right.*)",
            "pad_token": "<|endoftext|>",
            "max_abs_logit_diff_to_single_rows": (last - alone).abs().max().item(),
            "mrope_position_deltas": left,
        }

    def _last_row(self, name):
        stored = self.tensors.stored
        return stored[f"{name}.logits.last_row"] if f"{name}.logits.last_row" in stored else stored[f"{name}.logits"][-1]

    def all_pictures(self):
        results = {}
        for file, data in sorted(pictures.format_pictures().items()):
            picture = Image.open(io.BytesIO(data)).convert("RGB")
            try:
                inputs = self.processor.image_processor(picture, return_tensors="pt")
            except ValueError as error:
                results[file] = {"error": str(error)}
                continue
            results[file] = {"image_grid_thw": inputs["image_grid_thw"][0].tolist()}
            self.tensors.close(f"pixels.{file}", inputs["pixel_values"], PIXELS)
        return results
