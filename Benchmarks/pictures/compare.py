"""The Python side of run.sh: draws pictures, and times Pillow on them, in turn with Omma and on one thread."""
import json
import os
import random
import subprocess
import sys
import time

import PIL
from PIL import Image, ImageDraw

ROUNDS, RUNS = 5, 15


def picture(width, height, seed):
    """A photograph's mix of smooth areas, edges and noise."""
    source = random.Random(seed)
    small = Image.frombytes("RGB", (width // 8, height // 8), source.randbytes((width // 8) * (height // 8) * 3))
    image = small.resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(80):
        x, y = source.randrange(width), source.randrange(height)
        color = tuple(source.randrange(256) for _ in range(3))
        draw.ellipse((x, y, x + source.randrange(20, width // 4), y + source.randrange(20, height // 4)), fill=color)
    return image


def pillow(task, path, size):
    def opened():
        return Image.open(path)

    whole = opened().convert("RGB")
    if task == "decode":
        return lambda: opened().convert("RGB")
    if task == "resize":
        return lambda: whole.resize(size, Image.Resampling.BICUBIC)

    def both():
        image = opened()
        if task == "scaled":
            image.draft("RGB", size)
        return image.convert("RGB").resize(size, Image.Resampling.BICUBIC)

    return both


def main():
    program, work = sys.argv[1], sys.argv[2]
    large, small = os.path.join(work, "large.jpg"), os.path.join(work, "small.jpg")
    picture(1920, 1080, 1).save(large, quality=90)
    picture(512, 384, 2).save(small, quality=90)
    print(f"Pillow {PIL.__version__}, one thread; pictures a second, best of {ROUNDS * RUNS}")
    print("\n| work | omma | Pillow | ratio | same pixels |\n|---|---|---|---|---|")
    for name, task, path, size in [
        ("decode 1920×1080 JPEG", "decode", large, (448, 448)),
        ("resize 1920×1080 to 448×448, bicubic", "resize", large, (448, 448)),
        ("resize 512×384 to 1344×1008, bicubic", "resize", small, (1344, 1008)),
        ("both, 1920×1080 to 448×448", "both", large, (448, 448)),
        ("the same, decoded at a smaller scale", "scaled", large, (448, 448)),
        ("both, 512×384 to 448×448", "both", small, (448, 448)),
    ]:
        ours, theirs, call = [], [], pillow(task, path, size)
        total = None
        for _ in range(ROUNDS):
            command = [program, task, path, str(size[0]), str(size[1]), str(RUNS)]
            report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            ours += report["runs"]
            for _ in range(RUNS):
                start = time.perf_counter()
                image = call()
                theirs.append(time.perf_counter() - start)
            total = sum(image.tobytes())
        same = "yes" if total == report["sum"] else "no"
        print(f"| {name} | {1 / min(ours):,.0f} | {1 / min(theirs):,.0f} | {min(theirs) / min(ours):.2f} | {same} |")


main()
