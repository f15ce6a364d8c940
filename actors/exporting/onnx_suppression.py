"""Appends non-maximum suppression to a detector's graph: from the boxes and scores of all places to a fixed number of
detections. Runs where a bundle is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper

from actors.errors import JobError
from actors.exporting.postprocess import DETECTIONS

if TYPE_CHECKING:
    from pathlib import Path

    from actors.exporting.postprocess import Suppression


def append_suppression(source: Path, target: Path, steps: Suppression) -> None:
    """Writes the graph of ``source`` to ``target``, with `DETECTIONS` as its only output. Weights go to a file next to
    ``target``.

    Images with non-finite values yield NaN. Uses operators of opset 12 that later ones keep.

    Raises:
        JobError: the graph has an older opset.
    """
    proto = onnx.load(source)
    _require_opset(proto)
    # Its name may equal the new output's.
    _rename(proto.graph, steps.output, _RAW)
    part = onnx.parser.parse_graph(_text(steps))
    proto.graph.node.extend(part.node)
    proto.graph.initializer.extend(
        numpy_helper.from_array(value, f"nms_{name}") for name, value in _constants(steps).items()
    )
    del proto.graph.output[:]
    proto.graph.output.extend(part.output)
    onnx.save_model(proto, target, save_as_external_data=True, location=f"{target.name}.data")


_RAW = "nms_raw"
_LEAST_OPSET = 12


def _require_opset(proto: onnx.ModelProto) -> None:
    opset = next((one.version for one in proto.opset_import if one.domain in ("", "ai.onnx")), 0)
    if opset < _LEAST_OPSET:
        raise JobError(
            f"export.postprocess=nms: the graph is of opset {opset}, and suppression needs {_LEAST_OPSET}",
            fix="convert it with onnx.version_converter, or omit export.postprocess",
        )


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
    for value in graph.value_info:
        if value.name == old:
            value.name = new


def _constants(steps: Suppression) -> dict[str, np.ndarray]:
    first = 5 if steps.has_objectness else 4
    shapes = {"to_one": [0, 1, -1], "to_flat": [0, -1], "to_column": [0, -1, 1]}
    places = {"0": [0], "2": [2], "4": [4], "first": [first], "end": [first + steps.num_classes]}
    kept = np.isin(np.arange(steps.num_classes), steps.classes) if steps.classes else np.ones(steps.num_classes, bool)
    return {
        **{name: np.array(value, np.int64) for name, value in {**shapes, **places}.items()},
        "image_and_place": np.array([0, 2]),
        "is_kept_class": kept,
        "depth": np.array(steps.num_classes),
        "off_on": np.array([0, 1], np.float32),
        "half": np.array(0.5, np.float32),
        "zero": np.array(0, np.float32),
        "one": np.array(1, np.float32),
        "infinity": np.array(np.inf, np.float32),
        "nan": np.array(np.nan, np.float32),
        "threshold": np.array(steps.score_threshold, np.float32),
        "iou": _rounded_down(steps.iou),
        "limit": np.array([steps.num_rows]),
    }


def _rounded_down(limit: float) -> np.ndarray:
    """Returns the float32 limit that is exceeded by the same float32 overlaps as ``limit``."""
    rounded = np.float32(limit)
    return np.array(rounded if float(rounded) <= limit else np.nextafter(rounded, np.float32(0)))


def _text(steps: Suppression) -> str:
    rows = "Identity" if steps.channel_axis else "Transpose<perm = [0, 2, 1]>"
    objectness = "Slice(nms_rows, nms_4, nms_first, nms_2)" if steps.has_objectness else "Identity(nms_one)"
    # Only the best class of a place counts, so classes are suppressed separately.
    by_class = "Mul(nms_is_class, nms_by_one)" if not steps.class_agnostic else "Identity(nms_by_one)"
    return f"""
nms (float[n, b, c] {_RAW}) => (float[batch, {steps.num_rows}, 6] {DETECTIONS}) {{
  nms_real = Cast<to = 1>({_RAW})
  nms_rows = {rows}(nms_real)
  nms_centres = Slice(nms_rows, nms_0, nms_2, nms_2)
  nms_sizes = Slice(nms_rows, nms_2, nms_4, nms_2)
  nms_halves = Mul(nms_sizes, nms_half)
  nms_least = Sub(nms_centres, nms_halves)
  nms_most = Add(nms_centres, nms_halves)
  nms_corners = Concat<axis = 2>(nms_least, nms_most)

  nms_classes = Slice(nms_rows, nms_first, nms_end, nms_2)
  nms_best = ArgMax<axis = 2, keepdims = 1>(nms_classes)
  nms_of_best = GatherElements<axis = 2>(nms_classes, nms_best)
  nms_objectness = {objectness}
  nms_product = Mul(nms_of_best, nms_objectness)
  nms_scores = Min(nms_product, nms_one)
  nms_is_high = GreaterOrEqual(nms_scores, nms_threshold)
  nms_is_of_kept = Gather(nms_is_kept_class, nms_best)
  nms_is_candidate = And(nms_is_high, nms_is_of_kept)
  nms_masked = Where(nms_is_candidate, nms_scores, nms_zero)

  nms_flat = Reshape(nms_masked, nms_to_flat)
  nms_by_one = Reshape(nms_masked, nms_to_one)
  nms_best_flat = Reshape(nms_best, nms_to_flat)
  nms_is_class = OneHot<axis = 1>(nms_best_flat, nms_depth, nms_off_on)
  nms_by_class = {by_class}
  nms_triples = NonMaxSuppression(nms_corners, nms_by_class, nms_limit, nms_iou, nms_zero)

  nms_found = Gather<axis = 1>(nms_triples, nms_image_and_place)
  nms_found_scores = GatherND(nms_flat, nms_found)
  nms_shape = Shape(nms_flat)
  nms_none = ConstantOfShape(nms_shape)
  nms_remaining = ScatterND(nms_none, nms_found, nms_found_scores)
  nms_top, nms_top_places = TopK<axis = 1>(nms_remaining, nms_limit)
  nms_numbers = Cast<to = 1>(nms_best)
  nms_all = Concat<axis = 2>(nms_corners, nms_masked, nms_numbers)
  nms_places = Reshape(nms_top_places, nms_to_column)
  nms_chosen = GatherND<batch_dims = 1>(nms_all, nms_places)
  nms_top_column = Reshape(nms_top, nms_to_column)
  nms_is_box = Greater(nms_top_column, nms_zero)
  nms_padded = Where(nms_is_box, nms_chosen, nms_zero)

  nms_image = Reshape(nms_real, nms_to_one)
  nms_mean = GlobalAveragePool(nms_image)
  nms_size = Abs(nms_mean)
  nms_is_finite = Less(nms_size, nms_infinity)
  {DETECTIONS} = Where(nms_is_finite, nms_padded, nms_nan)
}}"""
