"""What the checkpoint goldens share: random weights, probes, greedy decoding, one training step."""

import copy
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from safetensors.torch import save_file
from transformers import GenerationConfig
from transformers.utils import logging

import tokenizer

NEW_TOKENS = 24
LABEL_RULE = (
    "labels = input_ids after each '<|im_start|>assistant\\n' up to and including '<|im_end|>', else -100; "
    "loss = mean cross entropy of logits[t] against labels[t+1] over labels != -100"
)
# Near a tie of the two best logits another order of additions may choose the other token: a case must stay clear of it.
SMALLEST_MARGIN = 2e-3

torch.use_deterministic_algorithms(True)
logging.disable_progress_bar()


def fill(model, seed):
    """Random weights, from NumPy because its generator gives the same numbers on every machine.

    Larger than a fresh model's: with small ones every layer is nearly the identity, and a wrong one hardly shows.
    """
    random = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = torch.from_numpy(random.standard_normal(tuple(parameter.shape), dtype=np.float32))
            if parameter.dim() == 1 and name.endswith("weight"):  # norms
                values = 1 + 0.2 * values
            elif parameter.dim() == 1:
                values = 0.2 * values
            elif "embed_tokens" in name:
                values = 0.4 * values
            else:
                values = values * 1.5 / parameter[0].numel() ** 0.5
            parameter.copy_(values)
    model.tie_weights()


