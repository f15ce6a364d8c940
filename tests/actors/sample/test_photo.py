"""A drawn photograph."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from actors.sample.photo import NUM_CLASSES, jpeg


def test_a_jpeg_has_the_bytes_of_a_photograph() -> None:
    images = [jpeg(number) for number in range(NUM_CLASSES)]
    assert {Image.open(io.BytesIO(image)).size for image in images} == {(500, 375)}
    assert all(20_000 < len(image) < 81_000 for image in images)
    assert np.mean([len(image) for image in images]) == pytest.approx(44_400, rel=0.01)
    richer = [jpeg(number, quality=95, contrast=60) for number in range(NUM_CLASSES)]
    assert np.mean([len(image) for image in richer]) == pytest.approx(110_500, rel=0.01)
