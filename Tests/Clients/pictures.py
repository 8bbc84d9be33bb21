"""Bad and odd picture files (RELIABILITY I1): a typed error or the right pixels, and memory back to its level.

    pictures.py URL KEY PROCESS

"The right pixels" is asked of the model itself: the scores of its first token, to the last bit, are those of the same
picture as a plain PNG file.
"""

import base64
import io
import json
import pathlib
import random
import re
import struct
import sys
import time
import urllib.error
import urllib.request
import zlib

from PIL import Image, PngImagePlugin

URL, KEY, PROCESS = sys.argv[1], sys.argv[2], sys.argv[3]
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
# What the server takes without options: Serving/PromptParts.swift.
MOST_PIXELS = 90_000_000
SIZE = (96, 72)


def scene(mode: str = "RGB") -> Image.Image:
    """Few enough colours for a palette."""
    image = Image.new("RGB", SIZE, (236, 222, 190))
    for index, colour in enumerate([(200, 30, 30), (30, 30, 200), (20, 140, 60), (0, 0, 0)]):
        image.paste(colour, (8 + index * 21, 10 + index * 9, 24 + index * 21, 34 + index * 8))
    return image.convert(mode)


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) if crc is None else crc)


def png(width: int, height: int, depth: int, colour: int, rows: bytes | None, *extra: bytes, interlace: int = 0,
        end: bytes = chunk(b"IEND", b"")) -> bytes:
    """A PNG file made by hand; `rows` are compressed here."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))
    data = b"" if rows is None else chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + data + end


def zeros(size: int) -> bytes:
    """A zlib stream of so many zeros."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(min(1 << 24, size - start))) for start in range(0, size, 1 << 24)]
    return b"".join(parts) + packer.flush()


def bomb(width: int, height: int) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zeros(height * (width * 3 + 1))) + chunk(b"IEND", b"")


def adam7(image: Image.Image) -> bytes:
    rows = b""
    for x0, y0, dx, dy in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
        for y in range(y0, image.height, dy):
            rows += b"\0" + b"".join(bytes(image.getpixel((x, y))) for x in range(x0, image.width, dx))
    return png(*image.size, 8, 2, rows, interlace=1)


def deep(image: Image.Image) -> bytes:
    rows = b"".join(b"\0" + b"".join(bytes((value, value)) for x in range(image.width) for value in image.getpixel((x, y)))
                    for y in range(image.height))
    return png(*image.size, 16, 2, rows)


def top_down(bmp: bytes) -> bytes:
    """The same bitmap with its first row first."""
    offset, width, height = struct.unpack_from("<I", bmp, 10)[0], *struct.unpack_from("<ii", bmp, 18)
    stride = (width * 3 + 3) // 4 * 4
    rows = [bmp[offset + y * stride:offset + (y + 1) * stride] for y in range(height)]
    return bmp[:22] + struct.pack("<i", -height) + bmp[26:offset] + b"".join(reversed(rows))


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """The picture as a camera stores it whose EXIF names this orientation."""
    steps = {1: [], 2: [Image.Transpose.FLIP_LEFT_RIGHT], 3: [Image.Transpose.ROTATE_180],
             4: [Image.Transpose.FLIP_TOP_BOTTOM], 5: [Image.Transpose.TRANSPOSE], 6: [Image.Transpose.ROTATE_90],
             7: [Image.Transpose.TRANSVERSE], 8: [Image.Transpose.ROTATE_270]}
    for step in steps[orientation]:
        image = image.transpose(step)
    return image


def exif(orientation: int) -> Image.Exif:
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def replaced(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new):]


# Each case: name, file, and what is expected: "same" (the pixels of the scene), a size, "error", or None for either.
CASES: list[tuple[str, bytes, object]] = []


def case(name: str, data: bytes, expected: object) -> None:
    CASES.append((name, data, expected))


