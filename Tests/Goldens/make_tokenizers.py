"""Small tokenizers of many kinds, with what the Rust `tokenizers` library makes of texts."""
import json
import os
import random

os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CORPUS = [
    "The quick brown fox jumps over the lazy dog, and it doesn't stop: 12 foxes, 345 dogs, 6789 cats.",
    "What is the total in the red circle? The answer is 42. It's the sum of 1984 and 2024!",
    "def tokenize(text):\n    return [t for t in text.split() if t]\n\n\tif x == 10:\n\t\tpass\n",
    "红色的圆形在左边，蓝色的方块在右边。图片里有三只猫和两只狗。多少个物体？",
    "これは小さい猫です。カタカナとひらがな。", "Привет, мир! Как дела? Хорошо.", "Crème brûlée à la carte, naïve façade, ÅNGSTRÖM",
    "مرحبا بالعالم", "हिन्दी में लिखा हुआ", "😀 👍🏽 👨‍👩‍👧 🎉🎉", "ﬁne ﬂow ½ ² Ⅷ ① ｆｕｌｌ ﾊﾝｶｸ", "HELLO World camelCase snake_case kebab-case",
]
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|image_pad|>"]
MODERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
O200K = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+",
    ]
)
DEEPSEEK = (
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
)
ALPHABET = pre_tokenizers.ByteLevel.alphabet()


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def sequence(*steps):
    return pre_tokenizers.Sequence(list(steps))


def byte_level(**options):
    return pre_tokenizers.ByteLevel(**{"add_prefix_space": False, "use_regex": False, **options})


def build(
    normalizer=None, pre=None, decoder=None, post=None, added=(), alphabet=(), edit=None, model=None, corpus=CORPUS, **trainer
):
    """The trainer's results depend on the corpus alone, as long as neither `limit_alphabet` nor affixes are used."""
    tokenizer = Tokenizer(models.BPE(**(model or {})))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre:
        tokenizer.pre_tokenizer = pre
    options = {"vocab_size": 420, "show_progress": False, "special_tokens": [], **trainer}
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(initial_alphabet=list(alphabet), **options))
    state = json.loads(tokenizer.to_str())
    if edit:
        edit(state["model"])
    tokenizer = Tokenizer.from_str(json.dumps(state))
    if decoder:
        tokenizer.decoder = decoder
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.add_tokens(list(added))
    if post:
        tokenizer.post_processor = post(tokenizer)
    return tokenizer


def template(tokenizer):
    ids = [(t, tokenizer.token_to_id(t)) for t in SPECIAL[:2]]
    return processors.TemplateProcessing(single=f"{SPECIAL[0]} $A {SPECIAL[1]}", special_tokens=ids)


def ignore_merges(model):
    model["ignore_merges"] = True
    model["merges"] = model["merges"][:-20]


def byte_fallback(model):
    model["byte_fallback"] = True
    for byte in range(256):
        model["vocab"].setdefault(f"<0x{byte:02X}>", len(model["vocab"]))


def affixes(model):
    letters = "abcdefghijklmnoprstuvwxyzTWIHCà0,.!?"
    tokens = [prefix + letter + suffix for suffix in ("", "</w>") for prefix in ("", "##") for letter in letters]
    merges = "t ##h|##h ##e</w>|t ##he</w>|##o ##r|##e ##r|##c ##a|c ##a|ca ##t|##s ##t|T ##h|Th ##e</w>|##o ##x</w>|##o ##x"
    merges += "|f ##ox</w>|##i ##n|##in ##g</w>|i ##s</w>|##er ##s|0 ##,</w>|##n ##d</w>|a ##nd</w>|o ##f</w>|##l ##l</w>"
    merges = [pair.split(" ") for pair in merges.split("|")]
    tokens += [left + right[2:] for left, right in merges]
    model["vocab"] = {token: index for index, token in enumerate(["<unk>"] + list(dict.fromkeys(tokens)))}
    model["merges"] = merges
    model["continuing_subword_prefix"], model["end_of_word_suffix"] = "##", "</w>"


def pair_strings(model):
    model["merges"] = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]


