"""Trains the tokenizer of the small checkpoints, in the layout of Qwen2-VL's files, and makes its goldens."""

import json
import unicodedata
from pathlib import Path

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import golden_file

BASE_VOCABULARY = 400

# The order is Qwen2-VL's: the first takes the id behind the last merge.
SPECIAL_TOKENS = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
]  # fmt: skip
IDS = {token: BASE_VOCABULARY + index for index, token in enumerate(SPECIAL_TOKENS)}

# The split that Qwen2's tokenizer.json prescribes: digits one by one, marks apart from letters.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# ChatML with Qwen2-VL's picture and video marks, its default system message and its `add_vision_id`.
CHAT_TEMPLATE = (
    "{%- set seen = namespace(pictures=0, videos=0) -%}"
    "{%- if messages[0]['role'] != 'system' -%}"
    "{{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' -}}"
    "{%- endif -%}"
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' -}}"
    "{%- if message['content'] is string -%}"
    "{{- message['content'] -}}"
    "{%- else -%}"
    "{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'image' or 'image' in part or 'image_url' in part -%}"
    "{%- set seen.pictures = seen.pictures + 1 -%}"
    "{%- if add_vision_id -%}{{- 'Picture ' ~ seen.pictures ~ ': ' -}}{%- endif -%}"
    "{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}"
    "{%- elif part['type'] == 'video' or 'video' in part -%}"
    "{%- set seen.videos = seen.videos + 1 -%}"
    "{%- if add_vision_id -%}{{- 'Video ' ~ seen.videos ~ ': ' -}}{%- endif -%}"
    "{{- '<|vision_start|><|video_pad|><|vision_end|>' -}}"
    "{%- elif 'text' in part -%}"
    "{{- part['text'] -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- endif -%}"
    "{{- '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)

CORPUS = """
The system message says: you are a helpful assistant. The user asks and the assistant answers.
There is a red circle above a blue square, and there are three green triangles on the left of the yellow star.
How many boats are in the harbour? There are two boats, and one of them is painted white.
What does the sign say? The sign says: no parking between the hours of 8 and 17.
The chart shows the rainfall of each month; the highest bar stands at the end of the autumn.
Read the receipt: bread 3.20, cheese 7.45, apples 2.80; the total comes to 13.45.
In the first picture the door is closed, in the second picture the door is open and somebody stands in it.
The clip shows a yellow disc that travels from the left to the right in front of a still background.
It's the colour that isn't there; we've looked, they're sure, I'd say so, you'll see.
Describe what happens in the video. Describe the picture in one sentence. Describe the differences.
The cat lies under the table, the dog sits beside the window, the bird has flown away over the garden.
Which of the shapes is the largest? The largest of the shapes is the grey rectangle in the middle.
    for shape in shapes:
        print(shape.name, shape.area)
图中有一个红色的圆和一个蓝色的方块。 左边有三个绿色的三角形。
请描述这张图片。 请回答问题。 这是什么？ 这是一只猫。
图片里的文字是什么？ 图片里的文字是：禁止停车。
视频里有什么？ 一个黄色的圆从左边移动到右边。
"""


def _byte_alphabet():
    """All 256 bytes in GPT-2's order: the printable ones first, then the rest."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(0x100 + index) for index in range(len(others))]


def train():
    """The `tokenizers` object: byte-level BPE with 400 entries, then the special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=BASE_VOCABULARY, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS.strip().splitlines(keepends=True), trainer)
    # The trainer sorts the bytes by code point; published files hold them in GPT-2's order.
    learned = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in learned["merges"]]
    entries = _byte_alphabet() + [first + second for first, second in merges]
    assert len(entries) == len(set(entries)) == BASE_VOCABULARY
    tokenizer.model = models.BPE(vocab={entry: index for index, entry in enumerate(entries)}, merges=merges)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL_TOKENS])
    return tokenizer


def write(folder):
    """Writes the tokenizer files as the released repositories have them."""
    folder = Path(folder)
    tokenizer = train()
    tokenizer.save(str(folder / "tokenizer.json"))
    model = json.loads(tokenizer.to_str())["model"]
    merges = [" ".join(merge) if isinstance(merge, list) else merge for merge in model["merges"]]

    def save(name, value):
        (folder / name).write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")

    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    save("added_tokens.json", IDS)
    save(
        "special_tokens_map.json",
        {
            "additional_special_tokens": SPECIAL_TOKENS[1:],
            "eos_token": {"content": "<|im_end|>", **plain},
            "pad_token": {"content": "<|endoftext|>", **plain},
        },
    )
    save(
        "tokenizer_config.json",
        {
            "add_prefix_space": False,
            "added_tokens_decoder": {
                str(number): {"content": token, **plain, "special": True} for token, number in IDS.items()
            },
            "additional_special_tokens": SPECIAL_TOKENS[1:],
            "bos_token": None,
            "chat_template": CHAT_TEMPLATE,
            "clean_up_tokenization_spaces": False,
            "eos_token": "<|im_end|>",
            "errors": "replace",
            "model_max_length": 32768,
            "pad_token": "<|endoftext|>",
            "split_special_tokens": False,
            "tokenizer_class": "Qwen2Tokenizer",
            "unk_token": None,
        },
    )


