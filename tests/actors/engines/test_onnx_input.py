from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from actors.engines.onnx_input import PRELUDE_INPUT, ImageInput, image_input
from actors.errors import JobError
from actors.models.spec import Model
from actors.preprocess import Preprocess

MODEL = Model(checkpoint="a.onnx", preprocess=Preprocess(resize=None, crop=[24, 40]))


@dataclass
class Node:
    """An input as described by onnxruntime."""

    shape: list[Any]
    type: str = "tensor(float)"
    name: str = "image"


@pytest.mark.parametrize(
    ("node", "wanted"),
    [
        (Node(["n", 3, 24, 40]), ImageInput("image", "float", "nchw", None)),
        (Node([8, 3, "h", "w"]), ImageInput("image", "float", "nchw", 8)),
        (Node([None, None, None, None]), ImageInput("image", "float", "nchw", None)),
        (Node(["n", 24, 40, 3]), ImageInput("image", "float", "nhwc", None)),
        (Node([1, "h", "w", 3], "tensor(float16)"), ImageInput("image", "float16", "nhwc", 1)),
        (Node(["n", "h", "w", 3], "tensor(uint8)"), ImageInput("image", "uint8", "nhwc", None)),
        (Node(["n", "h", "w", "c"], "tensor(uint8)"), ImageInput("image", "uint8", "nhwc", None)),
        (Node(["n", 3, "h", "w"], "tensor(uint8)", "x"), ImageInput("x", "uint8", "nchw", None)),
    ],
)
def test_an_image_input_is_known_by_type_and_shape(node: Node, wanted: ImageInput) -> None:
    assert image_input([node], MODEL) == wanted


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([], r"takes 0 inputs"),
        (
            [Node(["n", 3, 24, 40]), Node(["n", 5], "tensor(int64)", "tokens")],
            r"takes 2 inputs \(image float \(n, 3, 24, 40\), tokens int64 \(n, 5\)\)",
        ),
        ([Node(["n", 3, 24, 40], "tensor(double)")], r"image double \(n, 3, 24, 40\), not a batch of images"),
        ([Node(["n", 3])], r"its input is image float \(n, 3\), not a batch of images"),
        ([Node(["n", 1, 24, 40])], r"has 1 channels, not 3"),
        ([Node(["n", 24, 40, 4], "tensor(uint8)")], r"has 4 channels, not 3"),
        (
            [Node(["n", 3, 40, 24])],
            r"crop=\[24, 40\]: gives images of 24 by 40 pixels; .*a\.onnx takes 40 by 24\n.*preprocess\.crop=\[40,24\]",
        ),
        ([Node(["n", 3, "h", 41])], r"takes h by 41"),
        ([Node(["n", 224, 224, 3])], r"takes 224 by 224"),
    ],
)
def test_a_model_of_another_image_size_is_reported(nodes: list[Node], message: str) -> None:
    with pytest.raises(JobError, match=message):
        image_input(nodes, MODEL)


@pytest.mark.parametrize(
    ("keys", "shape", "layout"),
    [
        ({"layout": "nhwc"}, ["n", "h", "w", "c"], "nhwc"),
        ({"layout": "nchw"}, [None, None, None, None], "nchw"),
        ({"channels": 1}, ["n", 1, 24, 40], "nchw"),
        ({"channels": 1}, ["n", 24, 40, 1], "nhwc"),
        ({"channels": 1, "layout": "nhwc"}, ["n", 24, 40, "c"], "nhwc"),
    ],
)
def test_the_key_decides_the_layout_where_no_axis_does(keys: dict[str, Any], shape: list[Any], layout: str) -> None:
    model = replace(MODEL, preprocess=replace(MODEL.preprocess, mean=[0.5], std=[0.5], **keys))
    assert image_input([Node(shape)], model).layout == layout


@pytest.mark.parametrize(
    ("keys", "node", "message", "fix"),
    [
        ({}, ("n", 1, 24, 40), "has 1 channels, not 3", "set model.preprocess.channels=1"),
        ({"channels": 1}, ("n", 24, 40, 3), "has 3 channels, not 1", "set model.preprocess.channels=3"),
        ({"layout": "nhwc"}, ("n", 3, 24, 40), "has 40 channels, not 3", "set it to auto"),
    ],
)
def test_channels_that_the_keys_do_not_give_are_reported(
    keys: dict[str, Any], node: tuple[Any, ...], message: str, fix: str
) -> None:
    model = replace(MODEL, preprocess=replace(MODEL.preprocess, **keys))
    with pytest.raises(JobError, match=message) as raised:
        image_input([Node(list(node))], model)
    assert fix in raised.value.fix


def test_bytes_cannot_be_standardised() -> None:
    model = replace(MODEL, preprocess=replace(MODEL.preprocess, standardize="per_image"))
    with pytest.raises(JobError, match=r"takes whole pixels, not those of model\.preprocess\.standardize"):
        image_input([Node(["n", 24, 40, 3], "tensor(uint8)")], model)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("dtype", ["uint8", "float", "float16"])
def test_the_prelude_makes_what_the_model_takes(dtype: str, layout: str) -> None:
    preprocess = Preprocess(mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])
    prelude = ImageInput("image", dtype, layout, None).prelude(preprocess)
    if (dtype, layout) == ("uint8", "nhwc"):
        assert prelude is None
        return
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(prelude, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {PRELUDE_INPUT: pixels})
    assert found.dtype == {"uint8": np.uint8, "float": np.float32, "float16": np.float16}[dtype]
    wanted = pixels if dtype == "uint8" else (pixels / 255 - [0.1, 0.2, 0.3]) / [0.4, 0.5, 0.6]
    found_nhwc = found.transpose(0, 2, 3, 1) if layout == "nchw" else found
    np.testing.assert_allclose(found_nhwc, wanted, atol=2e-3 if dtype == "float16" else 1e-6)


@pytest.mark.parametrize(
    ("batch_size", "number", "wanted"),
    [(None, 5, [(5, 5)]), (4, 9, [(4, 4), (4, 4), (4, 1)]), (4, 4, [(4, 4)]), (1, 2, [(1, 1), (1, 1)])],
)
def test_a_batch_is_cut_to_what_the_model_takes(
    batch_size: int | None, number: int, wanted: list[tuple[int, int]]
) -> None:
    pixels = np.random.default_rng(0).integers(1, 256, (number, 3, 2, 3), dtype=np.uint8)[:, ::-1]
    pieces = list(ImageInput("image", "uint8", "nhwc", batch_size).pieces(pixels))
    assert [(len(piece), num_images) for piece, num_images in pieces] == wanted
    assert all(piece.flags.c_contiguous and not piece[num_images:].any() for piece, num_images in pieces)
    np.testing.assert_array_equal(np.concatenate([piece[:num_images] for piece, num_images in pieces]), pixels)
