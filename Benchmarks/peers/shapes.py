"""The published shapes of Qwen2-VL-2B, and the arithmetic and the bytes that they cost."""

TEXT = {
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
    "rope_theta": 1e6,
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    "use_sliding_window": False,
    "tie_word_embeddings": True,
}
VISION = {
    "depth": 32,
    "embed_dim": 1280,
    "hidden_size": 1536,
    "mlp_ratio": 4,
    "num_heads": 16,
    "in_channels": 3,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "hidden_act": "quick_gelu",
}
IDS = {
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "vision_start_token_id": 151652,
    "vision_end_token_id": 151653,
    "image_token_id": 151655,
    "video_token_id": 151656,
}
CONFIG = {
    "architectures": ["Qwen2VLForConditionalGeneration"],
    "model_type": "qwen2_vl",
    "torch_dtype": "bfloat16",
    **IDS,
    **TEXT,
    "vision_config": {**VISION, "in_chans": 3},
}


def decoder_parameters(text):
    """Of the layers' matrices: what a token is multiplied with, the output head apart."""
    hidden, width = text["hidden_size"], text["intermediate_size"]
    head = hidden // text["num_attention_heads"]
    attention = 2 * hidden * hidden + 2 * hidden * head * text["num_key_value_heads"]
    return text["num_hidden_layers"] * (attention + 3 * hidden * width)


def prefill_flops(text, tokens):
    """A prompt without the output head, but for its last token; a token sees half of the prompt on average."""
    attention = 2 * text["hidden_size"] * tokens * tokens * text["num_hidden_layers"]
    head = 2 * text["hidden_size"] * text["vocab_size"]
    return 2 * decoder_parameters(text) * tokens + attention + head


def tower_flops(vision, patches):
    """One picture through the tower and the merger."""
    width = vision["embed_dim"]
    merged = width * vision["spatial_merge_size"] ** 2
    embedding = width * 3 * vision["temporal_patch_size"] * vision["patch_size"] ** 2
    block = width * width * (4 + 2 * vision["mlp_ratio"])
    attention = 4 * width * patches * patches * vision["depth"]
    merger = merged * (merged + vision["hidden_size"]) * patches // vision["spatial_merge_size"] ** 2
    return 2 * (embedding + block * vision["depth"]) * patches + attention + 2 * merger


def decode_bytes(text, depth, bytes_each=2):
    """What must be read for one token: the layers, the output head, and the keys and values of those before."""
    head = text["hidden_size"] * text["vocab_size"]
    cached = 2 * text["hidden_size"] // text["num_attention_heads"] * text["num_key_value_heads"]
    return bytes_each * (decoder_parameters(text) + head + cached * text["num_hidden_layers"] * depth)
