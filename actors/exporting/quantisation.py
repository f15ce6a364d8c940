"""Quantises an exported network to int8 with calibration images, once per node and set of images. Runs in one worker,
before the first image of a run.
"""

from __future__ import annotations

import hashlib
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

from actors.disk_cache import keep
from actors.errors import JobError
from actors.exporting.export_cache import exported
from actors.exporting.source_digest import source_digest
from actors.messages import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.models.spec import Model


def quantised(model: Model, pixels_nhwc: np.ndarray, *, is_narrow: bool = False) -> bytes:
    """Returns an .onnx file like `actors.exporting.export_cache.exported`, but with int8 layers.

    Weights are int8 with one scale per channel; activations are uint8 with one scale per tensor that covers their range
    on the images. The layers next to the outputs stay in fp32. Cached like an export.

    Args:
        model: a model that has a network.
        pixels_nhwc: uint8 (n, height, width, 3), n at least 1; the last `NUM_CALIBRATED` count.
        is_narrow: uses 7 bits per weight, for processors that add two products in 16 bits.

    Raises:
        JobError: the network cannot be exported or quantised, or the file cannot be kept.
    """
    source = exported(model)
    images = np.ascontiguousarray(pixels_nhwc[-NUM_CALIBRATED:])
    parts = (
        hashlib.sha256(source.read_bytes()).hexdigest(),
        hashlib.sha256(images.data).hexdigest(),
        images.shape,
        is_narrow,
        onnxruntime.__version__,
        source_digest(__name__),
    )
    key = hashlib.sha256(repr(parts).encode()).hexdigest()
    folder = keep(key, partial(_make, model, source, images, is_narrow=is_narrow), lambda _: True)
    return (folder / _FILE).read_bytes()


NUM_CALIBRATED = 128  # images: twice as many change the ranges of a ResNet-18 by less than a step
_FILE = "model.onnx"
_BATCH_SIZE = 16
_LAYERS = ("Conv", "Gemm", "MatMul")  # nearly all of the work


def quantise(source: Path, target: Path, images: np.ndarray, *, is_narrow: bool = False) -> None:
    """Writes the graph of ``source`` to ``target`` with int8 layers; see `quantised`.

    Raises:
        Exception: any error from onnxruntime.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        prepared = Path(scratch) / _FILE
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        graph = onnx.load(prepared, load_external_data=False).graph
        quantization.quantize_static(
            prepared,
            target,
            _Images(graph.input[0].name, images),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=_LAYERS,
            nodes_to_exclude=last_layers(graph),
            per_channel=True,
            reduce_range=is_narrow,
            activation_type=quantization.QuantType.QUInt8,  # with int8, onnxruntime is as slow as in fp32
            weight_type=quantization.QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )


def _make(model: Model, source: Path, images: np.ndarray, folder: Path, *, is_narrow: bool) -> None:
    try:
        quantise(source, folder / _FILE, images, is_narrow=is_narrow)
    except JobError:
        raise
    except Exception as error:
        raise JobError(
            f"engine.precision=int8: {model.where} cannot be quantised: {type(error).__name__}: {one_line(error)}",
            fix="choose engine.precision=fp32",
        ) from error


class _Images(quantization.CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Batches of ``images`` for the input ``name``."""

    def __init__(self, name: str, images: np.ndarray) -> None:
        starts = range(0, len(images), _BATCH_SIZE)
        self._batches: Iterator[dict[str, np.ndarray]] = ({name: images[at : at + _BATCH_SIZE]} for at in starts)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def last_layers(graph: Any) -> list[str]:
    """Returns the names of the layers with no other layer between them and an output.

    They are a small part of the work, and their errors affect predictions directly: with the last layer in int8, one in
    ten predictions of the tests' ResNet-18 changes; without it, none.
    """
    makers = {name: node for node in graph.node for name in node.output}
    found: dict[str, None] = {}
    waiting, seen = [output.name for output in graph.output], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in makers:
            continue
        seen.add(name)
        node = makers[name]
        if node.op_type in _LAYERS:
            found[node.name] = None
        else:
            waiting += node.input
    return list(found)