def save_weights(model, folder, shards=1):
    """Released layout: one file, or shards with an index; a tied output head is left out."""
    weights = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        weights.pop("lm_head.weight")
    if shards == 1:
        save_file(weights, Path(folder) / "model.safetensors", metadata={"format": "pt"})
        return
    size = lambda tensor: tensor.numel() * tensor.element_size()
    total = sum(map(size, weights.values()))
    parts = [{} for _ in range(shards)]
    written = 0
    for name, tensor in weights.items():
        parts[min(shards - 1, written * shards // total)][name] = tensor
        written += size(tensor)
    index = {"metadata": {"total_size": total}, "weight_map": {}}
    for number, part in enumerate(parts, 1):
        file = f"model-{number:05}-of-{shards:05}.safetensors"
        save_file(part, Path(folder) / file, metadata={"format": "pt"})
        index["weight_map"].update(dict.fromkeys(part, file))
    write_config(Path(folder) / "model.safetensors.index.json", index)


def write_config(path, config):
    Path(path).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


class Probe:
    """Keeps what modules put out while it is open; a module called twice keeps both."""

    def __init__(self, modules, inputs=()):
        self.modules, self.inputs = modules, dict(inputs)
        self.seen = {}

    def __enter__(self):
        def keep(name):
            def hook(module, arguments, output):
                output = output[0] if isinstance(output, tuple) else output
                self.seen.setdefault(name, []).append(output.detach().clone())

            return hook

        def keep_input(name):
            def hook(module, arguments, keywords):
                value = arguments[0] if arguments else keywords["hidden_states"]
                self.seen.setdefault(name, []).append(value.detach().clone())

            return hook

        self.handles = [module.register_forward_hook(keep(name)) for name, module in self.modules.items()]
        self.handles += [
            module.register_forward_pre_hook(keep_input(name), with_kwargs=True) for name, module in self.inputs.items()
        ]
        return self

    def __exit__(self, *_):
        for handle in self.handles:
            handle.remove()


def generate(model, inputs, stop=(), limit=NEW_TOKENS):
    """Arg-max decoding by the reference's own `generate`, by default 24 tokens without a stop: tokens, logits."""
    # What the settings leave out would be filled in from here: the stop tokens, the sampler's numbers.
    model.generation_config = GenerationConfig(
        do_sample=False, max_new_tokens=limit, eos_token_id=list(stop) or None, pad_token_id=model.config.bos_token_id,
        return_dict_in_generate=True, output_logits=True,
    )  # fmt: skip
    with torch.no_grad():
        result = model.generate(**inputs)
    return result.sequences[:, inputs["input_ids"].shape[1] :], torch.stack(result.logits, 1)


def greedy(model, inputs, grown, stop=(), limit=NEW_TOKENS, smallest=SMALLEST_MARGIN):
    """The record of greedy decoding, with the cache checked against running everything again (`grown`)."""
    tokens, logits = generate(model, inputs, stop, limit)
    tokens, best = tokens[0].tolist(), logits[0].topk(2).values
    margins = (best[:, 0] - best[:, 1]).tolist()
    with torch.no_grad():
        again = grown(torch.tensor([tokens[:-1]], dtype=torch.int64))[0, -len(tokens) :]
    assert again.argmax(-1).tolist() == tokens, "decoding with the cache differs from decoding without"
    assert min(margins) > smallest, f"a step is nearly a tie ({min(margins):.5f}); choose another seed"
    return {"new_tokens": tokens, "top1_minus_top2": margins, "min_margin": min(margins)}


def labels_of(ids):
    """-100 but for what the assistant says, its closing mark included."""
    head = [tokenizer.IDS["<|im_start|>"]] + encode("assistant\n")
    labels, speaking, index = [-100] * len(ids), False, 0
    while index < len(ids):
        if not speaking and ids[index : index + len(head)] == head:
            speaking, index = True, index + len(head)
            continue
        if speaking:
            labels[index] = ids[index]
            speaking = ids[index] != tokenizer.IDS["<|im_end|>"]
        index += 1
    return labels


_trained = None


def encode(text):
    global _trained
    _trained = _trained or tokenizer.train()
    return _trained.encode(text).ids


def _loss(logits, labels):
    return functional.cross_entropy(logits[0, :-1].float(), torch.tensor(labels[1:]), ignore_index=-100)


# The first step moves an element by lr * g / (|g| + eps), so noise of a gradient near eps is amplified by up to
# lr / eps: with the usual 1e-8 the goldens would record noise for key biases, whose gradients are nearly zero.
ADAMW = {"lr": 2e-3, "betas": [0.9, 0.98], "eps": 1e-3, "weight_decay": 0.1, "amsgrad": False}
PARAMETER_TOLERANCE = 2e-5


def _step(model, labels, logits_of):
    """Loss, gradients and the loss after one AdamW step; the model is changed."""
    parameters = dict(model.named_parameters())
    optimizer = torch.optim.AdamW(parameters.values(), **ADAMW)
    loss = _loss(logits_of(model), labels)
    loss.backward()
    gradients = {name: None if value.grad is None else value.grad.double().clone() for name, value in parameters.items()}
    optimizer.step()
    optimizer.zero_grad()
    with torch.no_grad():
        return loss.item(), gradients, _loss(logits_of(model), labels).item()


def _check_conditioning(gradients, exact):
    """Refuses a step whose recorded elements depend on the noise of float32: what another order of additions may do to
    a gradient is taken from the errors of its tensor against float64."""
    for name, gradient in gradients.items():
        if gradient is None:
            continue
        noise = 4 * (gradient - exact[name]).square().mean().sqrt().item()
        for place in (0, -1):
            element = exact[name].flatten()[place].item()
            if element == 0 == gradient.flatten()[place].item():  # a row of the embedding that is not used
                continue
            moved = ADAMW["lr"] * ADAMW["eps"] / (abs(element) + ADAMW["eps"]) ** 2 * noise
            assert moved < PARAMETER_TOLERANCE / 4, f"{name}: a gradient of {element:.1e} is noise; choose another seed"


def training_step(model, labels, logits_of):
    """Loss, gradient norms, one AdamW step and the loss after it; the model is changed."""
    wide = copy.deepcopy(model).double()
    loss, gradients, after = _step(model, labels, logits_of)
    _check_conditioning(gradients, _step(wide, labels, logits_of)[1])
    norms = {name: None if gradient is None else gradient.norm().item() for name, gradient in gradients.items()}
    parameters = dict(model.named_parameters())

    def summary(tensor):
        tensor = tensor.detach()
        wide, flat = tensor.double(), tensor.flatten()
        return {"sum": wide.sum().item(), "l2": wide.norm().item(), "first": flat[0].item(), "last": flat[-1].item()}

    return {
        "loss": loss,
        "grad_l2": norms,
        "grad_l2_total": sum(norm**2 for norm in norms.values() if norm is not None) ** 0.5,
        "adamw": {
            **ADAMW,
            "applied_to": "all parameters, one group, decoupled weight decay (torch.optim.AdamW)",
            "grad_clipping": None,
        },
        "params_after_one_step": {name: summary(parameter) for name, parameter in parameters.items()},
        "loss_after_one_step": after,
        "tolerance": {
            "loss_rel": 2e-05,
            "grad_l2_rel": 0.0005,
            "grad_l2_abs": 1e-06,
            "param_abs": PARAMETER_TOLERANCE,
            "param_sum_abs": "2e-5*numel",
        },
        "label_rule": LABEL_RULE,
    }
