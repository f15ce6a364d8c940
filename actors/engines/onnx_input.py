"""The image input of an .onnx model, and the small graph that converts uint8 pixels to it on the device. Used when a
model is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.engines.onnx_prelude import PRELUDE_INPUT, PRELUDE_OUTPUT, TYPES, prelude
from actors.errors import JobError
from actors.pixel_arrays import to_host
from actors.preprocess import Layout, Standardize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from actors.models.spec import Model
    from actors.pixel_arrays import Pixels
    from actors.preprocess import Preprocess

__all__ = ["ONE_BY_ONE", "PRELUDE_INPUT", "PRELUDE_OUTPUT", "ImageInput", "image_input"]

ONE_BY_ONE = "it quantises a batch by one scale, which would make an image's answer depend on the rest of its batch"


@dataclass(frozen=True)
class ImageInput:
    """The single input of a model."""

    name: str
    dtype: str
    """``uint8`` for raw pixels, or ``float`` or ``float16`` for normalised pixels."""
    layout: str
    """``nchw`` or ``nhwc``."""
    batch_size: int | None
    """None if the model accepts any batch size."""

    def pieces(self, pixels_nhwc: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """Yields batches of `batch_size`, the last one padded, each with its number of real images."""
        batch_size = self.batch_size or len(pixels_nhwc)
        for start in range(0, len(pixels_nhwc), batch_size):
            piece = pixels_nhwc[start : start + batch_size]
            missing = batch_size - len(piece)
            padded = np.pad(piece, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else piece
            yield np.ascontiguousarray(padded), len(piece)

    def run(self, run: Callable[[np.ndarray, int], list[np.ndarray]], pixels_nhwc: Pixels) -> list[np.ndarray]:
        """Returns the outputs for all images; ``run`` returns those of one of the `pieces`."""
        parts = [run(piece, num_images) for piece, num_images in self.pieces(to_host(pixels_nhwc))]
        return parts[0] if len(parts) == 1 else [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def prelude(self, preprocess: Preprocess) -> bytes | None:
        """Returns the ONNX model that produces this input, made by `actors.engines.onnx_prelude.prelude`."""
        return prelude(preprocess, self.dtype, self.layout)


def image_input(inputs: Sequence[Any], model: Model, *, one_by_one: bool = False) -> ImageInput:
    """Finds the image input among ``inputs``, onnxruntime's node arguments.

    Args:
        inputs: all inputs of the model.
        model: its pre-processing determines the image size.
        one_by_one: an image's answer depends on the rest of its batch, so each image must run alone.

    Raises:
        JobError: there is not exactly one image input, its size differs from that of the pre-processing, or it expects
            fixed batches although each image must run alone.
    """
    seen = ", ".join(f"{node.name} {_dtype(node)} {_shape(node)}" for node in inputs)
    if len(inputs) != 1:
        raise JobError(f"{model.where}: takes {len(inputs)} inputs ({seen}), and there is one image", fix=_EXPORT_FIX)
    node = inputs[0]
    dtype = _dtype(node)
    if dtype not in TYPES or len(node.shape) != _NUM_AXES:
        raise JobError(f"{model.where}: its input is {seen}, not a batch of images", fix=_EXPORT_FIX)
    layout = _layout(node.shape, dtype, model.preprocess)
    height, width, channels = (node.shape[layout.index(axis)] for axis in "hwc")
    if isinstance(channels, int) and channels != model.preprocess.channels:
        raise _wrong_channels(model, seen, channels)
    if dtype == "uint8" and model.preprocess.standardize is Standardize.per_image:
        raise JobError(
            f"{model.where}: its input {seen} takes whole pixels, not those of model.preprocess.standardize=per_image",
            fix="set model.preprocess.standardize=none, or export it with a float input",
        )
    size = model.preprocess.size
    if any(isinstance(side, int) and side != given for side, given in zip((height, width), size, strict=True)):
        raise JobError(
            f"model.preprocess.crop={model.preprocess.crop}: gives images of {size[0]} by {size[1]} pixels; "
            f"{model.where} takes {height} by {width}",
            fix=f"set model.preprocess.crop=[{height},{width}]",
        )
    batch_size = node.shape[0] if isinstance(node.shape[0], int) else None
    if one_by_one and batch_size not in (None, 1):
        raise JobError(
            f"{model.where}: quantises batches of {batch_size} by one scale each, so that an image's answer depends on "
            "the rest of its batch",
            fix="export it with a dynamic batch size, or quantise it statically",
        )
    return ImageInput(node.name, dtype, layout, 1 if one_by_one else batch_size)


_NUM_AXES = 4  # images, height, width and channels, in either layout
_EXPORT_FIX = (
    "export it with one input: float (n, 3, height, width), for normalised pixels, or uint8 (n, height, width, 3)"
)


def _layout(shape: Sequence[int | str | None], dtype: str, preprocess: Preprocess) -> str:
    """Decides by the key, otherwise by the axis whose length is the pre-processing's number of channels, or 1 or 3; if
    there is none, by what exporters commonly use for the dtype.
    """
    if preprocess.layout is not Layout.auto:
        return str(preprocess.layout.value)
    for channels in (preprocess.channels, 3, 1):
        for layout in ("nchw", "nhwc"):
            if shape[layout.index("c")] == channels:
                return layout
    return "nhwc" if dtype == "uint8" else "nchw"


def _wrong_channels(model: Model, seen: str, channels: int) -> JobError:
    layout = model.preprocess.layout
    fix = _EXPORT_FIX
    if channels in (1, 3):
        fix = f"set model.preprocess.channels={channels}"
    elif layout is not Layout.auto:
        fix = f"model.preprocess.layout={layout.value} takes another axis for the channels: set it to auto"
    wanted = model.preprocess.channels
    return JobError(f"{model.where}: its input {seen} has {channels} channels, not {wanted}", fix=fix)


def _dtype(node: Any) -> str:
    return str(node.type).removeprefix("tensor(").removesuffix(")")


def _shape(node: Any) -> str:
    return f"({', '.join(str(length) for length in node.shape)})"
