"""Draws the pictures of the goldens, and describes files as Pillow decodes them."""

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps


def scene(width, height, seed, noise=0):
    """A gradient with a few shapes on it: compresses well, yet no two patches are alike."""
    random = np.random.default_rng(seed)
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    corners = random.integers(40, 230, (4, 3))
    pixels = (
        corners[0] * ((1 - across) * (1 - down))[..., None]
        + corners[1] * (across * (1 - down))[..., None]
        + corners[2] * ((1 - across) * down)[..., None]
        + corners[3] * (across * down)[..., None]
    )
    if noise:
        pixels = pixels + random.integers(-noise, noise + 1, pixels.shape)
    picture = Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for shape in range(4):
        radius = int(random.integers(max(3, min(width, height) // 8), max(4, min(width, height) // 3)))
        x, y = int(random.integers(0, width)), int(random.integers(0, height))
        colour = tuple(int(value) for value in random.integers(0, 256, 3))
        box = (x - radius, y - radius, x + radius, y + radius)
        (draw.ellipse, draw.rectangle)[shape % 2](box, fill=colour, outline=(0, 0, 0))
    return picture


def clip(frames, width, height, seed):
    """A disc that crosses a still background."""
    pictures = []
    for index in range(frames):
        picture = scene(width, height, seed)
        x = round(width * (index + 0.5) / frames)
        ImageDraw.Draw(picture).ellipse((x - 12, height // 2 - 12, x + 12, height // 2 + 12), fill=(250, 240, 20 * index))
        pictures.append(picture)
    return pictures


def png(picture, **options):
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True, **options)
    return out.getvalue()


def jpeg(picture, **options):
    out = io.BytesIO()
    picture.save(out, "JPEG", **options)
    return out.getvalue()


def model_pictures():
    """The pictures that the cases of the checkpoints show: file name -> bytes."""
    files = {
        "small_a.png": png(scene(64, 64, 1)),  # already a multiple of the patches of qwen2vl_small
        "small_b.png": png(scene(132, 44, 2, noise=2)),
        "small_c.jpg": jpeg(scene(51, 87, 3), quality=88, subsampling=2),  # odd sides, chroma at half size
    }
    for index, frame in enumerate(clip(6, 90, 66, 4)):
        files[f"frame_{index}.png"] = png(frame)
    return files


def format_pictures():
    """One small picture for each way of storing pixels that decoders get wrong: file name -> bytes."""
    photo = scene(97, 71, 11, noise=6)
    shape = Image.new("L", photo.size, 0)
    ImageDraw.Draw(shape).ellipse((10, 8, 80, 66), fill=200, outline=90)
    with_alpha = photo.copy()
    with_alpha.putalpha(shape)
    wide_grey = np.linspace(0, 65535, 40 * 30).astype(np.uint16).reshape(30, 40)
    files = {
        "alpha.png": png(with_alpha),
        "bits_1.png": png(scene(67, 35, 12).convert("1")),
        "cmyk.jpg": jpeg(photo.convert("CMYK"), quality=85),
        "grey.jpg": jpeg(photo.convert("L"), quality=85),
        "grey_alpha.png": png(with_alpha.convert("LA")),
        "grey_16.png": png(Image.fromarray(wide_grey)),
        "palette.png": png(photo.quantize(23)),
        "progressive_444.jpg": jpeg(photo, quality=92, subsampling=0, progressive=True),
        "tall.png": png(scene(20, 150, 13)),
        "wide.jpg": jpeg(scene(300, 31, 14), quality=80, subsampling=1),
        "tiny.png": png(scene(16, 16, 15)),
    }
    for orientation in (3, 6, 8):
        exif = Image.Exif()
        exif[0x0112] = orientation
        files[f"turned_{orientation}.jpg"] = jpeg(scene(90, 50, 20 + orientation), quality=85, exif=exif)
    return files


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def _decoded(picture):
    return {"width": picture.width, "height": picture.height, "sha256": sha256(picture.tobytes())}


def describe(data):
    """What Pillow makes of a picture file."""
    picture = Image.open(io.BytesIO(data))
    rgb = picture.convert("RGB")
    record = {
        "bytes_sha256": sha256(data),
        "format": picture.format,
        "pil_mode": picture.mode,
        "width": picture.width,
        "height": picture.height,
        "exif_orientation": picture.getexif().get(0x0112),
        "rgb": _decoded(rgb),
        "exif_transposed_rgb": _decoded(ImageOps.exif_transpose(picture).convert("RGB")),
        "rgb_mean": [round(float(mean), 6) for mean in np.asarray(rgb, dtype=np.float64).mean((0, 1))],
    }
    if picture.mode in ("RGBA", "LA"):
        white = Image.new("RGB", picture.size, (255, 255, 255))
        rgba = picture.convert("RGBA")
        white.paste(rgba, mask=rgba.getchannel("A"))
        record["rgba_over_white_rgb"] = _decoded(white)
    return record


def write(files, folder):
    """Writes picture files and, for JPEGs, the reference decoding; returns file name -> description."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    records = {}
    for name, data in sorted(files.items()):
        (folder / name).write_bytes(data)
        records[name] = describe(data)
        if name.endswith(".jpg"):
            (folder / "decoded").mkdir(exist_ok=True)
            decoded = f"decoded/{Path(name).stem}.rgb.png"
            (folder / decoded).write_bytes(png(Image.open(io.BytesIO(data)).convert("RGB")))
            records[name]["rgb_as_png"] = decoded
    return records


def write_beside(files, checkpoint):
    """The same for the `images` folder of a checkpoint, with paths from the checkpoint's folder."""
    records = write(files, Path(checkpoint) / "images")
    for name, record in records.items():
        record["path"] = f"images/{name}"
        if "rgb_as_png" in record:
            record["rgb_as_png"] = "images/" + record["rgb_as_png"]
    return records
