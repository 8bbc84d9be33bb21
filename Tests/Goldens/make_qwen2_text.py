"""qwen2_text_small: a Qwen2 decoder alone, with random weights."""

import copy
from pathlib import Path

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2TokenizerFast

import golden_file
import reference
import tokenizer
from golden_file import HIDDEN, LOGITS

SEED = 231
CONFIG = {
    "architectures": ["Qwen2ForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": tokenizer.IDS["<|endoftext|>"],
    "eos_token_id": tokenizer.IDS["<|im_end|>"],
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "max_position_embeddings": 2048,
    "max_window_layers": 3,
    "model_type": "qwen2",
    "sliding_window": 2048,
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "transformers_version": "4.45.2",
    "use_cache": True,
    "use_sliding_window": False,
    "hidden_size": 60,
    "intermediate_size": 92,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "vocab_size": 416,  # two ids beyond the tokenizer's, as released models have them
    "rope_theta": 500000.0,
    "rms_norm_eps": 1e-05,
}
GENERATION = {
    "bos_token_id": tokenizer.IDS["<|endoftext|>"],
    "pad_token_id": tokenizer.IDS["<|endoftext|>"],
    "do_sample": True,
    "eos_token_id": [tokenizer.IDS["<|im_end|>"], tokenizer.IDS["<|endoftext|>"]],
    "repetition_penalty": 1.05,
    "temperature": 0.7,
    "top_p": 0.8,
    "top_k": 20,
}
CASES = {
    "hello": [{"role": "user", "content": "Good morning! What does the sign say?"}],
    "system": [
        {"role": "system", "content": "Answer with one number."},
        {"role": "user", "content": "How many boats are in the harbour? 图中有三个"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "And yesterday?\n\nThink twice."},
    ],
    "train": [
        {"role": "user", "content": "Read the receipt."},
        {"role": "assistant", "content": "The total comes to 13.45, it's all there."},
        {"role": "user", "content": "请回答问题：这是什么？"},
        {"role": "assistant", "content": "这是一只猫。"},
    ],
}


def make(folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.write(folder)
    reference.write_config(folder / "config.json", CONFIG)
    reference.write_config(folder / "generation_config.json", GENERATION)
    blank = Qwen2ForCausalLM(Qwen2Config.from_dict(CONFIG))
    reference.fill(blank, SEED)
    reference.save_weights(blank, folder)

    model = Qwen2ForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    wide = copy.deepcopy(model).double()
    words = Qwen2TokenizerFast.from_pretrained(folder)
    tensors, cases = golden_file.Tensors(), {}
    layers = model.model.layers
    for name, messages in CASES.items():
        prompt = words.apply_chat_template(messages, tokenize=False, add_generation_prompt=name != "train")
        ids = words(prompt)["input_ids"]
        inputs = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.int64)}
        probe = reference.Probe(
            {
                "layer0.self_attn": layers[0].self_attn,
                "layer0.mlp": layers[0].mlp,
                "layer0": layers[0],
                "last_layer_before_norm": layers[-1],
                "final_norm": model.model.norm,
            }
        )
        with torch.no_grad(), probe:
            logits = model(**inputs, use_cache=False).logits
        for part, values in probe.seen.items():
            tensors.close(f"{name}.{part}", values[-1], HIDDEN)
        tensors.close(f"{name}.logits", logits[0], LOGITS)
        with torch.no_grad():
            distance = (wide(**inputs, use_cache=False).logits - logits).abs().max().item()
        case = cases[name] = {
            "messages": messages,
            "prompt_text": prompt,
            "input_ids": ids,
            "logits_f32_vs_f64_maxabs": distance,
        }
        if name != "train":
            grown = lambda new: model(input_ids=torch.cat([inputs["input_ids"], new], 1), use_cache=False).logits
            case["greedy_24_ignore_eos"] = reference.greedy(model, inputs, grown)
            continue
        case["labels"] = reference.labels_of(ids)
        learner = copy.deepcopy(model)
        case["training_step"] = reference.training_step(
            learner, case["labels"], lambda model: model(**inputs, use_cache=False).logits
        )

    rows = [cases["hello"]["input_ids"], cases["system"]["input_ids"], reference.encode("a")]
    longest = max(map(len, rows))
    pad = tokenizer.IDS["<|endoftext|>"]
    ids = torch.tensor([[pad] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    positions = (mask.cumsum(1) - 1).masked_fill(mask == 0, 1)
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits[:, -1]
    tensors.exact("batch_left.input_ids", ids)
    tensors.exact("batch_left.attention_mask", mask)
    tensors.exact("batch_left.position_ids", positions)
    tensors.close("batch_left.last_logits", logits, LOGITS, whole=True)
    golden_file.write(
        folder,
        {
            "format_version": 1,
            "reference": "transformers 4.45.2 Qwen2ForCausalLM, eager attention, float32 CPU",
            "seed": SEED,
            "tensors": tensors.records,
            "cases": cases,
            "versions": golden_file.versions(),
        },
        tensors,
    )
