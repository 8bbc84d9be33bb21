"""clip_small and siglip_small: both sides of a contrastive pair with random weights, in transformers' layout."""

from pathlib import Path

import numpy as np
import torch
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

import golden_file
import reference
from golden_file import HIDDEN, LOGITS

WIDTH, WORDS = 32, 60
TEXT = {
    "vocab_size": WORDS, "hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 2, "max_position_embeddings": 9, "eos_token_id": WORDS - 1, "pad_token_id": 1,
    "bos_token_id": 2,
}  # fmt: skip
VISION = {
    "hidden_size": WIDTH, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4, "patch_size": 8,
    "image_size": 28,  # the last four pixels of a side are not seen
}  # fmt: skip
MODELS = {
    "clip_small": {"seed": 411, "model": CLIPModel, "config": CLIPConfig, "top": {"projection_dim": 20}},
    "siglip_small": {"seed": 412, "model": SiglipModel, "config": SiglipConfig, "top": {}},
}
# Ids of the texts up to the end; SigLIP's are filled up, and what fills them is seen.
TEXTS = [[2, 5, 17, WORDS - 1], [2, 40, 8, 8, 21, 33, 7, 50, WORDS - 1], [2, WORDS - 1]]


def make(name, folder):
    recipe, folder = MODELS[name], Path(folder)
    is_clip = name == "clip_small"
    config = recipe["config"](text_config=TEXT, vision_config=VISION, **recipe["top"])
    kinds = ("clip_text_model", "clip_vision_model") if is_clip else ("siglip_text_model", "siglip_vision_model")
    written = {
        "architectures": [recipe["model"].__name__], "model_type": config.model_type, **recipe["top"],
        "text_config": {"model_type": kinds[0], **TEXT}, "vision_config": {"model_type": kinds[1], **VISION},
        "torch_dtype": "float32", "transformers_version": "4.45.2",
    }  # fmt: skip
    reference.write_config(folder / "config.json", written)
    model = recipe["model"](config).eval()
    random = np.random.default_rng(recipe["seed"])
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            values = torch.from_numpy(random.standard_normal(tuple(parameter.shape), dtype=np.float32))
            if key.startswith("logit_"):
                values = torch.full_like(parameter, 1.7 if key == "logit_scale" else -3.2)
            elif parameter.dim() == 1 and key.endswith("weight"):  # norms
                values = 1 + 0.2 * values
            elif parameter.dim() == 1:
                values = 0.2 * values
            elif "embedding" in key:
                values = 0.4 * values
            else:
                values = values * 1.5 / parameter[0].numel() ** 0.5
            parameter.copy_(values)
    weights = {key: tensor.detach().contiguous() for key, tensor in model.state_dict().items()}
    reference.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    longest = TEXT["max_position_embeddings"]
    pad = TEXT["eos_token_id"] if is_clip else TEXT["pad_token_id"]
    ids = torch.tensor([text + [pad] * (longest - len(text)) for text in TEXTS])
    pixels = torch.from_numpy(random.standard_normal((3, 3, 28, 28), dtype=np.float32)).requires_grad_()
    inputs = {"pixel_values": pixels, "input_ids": ids, "return_loss": True}
    if is_clip:
        inputs["attention_mask"] = torch.tensor([[1] * len(text) + [0] * (longest - len(text)) for text in TEXTS])
    output = model(**inputs)
    output.loss.backward()
    tensors = golden_file.Tensors()
    tensors.close("pairs.in.pixel_values", pixels, (0, 0), whole=True)
    tensors.close("pairs.image_embeds", output.image_embeds, HIDDEN, whole=True)
    tensors.close("pairs.text_embeds", output.text_embeds, HIDDEN, whole=True)
    tensors.close("pairs.logits_per_image", output.logits_per_image, LOGITS, whole=True)
    # The loss as a tensor of one element: its gradients are those of `sum(loss * probe)`.
    tensors.close("pairs.loss", output.loss.reshape(1), (1e-5, 2e-5), whole=True)
    tensors.close("pairs.probe.loss", torch.ones(1), (0, 0), whole=True)
    tensors.close("pairs.grad_in.pixel_values", pixels.grad, (1e-5, 5e-4))
    golden_file.write(
        folder,
        {
            "format_version": 1,
            "reference": f"transformers 4.45.2 {recipe['model'].__name__}, float32 CPU",
            "seed": recipe["seed"],
            "tensors": tensors.records,
            "cases": {
                "pairs": {
                    "texts": TEXTS if is_clip else ids.tolist(),
                    "loss": output.loss.item(),
                    "grad_l2": {key: value.grad.double().norm().item() for key, value in model.named_parameters()},
                }
            },
            "versions": golden_file.versions(),
        },
        tensors,
    )