TEXTS = [
    "", " ", "  ", "     ", "\n", "\n\n \n", "\r\n", "\r", "\t x\t\ty", " \n ", "a", " a", "a ", "  the  end   ",
    "The chart shows the rainfall of each month.", "it's IT'S they'll THEY'LL I'd we'Ve 's' x''s", "don’t ‘stop’",
    "7", "2024-07-31", "13.45 + 2,800 = 50 %", "٣٤ ½ Ⅷ ²", "x1y22z", "snake_case camelCase kebab-case",
    "for i in range(3):\n    print(i)\n\n", "{\"key\": [1, null]}", "https://example.org/a?b=c#d", "...?!", "—", "«x»",
    "图中有一个红色的圆。", "请描述 the picture 请", "日本語とカタカナ", "한국어", "\u1112\u1161\u11ab\u1100\u1173\u11af", "שלום", "مرحبا ١٢",
    "Žluťoučký kůň", "e\u0301 o\u0308 \u212b \ufb01", "क्षत्रिय", "ไทย", "🙂", "👩‍🔧 at work 👍🏽", "🇫🇷🇯🇵", "\u200bzero\ufeff",
    "\u00a0no\u3000break\u2028", "\u0000\u0001\u001b[0m", "\U00020000\U0010ffff", "\ufffd", "ab" * 40, "字" * 30, " " * 33,
    "\n" * 9, "1" * 20, "-" * 50 + "\n", "tail \n", "x \r\n y", "ſ 'ſ İ", "µ vs μ", "C++/C# \\n",
    "<|im_start|>user\nHi<|im_end|>\n", "<|im_start|><|im_end|>", " <|im_end|> ", "<|im_start", "<|IM_START|>",
    "<|vision_start|><|image_pad|><|image_pad|><|vision_end|>What?", "<|video_pad|>é<|endoftext|>e\u0301", "<|nothing|>",
    "<|object_ref_start|>cat<|object_ref_end|><|box_start|>(10,20),(300,400)<|box_end|>", "e<|im_end|>\u0301",
]  # fmt: skip


def goldens(folder):
    """tokenizer_golden.json: what the reference makes of texts and of ids."""
    from transformers import Qwen2Tokenizer, Qwen2TokenizerFast

    folder = Path(folder)
    fast = Qwen2TokenizerFast.from_pretrained(folder)
    slow = Qwen2Tokenizer.from_pretrained(folder)
    random = np.random.default_rng(7)
    words = [line.strip() for line in CORPUS.split()] + ["  ", "\n", "🙂", "é", "12", "<|im_end|>", "'s", "請", "\t"]
    mixtures = ["".join(random.choice(words, int(random.integers(2, 9)))) for _ in range(40)]
    encode = []
    mismatches = 0
    for text in TEXTS + mixtures:
        ids = fast(text)["input_ids"]
        mismatches += ids != slow(unicodedata.normalize("NFC", text))["input_ids"]
        encode.append(
            {
                "text": text,
                "ids": ids,
                "decoded": fast.decode(ids),
                "decoded_skip_special": fast.decode(ids, skip_special_tokens=True),
                "utf8_hex": text.encode().hex(),
            }
        )
    decode = []
    for _ in range(30):
        ids = random.integers(0, len(fast), int(random.integers(1, 16))).tolist()
        decode.append(
            {
                "ids": ids,
                "decoded": fast.decode(ids),
                "decoded_skip_special": fast.decode(ids, skip_special_tokens=True),
            }
        )
    golden_file.write_json(
        folder / "tokenizer_golden.json",
        {
            "reference": "transformers Qwen2TokenizerFast over tokenizer.json, cross-checked with Qwen2Tokenizer",
            "note": "Text is NFC-normalised; special tokens are matched in the raw text before normalisation.",
            "versions": golden_file.versions(),
            "vocab_size": len(fast),
            "special_ids": IDS,
            "slow_vs_fast_encode_mismatches": mismatches,
            "encode": encode,
            "decode_random_ids": decode,
        },
    )
    return mismatches
