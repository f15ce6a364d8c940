"""Draws one seeded JPEG with the size, smoothness and entropy of a photograph."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

NUM_CLASSES = 10  # hues, 36 degrees apart
WIDTH, HEIGHT = 500, 375  # pixels, like many ImageNet images
QUALITY = 88  # JPEG quality; with this contrast, files are 44 kB on average
CONTRAST = 28.0  # standard deviation in grey levels; photographs have 50 to 60


def photo(
    number: int, *, width: int = WIDTH, height: int = HEIGHT, contrast: float = CONTRAST, seed: int = 0
) -> Image.Image:
    """Returns image ``number``, of class ``number % NUM_CLASSES``: a field of 1/f noise tinted by its class.

    ``contrast`` is the standard deviation of each channel, in grey levels of 255, before clipping at black and white.
    Another ``seed`` produces another image for each number.
    """
    rng = np.random.default_rng([number, seed])
    kind = number % NUM_CLASSES
    frequencies = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequencies[0, 0] = 1  # the mean would be divided by 0
    spectrum = rng.normal(size=(3, *frequencies.shape)) + 1j * rng.normal(size=(3, *frequencies.shape))
    slope = 1.0 + 0.08 * kind  # photographs have an amplitude of about 1/f; a steeper slope is smoother
    field = np.fft.irfft2(spectrum / frequencies**slope, s=(height, width))
    field /= field.std(axis=(1, 2), keepdims=True)
    hue = 2 * np.pi * kind / NUM_CLASSES
    # 30 to 210, so that noise is rarely clipped.
    tint = 120 + 90 * np.cos(hue + np.array([0, 2, 4]) * np.pi / 3)
    pixels = tint[:, None, None] + contrast * field
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8).transpose(1, 2, 0))


def jpeg(
    number: int,
    *,
    width: int = WIDTH,
    height: int = HEIGHT,
    quality: int = QUALITY,
    contrast: float = CONTRAST,
    seed: int = 0,
) -> bytes:
    """Encodes `photo` as JPEG: 20 to 80 kB by default, 44 on average; 110 kB at quality 95 and contrast 60."""
    buffer = io.BytesIO()
    photo(number, width=width, height=height, contrast=contrast, seed=seed).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
