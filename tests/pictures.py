"""Small pictures and the bytes of their files."""

import io

import numpy as np
from PIL import Image

RNG = np.random.default_rng(0)


def encode(pixels, format="PNG", **kwargs):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = io.BytesIO()
    image.save(stream, format, **kwargs)
    return stream.getvalue()


def photo(height=40, width=60):
    coarse = RNG.integers(0, 255, (4, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
