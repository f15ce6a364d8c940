from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from photos import photo
from PIL import Image

from actors.preprocess import Interpolation, Preprocess, fit
from actors.preprocess.sampling import resize_nearest, resize_sampling

SIZES = [(375, 500), (500, 333), (224, 224), (31, 47), (9, 1200), (1201, 900)]


@pytest.mark.parametrize("interpolation", [Interpolation.bilinear, Interpolation.bicubic])
@pytest.mark.parametrize("size", SIZES)
def test_without_antialiasing_pixels_are_those_of_pytorch(size: tuple[int, int], interpolation: Interpolation) -> None:
    image_hwc = np.asarray(photo(1, height=size[0], width=size[1]))
    preprocess = Preprocess(resize=[120, 150], crop=None, interpolation=interpolation, antialias=False)
    pixels_nchw = torch.from_numpy(image_hwc.copy()).permute(2, 0, 1)[None].contiguous()
    theirs = torch.nn.functional.interpolate(pixels_nchw, size=(120, 150), mode=interpolation.value)
    differences = np.abs(fit(image_hwc, preprocess).astype(int) - theirs[0].permute(1, 2, 0).numpy())
    assert differences.max() <= 2  # halves round either way
    assert differences.mean() < 0.07
    rows, columns = preprocess.axes(*size)
    visible = image_hwc[rows.first : rows.last, columns.first : columns.last]
    np.testing.assert_array_equal(fit(image_hwc, preprocess), resize_sampling(visible, (rows, columns), interpolation))


@pytest.mark.parametrize("size", SIZES)
def test_the_nearest_pixels_are_those_of_pillow(size: tuple[int, int]) -> None:
    places = np.arange(size[0] * size[1], dtype=np.uint32).reshape(*size, 1)
    places_hwc = places.view(np.uint8)[:, :, :3].copy()  # each pixel encodes its position
    axes = Preprocess(resize=[120, 150], crop=[100, 80], interpolation="nearest").axes(*size)
    rows, columns = axes
    found_hwc = resize_nearest(places_hwc[rows.first : rows.last, columns.first : columns.last], axes)
    whole_hwc = np.asarray(Image.fromarray(places_hwc).resize((150, 120), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(found_hwc, whole_hwc[10:110, 35:115])


def test_no_strip_takes_more_memory_than_a_few_copies_of_it() -> None:
    code = """
import resource
import numpy as np
from actors.preprocess import Preprocess, fit
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
for shape in (1, 9_000_000), (9_000_000, 1):
    image_hwc = np.full((*shape, 3), 77, np.uint8)
    for keys in dict(interpolation="nearest"), dict(antialias=False), dict(antialias=False, interpolation="bicubic"):
        for resize in {}, dict(resize=[224, 224], crop=None), dict(resize_mode="longest_side", pad_color=[77] * 3):
            assert (fit(image_hwc, Preprocess(**keys, **resize)) == 77).all(), (shape, keys, resize)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
