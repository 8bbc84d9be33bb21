"""32 clients with pictures at once: no error but 429, no lost, cut or crossed answer, memory back to its level."""

import json
import sys
import threading
import time
import urllib.error
import urllib.request

URL, KEY, SECONDS = sys.argv[1], sys.argv[2], float(sys.argv[3])
CLIENTS = 32
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}


def picture(seed: int) -> str:
    """Noise that depends on the seed, 160 by 120 pixels, as an uncompressed BMP file."""
    import base64
    import random
    import struct

    width, height = 160, 120
    pixels = random.Random(seed).randbytes(width * height * 3)
    head = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54 + len(pixels), 0, 0, 54, 40, width, height, 1, 24, 0,
                       len(pixels), 2835, 2835, 0, 0)
    return "data:image/bmp;base64," + base64.b64encode(head + pixels).decode()


def body(index: int, stream: bool) -> bytes:
    return json.dumps({
        "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": picture(index)}},
            {"type": "text", "text": f"Question {index}: what is it?"}]}],
        "temperature": 0, "max_completion_tokens": 12 + index, "stream": stream}).encode()


BODIES = [[body(index, stream) for stream in (False, True)] for index in range(8)]


def ask(index: int, stream: bool) -> str:
    made = urllib.request.Request(URL + "/v1/chat/completions", BODIES[index][stream], HEADERS)
    with urllib.request.urlopen(made, timeout=300) as response:
        text = response.read().decode()
    if not stream:
        return json.loads(text)["choices"][0]["message"]["content"]
    assert text.endswith("data: [DONE]\n\n"), text[-200:]
    chunks = [json.loads(event[6:]) for event in text.split("\n\n") if event.startswith("data: {")]
    assert all("error" not in chunk for chunk in chunks), text[-300:]
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)


def metric(name: str) -> int:
    made = urllib.request.Request(URL + "/metrics", headers=HEADERS)
    lines = urllib.request.urlopen(made).read().decode().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + " "))


alone = [ask(index, False) for index in range(8)]
counts = {"answered": 0, "refused": 0}
wrong: list[str] = []
lock = threading.Lock()


def client(number: int, end: float) -> None:
    turn = number
    while time.monotonic() < end:
        index, stream = turn % 8, turn // 8 % 2 == 1
        try:
            answer = ask(index, stream)
            with lock:
                counts["answered"] += 1
                if answer != alone[index]:
                    wrong.append(f"{index}: {answer!r} for {alone[index]!r}")
        except urllib.error.HTTPError as error:
            with lock:
                counts["refused"] += 1
                if error.code != 429 or not error.headers.get("Retry-After"):
                    wrong.append(f"{error.code} {error.read()!r}")
            time.sleep(0.2)
        except Exception as error:  # noqa: BLE001: whatever it is, it is one too many
            with lock:
                wrong.append(repr(error))
        turn += 5


def crowd(seconds: float) -> None:
    end = time.monotonic() + seconds
    threads = [threading.Thread(target=client, args=(number, end)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# What a first crowd leaves behind (buffers that are kept) is the level; a second one must not add to it.
crowd(SECONDS / 4)
level = metric("process_resident_memory_bytes")
crowd(SECONDS * 3 / 4)
after = metric("process_resident_memory_bytes")
assert not wrong, (len(wrong), wrong[:3])
assert metric("omma_requests_here") == 0 and metric("omma_reserved_bytes") == 0
assert after < level * 1.1 + (16 << 20), (level, after)
print(f"crowd: {CLIENTS} clients for {SECONDS:.0f} s, {counts['answered']} answers, {counts['refused']} refused, "
      f"0 lost, cut or crossed; memory {level >> 20} MiB after a quarter of the time, {after >> 20} MiB at the end")
