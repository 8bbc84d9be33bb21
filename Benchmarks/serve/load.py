"""Asks a server of omma from several clients at a time and prints what came of it, as one table.

    load.py URL [SECONDS]

Every client sends one request after the other, each with a picture of its own, and reads the answer as a stream.
The share that is not the model's is told twice: of the seconds in which the server's engine had work, those in which it
was not inside the model; and of the seconds on the clock, with HTTP, decoding of pictures and these clients themselves.
"""

import base64
import json
import struct
import sys
import threading
import time
import urllib.request
import zlib

URL = sys.argv[1]
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 20


def picture(seed: int, width: int = 224, height: int = 224) -> str:
    rows = b"".join(
        b"\0" + b"".join(bytes(((x * 3 + seed * 17) % 256, (y * 5 + seed * 31) % 256, (x * y + seed) % 256))
                         for x in range(width)) for y in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(file).decode()


def metrics() -> dict[str, float]:
    lines = urllib.request.urlopen(URL + "/metrics").read().decode().splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in lines if line and line[0] != "#" and "{" not in line}


def request(url: str, number: int) -> tuple[float, int]:
    """Seconds to the first token, and tokens."""
    body = json.dumps({
        "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "text", "text": f"What is in picture {number}? Describe all of it."}]}],
        "temperature": 0, "max_completion_tokens": 64, "stream": True, "stream_options": {"include_usage": True},
        # The model does not end by itself, so that every answer has as many tokens.
        "logit_bias": {token: -100 for token in STOP},
    }).encode()
    start = time.perf_counter()
    first, tokens = None, 0
    made = urllib.request.Request(URL + "/v1/chat/completions", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(made) as response:
        for line in response:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            if "error" in event:
                raise RuntimeError(event["error"]["message"])
            if first is None and event["choices"] and event["choices"][0]["delta"].get("content"):
                first = time.perf_counter() - start
            if event.get("usage"):
                tokens = event["usage"]["completion_tokens"]
    return first or time.perf_counter() - start, tokens


def run(clients: int) -> None:
    before, start = metrics(), time.perf_counter()
    end, results, errors = start + SECONDS, [], []
    pictures = [picture(client) for client in range(clients)]

    def client(index: int) -> None:
        number = 0
        while time.perf_counter() < end:
            try:
                results.append(request(pictures[index], number))
            except Exception as error:  # noqa: BLE001: whatever it is, it is counted
                errors.append(error)
            number += 1

    threads = [threading.Thread(target=client, args=(index,)) for index in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall, after = time.perf_counter() - start, metrics()
    busy = after["omma_busy_seconds_total"] - before["omma_busy_seconds_total"]
    model = after["omma_model_seconds_total"] - before["omma_model_seconds_total"]
    firsts = sorted(first for first, _ in results)
    print(f"| {clients} | {len(results) / wall:.2f} | {sum(tokens for _, tokens in results) / wall:.1f} "
          f"| {firsts[len(firsts) // 2] * 1000:.0f} | {firsts[int(len(firsts) * 0.95)] * 1000:.0f} "
          f"| {100 * (1 - model / busy):.1f} % | {100 * (1 - model / wall):.1f} % | {len(errors)} |", flush=True)


def stop_tokens() -> list[str]:
    body = json.dumps({"messages": [{"role": "user", "content": "x"}]}).encode()
    made = urllib.request.Request(URL + "/tokenize", body, {"Content-Type": "application/json"})
    found = json.load(urllib.request.urlopen(made))
    # Of the template's marks those that end messages and texts: the tokens of `<|im_end|>`, by their place in it.
    tokens = found["tokens"]
    ends = found["prompt"].count("<|im_end|>")
    candidates = {token for token in tokens if tokens.count(token) == ends}
    texts = {}
    for token in candidates:
        body = json.dumps({"tokens": [token]}).encode()
        made = urllib.request.Request(URL + "/detokenize", body, {"Content-Type": "application/json"})
        texts[token] = json.load(urllib.request.urlopen(made))["prompt"]
    return [str(token) for token, text in texts.items() if text == "<|im_end|>"]


STOP = stop_tokens()
request(picture(0), 0)
print("| clients | requests/s | tokens/s | first token, median, ms | 95 %, ms | not the model's, of the engine's time | of the clock's | errors |")
print("|--:|--:|--:|--:|--:|--:|--:|--:|")
for count in (1, 4, 8):
    run(count)
