"""Writes Tests/Goldens/videos: 24 frames of 64×48 at 10 a second, in three codecs and containers.

    pip install av==18.1.0 numpy
    python Tests/Goldens/make_videos.py

The frames follow a formula that Tests/MediaTests/VideoTests.swift repeats.
"""

import pathlib

import av
import numpy

FOLDER = pathlib.Path(__file__).parent / "videos"
WIDTH, HEIGHT = 64, 48


def frame(index):
    y, x = numpy.mgrid[0:HEIGHT, 0:WIDTH]
    pixels = numpy.zeros((HEIGHT, WIDTH, 3), numpy.uint8)
    pixels[..., 0] = (x * 3 + index * 5) % 256
    pixels[..., 1] = (y * 4 + index * 3) % 256
    pixels[..., 2] = (index * 20) % 256
    left = (index * 2) % 44
    pixels[10:20, left:left + 12] = 255
    return pixels


def main():
    FOLDER.mkdir(exist_ok=True)
    for name, codec, options in [
        ("h264.mp4", "libx264", {"crf": "18", "bf": "2", "g": "8"}), ("vp9.webm", "libvpx-vp9", {}),
        ("mpeg4.avi", "mpeg4", {}),
    ]:
        with av.open(str(FOLDER / name), "w") as container:
            stream = container.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt, stream.options = WIDTH, HEIGHT, "yuv420p", options
            stream.bit_rate = 2_000_000
            for index in range(24):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame(index), "rgb24")))
            container.mux(stream.encode())


if __name__ == "__main__":
    main()
