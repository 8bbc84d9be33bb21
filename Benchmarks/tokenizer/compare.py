"""The Python side of run.sh: writes a text and a tokenizer, and times the Rust `tokenizers` library on one thread."""
import json
import os
import random
import subprocess
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
import tokenizers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def mixed_text(size):
    """English, code and mark-up from Python's own library, with Chinese, Russian and emoji between them."""
    here = os.path.dirname(os.__file__)
    sources = []
    for root, _, names in sorted(os.walk(here)):
        if "site-packages" in root:
            continue
        sources += [os.path.join(root, n) for n in sorted(names) if n.endswith((".py", ".txt"))]
    source = random.Random(1)
    source.shuffle(sources)
    chinese = "这张图片里有一个红色的圆形和两个蓝色的方块，左边是一只猫。请问一共有多少个物体？答案是三。图表显示收入逐年增加。"
    russian = "на рисунке показаны красный круг и два синих квадрата слева от большой зелёной звезды".split()
    emoji = "😀🎉🚀🐱🍎✅"
    parts, length = [], 0
    while length < size:
        kind = source.random()
        if kind < 0.6:
            with open(sources.pop(), encoding="utf-8", errors="ignore") as file:
                body = file.read()
            start = source.randrange(max(1, len(body) - 4000))
            part = body[start : start + 4000]
        elif kind < 0.85:
            part = "".join("".join(source.sample(chinese, 12)) + "，" for _ in range(60))
        else:
            part = " ".join(source.choice(russian) for _ in range(150)) + source.choice(emoji) + " 12345.678\n"
        parts.append(part)
        length += len(part.encode())
    return "".join(parts).encode()[:size].decode(errors="ignore")


def build(text, folder):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(PATTERN), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=30000, special_tokens=[], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|image_pad|>"])
    os.makedirs(folder, exist_ok=True)
    tokenizer.save(os.path.join(folder, "tokenizer.json"))


def main():
    program, work = sys.argv[1], sys.argv[2]
    folder, path = os.path.join(work, "tokenizer"), os.path.join(work, "text.txt")
    text = mixed_text(1_000_000)
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    # The vocabulary comes from other text of the same kinds, so that not every word is in it.
    build(mixed_text(4_000_000)[1_500_000:], folder)
    rounds = []
    for _ in range(3):
        ours = json.loads(subprocess.run([program, "encode", folder, path, "7"], check=True, capture_output=True).stdout)
        tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        runs = []
        for _ in range(7):
            started = time.perf_counter()
            encode = getattr(tokenizer, "encode_batch_fast", tokenizer.encode_batch)
            ids = encode([text], add_special_tokens=False)[0].ids
            runs.append(time.perf_counter() - started)
        checksum = 0
        for i in ids:
            checksum = (checksum * 1_000_003 % 2**64 + i) % 2**64 % (2**61 - 1)
        assert len(ids) == ours["ids"], (len(ids), ours["ids"])
        assert checksum == ours["checksum"], "the ids differ"
        rounds.append((ours["runs"], runs))
    megabytes = len(text.encode()) / 1e6
    print(f"{megabytes:.2f} MB, {len(ids)} ids, the same on both sides; tokenizers {tokenizers.__version__}")
    for name, pick in [("first run", lambda runs: runs[0]), ("best of 7", min)]:
        ours = min(pick(a) for a, _ in rounds)
        theirs = min(pick(b) for _, b in rounds)
        print(
            f"{name}: omma {megabytes / ours:.1f} MB/s, tokenizers {megabytes / theirs:.1f} MB/s, "
            f"ratio {theirs / ours:.2f}"
        )


main()
