"""The page in Chromium: pictures chosen, pasted, dropped and taken, streaming, stop, reload, two tabs; screenshots at two widths, light and dark."""

import shutil
import struct
import sys
import tempfile
import zlib
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

URL, KEY, FOLDER = sys.argv[1], sys.argv[2], Path(sys.argv[3])
CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
if not CHROMIUM:
    sys.exit("page: no Chromium; apt-get install chromium")


def png(width: int, height: int) -> bytes:
    """A blue disc on sand."""
    def pixel(x: int, y: int) -> bytes:
        inside = (x - width * 0.4) ** 2 + (y - height * 0.5) ** 2 < (min(width, height) * 0.28) ** 2
        return bytes((40, 80, 190) if inside else (236, 222, 190))

    rows = b"".join(b"\0" + b"".join(pixel(x, y) for x in range(width)) for y in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def opened(context) -> Page:
    page = context.new_page()
    page.set_default_timeout(60000)
    page.on("pageerror", lambda error: ERRORS.append(str(error)))
    page.on("console", lambda message: ERRORS.append(message.text) if message.type == "error" else None)
    page.goto(URL)
    expect(page.locator("#model small")).to_be_attached(timeout=20000)
    return page


def ask(page: Page, text: str) -> None:
    page.fill("#question", text)
    page.press("#question", "Enter")


def answered(page: Page, count: int) -> None:
    expect(page.locator("article.assistant .tools")).to_have_count(count, timeout=180000)


ERRORS: list[str] = []
# The machine may be busy with other things.
expect.set_options(timeout=60000)
with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
    picture = Path(folder) / "disc.png"
    picture.write_bytes(png(320, 240))
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[
        "--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"])
    credentials = {"username": "omma", "password": KEY}

    # A picture, an answer, a reload that keeps both.
    context = browser.new_context(http_credentials=credentials)
    page = opened(context)
    page.set_input_files("#files", [str(picture), str(picture)])
    expect(page.locator("#attached img")).to_have_count(2)
    page.locator("#attached button").first.click()
    expect(page.locator("#attached img")).to_have_count(1)
    page.click("#see")
    expect(page.locator("#sees-body .grid")).to_have_count(1, timeout=20000)
    ask(page, "Which colour is the disc?")
    answered(page, 1)
    first = page.inner_text("article.assistant .answer")
    page.reload()
    expect(page.locator("article.assistant .answer")).to_have_text(first)
    expect(page.locator("article.user img")).to_have_count(1)

    # Pictures that are pasted, dropped and taken with the camera.
    context.grant_permissions(["clipboard-read", "clipboard-write", "camera"])
    page.click("#new")
    page.evaluate('''async (bytes) => navigator.clipboard.write([
        new ClipboardItem({ "image/png": new Blob([new Uint8Array(bytes)], { type: "image/png" }) })])''', list(png(64, 48)))
    page.focus("#question")
    page.keyboard.press("Control+V")
    expect(page.locator("#attached img")).to_have_count(1)
    for kind in ("dragover", "drop"):
        page.evaluate("""([kind, bytes]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
            document.getElementById("log").dispatchEvent(
                new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
        }""", [kind, list(png(80, 60))])
        if kind == "dragover":
            expect(page.locator("#drop")).to_be_visible()
    expect(page.locator("#attached img")).to_have_count(2)
    expect(page.locator("#drop")).to_be_hidden()
    page.click("#camera")
    expect(page.locator("#viewfinder")).to_have_js_property("readyState", 4)
    page.click("#shoot")
    expect(page.locator("#attached img")).to_have_count(3)
    expect(page.locator("#camera-dialog")).to_be_hidden()
    # The camera is off again.
    assert page.evaluate("document.getElementById('viewfinder').srcObject") is None
    ask(page, "Which one is blue?")
    answered(page, 1)
    expect(page.locator("article.user img")).to_have_count(3)

    # A long answer is stopped; the place on the server is free again.
    page.click("#open-settings")
    page.fill("[name=temperature]", "2")
    page.fill("[name=max_completion_tokens]", "1500")
    page.click("#settings .send")
    page.fill("#question", "Go on and on")
    page.click("#send")
    expect(page.locator("#send")).to_have_text("Stop")
    page.wait_for_timeout(600)
    page.keyboard.press("Escape")
    expect(page.locator("#send")).to_have_text("Send")

    # Regenerate, edit.
    before = page.locator("article").count()
    if page.get_by_role("button", name="Regenerate").count():
        page.evaluate("localStorage.setItem('settings', JSON.stringify({max_completion_tokens: 8}))")
        page.reload()
        page.get_by_role("button", name="Regenerate").click()
        expect(page.locator("#send")).to_have_text("Send", timeout=120000)
    page.get_by_role("button", name="Edit").first.click()
    page.fill(".edit textarea", "Where is the blue circle?")
    page.get_by_role("button", name="Ask again").click()
    answered(page, 1)
    expect(page.locator("article")).to_have_count(2)
    expect(page.locator(".words")).to_have_text("Where is the blue circle?")

    # Two tabs, each with its own conversation, at once; each tab's list shows both.
    other = opened(context)
    page.click("#new")
    ask(page, "First tab")
    ask(other, "Second tab")
    answered(page, 1)
    answered(other, 1)
    for tab in (page, other):
        expect(tab.locator("#conversations")).to_contain_text("First tab")
        expect(tab.locator("#conversations")).to_contain_text("Second tab")
    expect(page.locator(".words")).to_have_text("First tab")
    expect(other.locator(".words")).to_have_text("Second tab")

    # Export and import bring conversations to another browser.
    with page.expect_download() as download:
        page.click("#export")
    exported = Path(folder) / "conversations.json"
    download.value.save_as(exported)
    context.close()
    fresh = browser.new_context(http_credentials=credentials)
    page = opened(fresh)
    page.set_input_files("#import-file", str(exported))
    expect(page.locator("#conversations li")).to_have_count(4)
    fresh.close()

    for scheme in ("light", "dark"):
        for name, width, height in (("wide", 1280, 860), ("narrow", 390, 800)):
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=scheme, http_credentials=credentials)
            page = opened(context)
            page.set_input_files("#files", str(picture))
            ask(page, "Where is the blue circle?")
            answered(page, 1)
            if name == "wide":
                page.click("#see")
                expect(page.locator("#sees-body .grid")).to_have_count(1, timeout=20000)
            # Nothing hangs over the edge, and every control has a name.
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
            nameless = page.evaluate(
                "[...document.querySelectorAll('button')].filter(b => !b.textContent.trim() && !b.ariaLabel).length")
            assert nameless == 0
            page.screenshot(path=FOLDER / f"page-{name}-{scheme}.png")
            context.close()
    browser.close()
assert not ERRORS, ERRORS
print("page: pictures chosen, pasted, dropped and taken, streaming, stop, reload, edit, two tabs, export and import work; no errors in the console")