N, P, D = normalizers, pre_tokenizers, decoders
TOKENIZERS = {
    "gpt2_prefix_space": lambda: build(
        pre=P.ByteLevel(add_prefix_space=True), decoder=D.ByteLevel(), alphabet=ALPHABET, post=template, edit=pair_strings,
        added=[
            AddedToken("<sep>", lstrip=True, rstrip=True, normalized=False), AddedToken("cat", single_word=True, normalized=False),
            AddedToken("<left>", lstrip=True), AddedToken("<right>", rstrip=True), AddedToken("im_start"),
        ],
    ),
    "llama3_ignore_merges": lambda: build(
        pre=sequence(split(MODERN), byte_level()), decoder=D.ByteLevel(), alphabet=ALPHABET, edit=ignore_merges,
        post=lambda t: processors.Sequence([processors.ByteLevel(trim_offsets=False), template(t)]),
    ),
    "o200k": lambda: build(N.NFC(), sequence(split(O200K), byte_level()), D.ByteLevel(), alphabet=ALPHABET),
    "deepseek": lambda: build(
        N.Sequence([]),
        sequence(split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK), byte_level()), D.ByteLevel(), alphabet=ALPHABET,
    ),
    "metaspace_first": lambda: build(
        pre=P.Metaspace(prepend_scheme="first"), decoder=D.Metaspace(prepend_scheme="first"),
        model={"unk_token": "<unk>", "fuse_unk": True}, special_tokens=["<unk>"], corpus=CORPUS[:4],
        added=[AddedToken("Quick Fox"), AddedToken("<sep>", lstrip=True)],
    ),
    "metaspace_whole_nfkc": lambda: build(
        N.Sequence([N.NFKC(), N.Lowercase(), N.Strip()]), P.Metaspace(prepend_scheme="always", split=False),
        D.Metaspace(prepend_scheme="always"), model={"unk_token": "<unk>"}, special_tokens=["<unk>"], corpus=CORPUS[:4],
        edit=byte_fallback, added=[AddedToken("HELLO"), AddedToken("<Sep>", rstrip=True)],
    ),
    "words_with_affixes": lambda: build(
        N.Sequence([N.NFD(), N.StripAccents(), N.Replace(Regex(r"\d+"), "0"), N.Replace("  ", " ")]), P.Whitespace(),
        D.BPEDecoder(suffix="</w>"), edit=affixes, model={"unk_token": "<unk>"}, special_tokens=["<unk>"], corpus=CORPUS[:1],
    ),
    "digits_punctuation": lambda: build(
        N.NFKD(), sequence(P.WhitespaceSplit(), P.Punctuation("merged_with_previous"), P.Digits(individual_digits=True)),
        D.WordPiece(prefix="##"), model={"unk_token": "<unk>"}, special_tokens=["<unk>"], corpus=CORPUS[:9],
    ),
    "splits": lambda: build(
        N.Lowercase(),
        sequence(
            P.Split(" ", "merged_with_next"), split(r"[a-z]+", "contiguous", True), split(r"\d", "merged_with_previous"),
            P.Split("。", "removed"), P.CharDelimiterSplit("x"), byte_level(add_prefix_space=True, use_regex=True),
        ),
        alphabet=ALPHABET,
    ),
    "byte_level_in_the_middle": lambda: build(
        pre=sequence(byte_level(use_regex=True), P.Split("e", "isolated")), decoder=D.Sequence([D.ByteLevel(), D.Strip(" ", 2, 0)]),
        alphabet=ALPHABET,
    ),
    "prepend_fallback": lambda: build(
        N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")]), None,
        D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)]), post=template,
        model={"unk_token": "<unk>", "fuse_unk": True}, special_tokens=["<unk>"], edit=byte_fallback, corpus=CORPUS[:4],
    ),
}


def texts():
    source = random.Random(7)
    result = ["", " ", "  ", "\n", " a", "a ", "\r\n\r\n x", "I'LL we'Ve 'S 'ſ", "<|im_start|>user\nhi<|im_end|>", "a <sep>  b<left> c", "  <right>  cat concat cat's",
              "é e\u0301 Å \u0387 \u2126 가 \u1100\u1161 q\u0307\u0323", "x\u00a0y\u3000z\u0085w", "12345 6 78٣٤", "\u200d\ufeff\u0000\u007f", "Quick Fox <Sep>  HELLO hello"]
    result += source.sample(CORPUS, 6)
    words = [w for line in CORPUS for w in line.split(" ")] + SPECIAL + ["<sep>", "<left>", "<right>", "cat", "  ", "\n", "▁", "<0x41>", "##", "</w>"]
    for _ in range(18):
        result.append("".join(source.choice(words) + source.choice(["", " ", " ", "  "]) for _ in range(7)))
    return result


def make(folder):
    """Writes all into a folder."""
    for name, build_one in TOKENIZERS.items():
        tokenizer = build_one()
        cases = []
        for text in texts():
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            whole = tokenizer.encode(text).ids
            case = {"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False)}
            case["decoded_skip_special"] = tokenizer.decode(ids)
            if whole != ids:
                case["ids_add_special_tokens"] = whole
            cases.append(case)
        source = random.Random(3)
        size = tokenizer.get_vocab_size()
        random_ids = [[source.randrange(size) for _ in range(source.randrange(1, 14))] for _ in range(12)]
        decoded = [{"ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False)} for ids in random_ids]
        state = json.loads(tokenizer.to_str())
        golden = {"vocab_size": size, "encode": cases, "decode_random_ids": decoded}
        with open(os.path.join(folder, name + ".json"), "w", encoding="utf-8") as file:
            rows = [f'"tokenizer":{json.dumps(state, ensure_ascii=False, separators=(",", ":"))}', f'"vocab_size":{size}']
            for key in ("encode", "decode_random_ids"):
                lines = ",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in golden[key])
                rows.append(f'"{key}":[\n{lines}\n]')
            file.write("{" + ",\n".join(rows) + "}\n")

