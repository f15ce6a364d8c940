from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from actors.tasks.segmentation.png import PALETTE, encode_png

RANDOM = np.random.default_rng(0)


def opened(class_map: np.ndarray) -> Image.Image:
    image = Image.open(io.BytesIO(encode_png(class_map)))
    image.load()
    return image


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (300, 1), (123, 457), (1030, 1100)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_other_programs_read_the_same_classes(size: tuple[int, int], dtype: type) -> None:
    class_map = RANDOM.integers(0, np.iinfo(dtype).max, size, dtype, endpoint=True)
    image = opened(class_map)
    assert image.mode == {np.uint8: "P", np.uint16: "I;16"}[dtype]
    np.testing.assert_array_equal(np.asarray(image), class_map)


def test_colours_are_those_of_pascal_voc() -> None:
    colours = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        2: (0, 128, 0),
        15: (192, 128, 128),
        20: (0, 64, 128),
        255: (224, 224, 192),
    }
    image = opened(np.arange(256, dtype=np.uint8)[None]).convert("RGB")
    assert {class_id: image.getpixel((class_id, 0)) for class_id in colours} == colours
    assert PALETTE.shape == (256, 3)


def test_a_map_of_few_classes_takes_few_bytes() -> None:
    class_map = np.zeros((1000, 1000), np.uint8)
    class_map[300:700, 200:500] = 15
    assert len(encode_png(class_map)) < 12_000