base = scene()
plain = {
    "jpeg": saved(base, "JPEG", quality=92), "png": saved(base, "PNG"), "webp": saved(base, "WEBP", lossless=True),
    "gif": saved(scene().quantize(16), "GIF"), "bmp": saved(base, "BMP"), "tiff": saved(base, "TIFF"),
}
numbers = random.Random(5)
for kind, data in plain.items():
    case(f"{kind}: whole", data, SIZE if kind == "jpeg" else "same")
    case(f"{kind}: no byte of it", b"", "error")
    case(f"{kind}: magic only", data[:12], "error")
    for share in (10, 50, 90):
        # A GIF's only frame may end before its file does.
        case(f"{kind}: cut at {share} %", data[:len(data) * share // 100], None if kind == "gif" else "error")
    for turn in range(3):
        place = numbers.randrange(len(data) // 2, len(data))
        case(f"{kind}: byte {place} flipped", replaced(data, place, bytes([data[place] ^ 0xFF])), None)
    case(f"{kind}: something behind it", data + b"<script>" * 100, None if kind == "tiff" else SIZE)
    case(f"{kind}: head alone, repeated", data[:20] * 50, "error")
giant = struct.pack(">II", 65535, 65535)
case("png: 65535 × 65535 in a kilobyte", png(65535, 65535, 8, 2, bytes(1000)), "error")
case("png: 2147483647 wide", png(2**31 - 1, 1, 8, 2, bytes(100)), "error")
case("png: no pixels", png(0, 0, 8, 2, bytes(100)), "error")
start = plain["jpeg"].index(b"\xff\xc0") + 5
case("jpeg: 65535 × 65535", replaced(plain["jpeg"], start, b"\xff\xff\xff\xff"), "error")
case("jpeg: no pixels", replaced(plain["jpeg"], start, bytes(4)), "error")
case("jpeg: higher than its data", replaced(plain["jpeg"], start, struct.pack(">H", 900)), "error")
case("gif: 65535 × 65535", replaced(plain["gif"], 6, b"\xff\xff\xff\xff"), None)
case("bmp: 2147483647 wide", replaced(plain["bmp"], 18, struct.pack("<ii", 2**31 - 1, 2**31 - 1)), "error")
case("bmp: no pixels", replaced(plain["bmp"], 18, bytes(8)), "error")
case("bmp: least height", replaced(plain["bmp"], 22, struct.pack("<i", -2**31)), "error")
case("webp: 16384 × 16384 in its head", replaced(plain["webp"], 21, b"\xff\xff\xff\x0f"), "error")
case("tiff: a directory that leads to itself", replaced(plain["tiff"], len(plain["tiff"]) - 4, struct.pack("<I", 8)), None)
case("tiff: a directory beyond the end", replaced(plain["tiff"], 4, struct.pack("<I", 2**31)), "error")

# Bombs.
case("png: bomb of 20000 × 20000", bomb(20000, 20000), "error")
case("png: bomb within the limit", bomb(9000, 9000), (9000, 9000))
case("png: colour profile of 256 MB", png(8, 8, 8, 2, bytes(8 * 25), chunk(b"iCCP", b"p\0\0" + zeros(1 << 28))), (8, 8))
case("png: text of 256 MB", png(8, 8, 8, 2, bytes(8 * 25), chunk(b"zTXt", b"t\0\0" + zeros(1 << 28))), (8, 8))
case("png: long text of 256 MB", png(8, 8, 8, 2, bytes(8 * 25), chunk(b"iTXt", b"t\0\1\0\0\0" + zeros(1 << 28))), (8, 8))
case("png: more rows than it has", png(8, 8, 8, 2, bytes(8 * 25 + (1 << 26))), None)
case("png: 5000 text chunks", png(8, 8, 8, 2, bytes(8 * 25), *[chunk(b"tEXt", b"k\0v")] * 5000), None)
case("png: chunk longer than the file", png(8, 8, 8, 2, None)[:33] + struct.pack(">I", 2**31 - 1) + b"IDAT", "error")
case("gif: 5000 frames", saved(Image.new("P", (40, 30)), "GIF", save_all=True, append_images=[
    Image.new("P", (40, 30), index % 250) for index in range(4999)]), (40, 30))
case("gif: frame outside of its screen", replaced(plain["gif"], plain["gif"].index(b",", 13) + 1, b"\xff\x7f\xff\x7f"), None)
case("tiff: bomb of 20000 × 20000", saved(Image.new("1", (20000, 20000)), "TIFF", compression="group4"), "error")
case("webp: 12000 × 12000", saved(Image.new("RGB", (12000, 12000)), "WEBP", lossless=True, method=0), "error")
case("jpeg: 12000 × 12000", saved(Image.new("L", (12000, 12000)), "JPEG", quality=5), "error")

# The same picture in other clothes.
case("png: interlaced", adam7(base), "same")
case("png: 16 bits", deep(base), "same")
case("png: palette", saved(base.quantize(16), "PNG"), "same")
case("png: opaque alpha", saved(base.convert("RGBA"), "PNG"), "same")
case("png: with a text chunk", saved(base, "PNG", pnginfo=PngImagePlugin.PngInfo()), "same")
for orientation in range(1, 9):
    case(f"png: EXIF orientation {orientation}", saved(turned(base, orientation), "PNG", exif=exif(orientation)), "same")
    case(f"tiff: orientation {orientation}", saved(turned(base, orientation), "TIFF", tiffinfo={274: orientation}), "same")
    case(f"jpeg: EXIF orientation {orientation}",
         saved(turned(base, orientation), "JPEG", quality=92, exif=exif(orientation)), SIZE)
case("jpeg: EXIF orientation 9", saved(base, "JPEG", exif=exif(9)), SIZE)
case("bmp: first row first", top_down(plain["bmp"]), "same")
case("bmp: palette", saved(base.quantize(16), "BMP"), "same")
case("tiff: LZW", saved(base, "TIFF", compression="tiff_lzw"), "same")
case("tiff: deflate", saved(base, "TIFF", compression="tiff_adobe_deflate"), "same")
case("tiff: two pages", saved(base, "TIFF", save_all=True, append_images=[Image.new("RGB", (9, 9))]), "same")
case("webp: opaque alpha", saved(base.convert("RGBA"), "WEBP", lossless=True), "same")
case("webp: animated", saved(base, "WEBP", lossless=True, save_all=True, append_images=[Image.new("RGB", SIZE)]), "same")
case("gif: animated", saved(scene().quantize(16), "GIF", save_all=True, append_images=[Image.new("P", SIZE)]), "same")
case("png: grey", saved(base.convert("L"), "PNG"), SIZE)
case("png: one bit", saved(base.convert("1"), "PNG"), SIZE)
case("png: transparent palette", saved(base.quantize(16), "PNG", transparency=0), SIZE)
case("jpeg: grey", saved(base.convert("L"), "JPEG"), SIZE)
case("jpeg: CMYK", saved(base.convert("CMYK"), "JPEG"), SIZE)
case("jpeg: progressive", saved(base, "JPEG", progressive=True), SIZE)
case("jpeg: odd size, 4:2:0", saved(base.resize((95, 71)), "JPEG", subsampling=2), (95, 71))
case("tiff: CMYK", saved(base.convert("CMYK"), "TIFF"), SIZE)
case("webp: lossy", saved(base, "WEBP", quality=80), SIZE)

# EXIF that leads in circles, and files of other kinds.
loop = b"Exif\0\0II*\0" + struct.pack("<I", 8) + struct.pack("<H", 1) + struct.pack("<HHII", 0x112, 3, 1, 6) + struct.pack("<I", 8)
for name, data in [("in circles", loop), ("of 65535 entries", loop[:14] + b"\xff\xff" + loop[16:]),
                   ("that ends early", loop[:20]), ("beyond the end", loop[:10] + b"\xff\xff\xff\x7f" + loop[14:])]:
    case(f"jpeg: EXIF {name}", b"\xff\xd8\xff\xe1" + struct.pack(">H", len(data) + 2) + data + plain["jpeg"][2:], None)
for name, data in [("SVG", b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"), ("PDF", b"%PDF-1.7\n" + bytes(99)),
                   ("HTML", b"<!doctype html><img src=x>"), ("HEIC", b"\0\0\0\x18ftypheic" + bytes(99)),
                   ("ICO", saved(base.resize((16, 16)), "ICO")), ("PSD", b"8BPS\0\1" + bytes(99)), ("gzip", zlib.compress(bytes(999))),
                   ("TGA", saved(base, "TGA")), ("PPM", saved(base, "PPM")), ("zeros", bytes(4096)),
                   ("noise", numbers.randbytes(4096)), ("a pickle", b"\x80\x04\x95" + bytes(99)), ("an ELF file", b"\x7fELF" + bytes(99))]:
    case(f"other: {name}", data, "error")


def post(path: str, body: dict) -> tuple[int, dict, str]:
    made = urllib.request.Request(URL + path, json.dumps(body).encode(), HEADERS)
    try:
        with urllib.request.urlopen(made, timeout=300) as response:
            text, status = response.read().decode(), response.status
    except urllib.error.HTTPError as error:
        text, status = error.read().decode(), error.code
    return status, json.loads(text), text


def messages(data: bytes) -> list[dict]:
    # The type that is claimed is always the same: what a file is, its bytes say.
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]


with open(pathlib.Path(__file__).parents[2] / "Sources/EmbeddedModel/omma-nano/generation_config.json") as file:
    ENDS = json.load(file)["eos_token_id"]
    ENDS = ENDS if isinstance(ENDS, list) else [ENDS]


def scores(data: bytes) -> list[float]:
    # A model that has nothing to say may end at once: then there would be no scores.
    status, answer, text = post("/v1/chat/completions", {
        "messages": messages(data), "max_completion_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": 10,
        "logit_bias": {str(token): -100 for token in ENDS}})
    assert status == 200, text
    return [token["logprob"] for token in answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]]


def memory(name: str) -> int:
    """Kilobytes, of the server's process."""
    with open(f"/proc/{PROCESS}/status") as file:
        return int(re.search(rf"{name}:\s+(\d+)", file.read())[1])


# What the first pictures leave behind is the level.
for data in plain.values():
    expected = scores(data)
expected = scores(plain["png"])
level = memory("VmRSS")
with open(f"/proc/{PROCESS}/clear_refs", "w") as file:
    file.write("5")  # the highest level so far is the present one
seen = same = refused = 0
wrong: list[str] = []
slowest = (0.0, "")
for name, data, wanted in CASES:
    start = time.monotonic()
    status, answer, text = post("/tokenize", {"messages": messages(data)})
    slowest = max(slowest, (time.monotonic() - start, name))
    if status == 200:
        size = (answer["images"][0]["width"], answer["images"][0]["height"])
        seen += 1
        if wanted == "error":
            wrong.append(f"{name}: was taken for a picture of {size}")
        elif wanted == "same":
            same += 1
            if size != SIZE or scores(data) != expected:
                wrong.append(f"{name}: other pixels, {size}")
        elif wanted is not None and size != wanted:
            wrong.append(f"{name}: {size}, not {wanted}")
    else:
        refused += 1
        error = answer.get("error", {})
        if not (400 <= status < 500 and error.get("message") and {"type", "param", "code"} <= error.keys()):
            wrong.append(f"{name}: {status} {text[:200]}")
        if re.search(r"0x[0-9a-f]{6,}|/(home|usr|tmp|work|root|var)/", text):
            wrong.append(f"{name}: tells of our inside: {text[:200]}")
        if wanted not in ("error", None):
            wrong.append(f"{name}: refused: {text[:200]}")
peak = memory("VmHWM")
assert not wrong, "\n".join([f"{len(wrong)} of {len(CASES)}:"] + wrong)
assert len(CASES) >= 120
# RGB of the largest picture that is taken, and a fifth of it.
allowed = level + MOST_PIXELS * 3 // 1024 * 12 // 10
assert peak < allowed, (level, peak, allowed)
# The same files again leave nothing more.
for name, data, wanted in CASES:
    if len(data) < 200_000 and wanted != (9000, 9000):
        post("/tokenize", {"messages": messages(data)})
assert scores(plain["png"]) == expected
after = memory("VmRSS")
for _ in range(60):
    # Freed pages go back while there is something to do, some seconds later.
    if after < level * 1.1 + 16384:
        break
    time.sleep(0.5)
    scores(plain["png"])
    after = memory("VmRSS")
assert after < level * 1.1 + 16384, (level, after)
print(f"I1: {len(CASES)} files: {refused} refused in words, {seen} seen ({same} of them held to the pixels of the plain "
      f"one), 0 others; memory {level >> 10} MiB before, {peak >> 10} at most, {after >> 10} after; the slowest took "
      f"{slowest[0]:.1f} s ({slowest[1]})")
