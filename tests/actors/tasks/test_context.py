from __future__ import annotations

import numpy as np

from actors.preprocess import Preprocess
from actors.tasks.context import BatchContext


def test_images_of_the_input_size_map_to_themselves() -> None:
    context = BatchContext.of_inputs(["a"], Preprocess(resize=[32, 48], crop=None), 3)
    boxes = np.array([[1.0, 2.0, 30.0, 31.0]] * 3)
    np.testing.assert_array_equal(context.geometry.to_source(boxes), boxes)
    assert context.labels == ["a"]


def test_the_geometry_is_that_of_the_source_images_and_computed_once() -> None:
    sizes_hw = np.array([[100, 200], [200, 100]], np.int32)
    context = BatchContext(None, Preprocess(resize=[50, 50], crop=None), sizes_hw)
    assert context.geometry.sizes_wh.tolist() == [[200, 100], [100, 200]]
    assert context.geometry is context.geometry
