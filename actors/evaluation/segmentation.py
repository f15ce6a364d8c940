"""Overlap of predicted and known class maps."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from actors.columns import TARGET
from actors.evaluation.inferencer import CountingInferencer, ratio
from actors.tasks.confusion import CORRECT, PREDICTED, TRUE, read_classes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pyarrow as pa


class SegmentationIoU(CountingInferencer):
    """``mean_iou`` over the classes that occur or are predicted, like torchmetrics' `MulticlassJaccardIndex`, and
    ``pixel_accuracy`` over the pixels of all images.

    Rows contain PNG files of classes in ``mask``, as written by task=segment.

    Args:
        read: returns the PNG file of known classes, given the text in the column ``target``, such as its path.
        ignored: class of known pixels to ignore.
    """

    def __init__(self, read: Callable[[str], bytes], ignored: int = 255) -> None:
        super().__init__()
        self._read, self.ignored = read, ignored
        self.num_images = 0
        """Images compared."""

    def count(self, rows: pa.Table) -> dict[str, int]:
        counts: dict[str, int] = {}
        for mask, target in zip(rows["mask"].to_pylist(), rows[TARGET].to_pylist(), strict=True):
            if mask is None or target is None:
                continue
            predicted, true = _classes(mask), _classes(self._read(target))
            if predicted.shape != true.shape:
                raise ValueError(f"{target}: {true.shape} pixels, and a mask of {predicted.shape}")
            self.num_images += 1
            used = true != self.ignored
            for name, ids in _ids(true[used], predicted[used]).items():
                for class_id, number in enumerate(np.bincount(ids).tolist()):
                    counts[f"pixels/{name}{class_id}"] = counts.get(f"pixels/{name}{class_id}", 0) + number
        return {name: number for name, number in counts.items() if number}

    def compute(self, counts: Mapping[str, int]) -> dict[str, float]:
        overlaps = self.classes(counts)
        if not overlaps:
            return {}
        num_right, num_pixels = (sum(read_classes(counts, f"pixels/{name}").values()) for name in (CORRECT, TRUE))
        return {
            "mean_iou": sum(overlaps.values()) / len(overlaps),
            "pixel_accuracy": ratio(num_right, num_pixels),
        }

    def classes(self, counts: Mapping[str, int]) -> dict[int, float]:
        """Returns the intersection over union of each class."""
        true, predicted, both = (read_classes(counts, f"pixels/{name}") for name in (TRUE, PREDICTED, CORRECT))
        return {
            own: both.get(own, 0) / (true.get(own, 0) + predicted.get(own, 0) - both.get(own, 0))
            for own in sorted({*true, *predicted})
        }


def _classes(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:  # in palette mode, pixels are the classes
        return np.asarray(image).astype(np.int64)


def _ids(true: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    return {TRUE: true, PREDICTED: predicted, CORRECT: true[true == predicted]}
