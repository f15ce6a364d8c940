from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from model_inputs import CASES, CHANNELS, PIXELS_NHWC, expected_channels, expected_numbers, make_preprocess

from actors.engines.onnx_prelude import PRELUDE_INPUT, prelude
from actors.preprocess import Preprocess


def run(preprocess: Preprocess, dtype: str, layout: str) -> np.ndarray:
    graph = prelude(preprocess, dtype, layout)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {PRELUDE_INPUT: PIXELS_NHWC})
    return found.transpose(0, 2, 3, 1) if layout == "nchw" else found


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("keys", CASES, ids=str)
def test_floats_are_normalised_as_the_keys_say(keys: dict[str, Any], layout: str) -> None:
    preprocess = make_preprocess(**keys)
    np.testing.assert_allclose(run(preprocess, "float", layout), expected_numbers(preprocess), atol=2e-6)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("keys", CHANNELS, ids=str)
def test_bytes_have_the_channels_that_the_keys_say(keys: dict[str, Any], layout: str) -> None:
    found = run(make_preprocess(**keys), "uint8", layout)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected_channels(make_preprocess(**keys)))


def test_pixels_as_they_are_need_no_graph() -> None:
    assert prelude(make_preprocess(), "uint8", "nhwc") is None
