"""Writes Tests/Goldens/image_formats: small pictures of every format and expected.json with what Pillow makes of them.

    pip install pillow==11.3.0 numpy
    python Tests/Goldens/make_image_formats.py

`as_pillow` is the SHA-256 of `convert("RGB")`, `upright` that of `ImageOps.exif_transpose` and transparency over
white; 16-bit grey keeps its high byte there. `resizes` are the SHA-256 of `Image.resize`.
"""

import hashlib
import json
import pathlib

import numpy
from PIL import Image, ImageOps, __version__

FOLDER = pathlib.Path(__file__).parent / "image_formats"
FILTERS = {name: getattr(Image.Resampling, name.upper())
           for name in ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")}
WIDTH, HEIGHT = 61, 43
random = numpy.random.default_rng(7)


def picture(channels, width=WIDTH, height=HEIGHT):
    y, x = numpy.mgrid[0:height, 0:width]
    planes = [numpy.sin(x / (4 + k)) * 60 + numpy.cos(y / (5 + k)) * 60 + 128 for k in range(channels)]
    noise = random.normal(0, 9, (height, width, channels))
    return numpy.clip(numpy.stack(planes, -1) + noise, 0, 255).astype(numpy.uint8)


def digest(image):
    return hashlib.sha256(numpy.asarray(image).tobytes()).hexdigest()


def upright(image):
    image = ImageOps.exif_transpose(image)
    if image.mode == "I;16":
        grey = Image.fromarray((numpy.asarray(image) >> 8).astype(numpy.uint8))
        return grey.convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", rgba.size, (255, 255, 255))
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    return image.convert("RGB")


def main():
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    rgb = Image.fromarray(picture(3))
    rgba = Image.fromarray(picture(4)).convert("RGBA")
    grey = Image.fromarray(picture(1)[..., 0])
    palette = rgb.quantize(29)
    cmyk = Image.frombytes("CMYK", (WIDTH, HEIGHT), picture(4).tobytes())
    wide = Image.fromarray(picture(1)[..., 0].astype(numpy.uint16) * 200)
    entries = []

    def add(name, image, **options):
        image.save(FOLDER / name, **options)
        opened = Image.open(FOLDER / name)
        entries.append({
            "file": name, "format": opened.format, "width": image.width, "height": image.height,
            "orientation": opened.getexif().get(0x0112, 1), "animated": getattr(opened, "is_animated", False),
            "as_pillow": digest(opened.convert("RGB")), "upright": digest(upright(Image.open(FOLDER / name)))})

    add("baseline.jpg", rgb, quality=75)
    add("progressive.jpg", rgb, quality=90, subsampling=0, progressive=True)
    add("chroma_422.jpg", rgb, quality=85, subsampling=1)
    add("grey.jpg", grey, quality=80)
    add("cmyk.jpg", cmyk, quality=90)
    add("one_pixel.jpg", rgb.crop((0, 0, 1, 1)))
    add("rgb.png", rgb)
    add("rgba.png", rgba)
    add("grey.png", grey)
    add("grey_alpha.png", rgba.convert("LA"))
    add("grey_16.png", wide)
    add("one_bit.png", grey.convert("1"))
    add("palette.png", palette)
    add("palette_clear.png", palette, transparency=3)
    add("palette_2_bit.png", rgb.quantize(4))
    add("colour_key.png", rgb, transparency=rgb.getpixel((5, 5)))
    add("one_pixel.png", rgba.crop((0, 0, 1, 1)))
    add("one_row.png", rgb.crop((0, 0, WIDTH, 1)))
    add("one_column.png", rgb.crop((0, 0, 1, HEIGHT)))
    add("lossy.webp", rgb, quality=70)
    add("lossless.webp", rgb, lossless=True)
    add("lossy_alpha.webp", rgba, quality=70)
    add("lossless_alpha.webp", rgba, lossless=True, exact=True)
    add("animated.webp", rgb, save_all=True, append_images=[ImageOps.invert(rgb)], duration=50)
    add("palette.gif", palette)
    add("clear.gif", palette, transparency=3)
    add("animated.gif", rgb, save_all=True, append_images=[ImageOps.invert(rgb)])
    add("rgb.bmp", rgb)
    add("palette.bmp", palette)
    add("one_bit.bmp", grey.convert("1"))
    add("rgb_lzw.tiff", rgb, compression="tiff_lzw")
    add("grey_16.tiff", wide)
    add("cmyk.tiff", cmyk)
    add("palette.tiff", palette, compression="tiff_adobe_deflate")
    small = rgb.crop((0, 0, 24, 16))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        add(f"orientation_{orientation}.jpg", small, exif=exif, quality=95)
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("png", "webp", "tiff"):
        add(f"orientation_6.{kind}", small, exif=exif, **({"lossless": True} if kind == "webp" else {}))

    resizes = []
    for name, width, height, box in [
        ("rgb.png", 28, 28, None), ("rgb.png", 61, 20, None), ("rgb.png", 17, 43, None), ("rgb.png", 1, 1, None),
        ("rgb.png", 130, 97, None), ("rgb.png", 30, 20, (3.5, 2.25, 55.0, 40.5)), ("grey.png", 33, 21, None),
        ("one_pixel.png", 28, 28, None), ("one_row.png", 14, 7, None), ("one_column.png", 5, 9, None),
    ]:
        image = Image.open(FOLDER / name)
        image = image if image.mode == "L" else image.convert("RGB")
        for kind, pillow in FILTERS.items():
            resizes.append({
                "source": name, "width": width, "height": height, "filter": kind, "box": box,
                "channels": 1 if image.mode == "L" else 3,
                "sha256": digest(image.resize((width, height), pillow, box=box))})
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    resize_lines = ",\n".join(json.dumps(entry) for entry in resizes)
    (FOLDER / "expected.json").write_text(
        f'{{"pillow": "{__version__}",\n"images": [\n{lines}\n],\n"resizes": [\n{resize_lines}\n]}}\n')


if __name__ == "__main__":
    main()
