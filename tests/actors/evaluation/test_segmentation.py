from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from torchmetrics.classification import MulticlassJaccardIndex

from actors.columns import TARGET
from actors.evaluation.segmentation import SegmentationIoU
from actors.tasks.segmentation.png import encode_png


def test_overlaps_are_those_of_torchmetrics() -> None:
    rng = np.random.default_rng(0)
    known = [rng.choice([0, 1, 2, 4, 255], (20 + n, 30)).astype(np.uint8) for n in range(6)]
    given = [np.where(rng.random(own.shape) < 0.3, rng.choice([0, 1, 2, 4], own.shape), own) for own in known]
    given = [np.where(own == 255, 0, own).astype(np.uint8) for own in given]
    files = {f"{n}.png": encode_png(own) for n, own in enumerate(known)}
    rows = pa.table({"mask": [encode_png(own) for own in given], TARGET: list(files)})
    measure = SegmentationIoU(files.__getitem__)
    for part in (rows.slice(4), rows.slice(0, 0), rows.slice(0, 4)):
        measure.update(part)
    metric = MulticlassJaccardIndex(6, average="macro", ignore_index=255)
    for mine, true in zip(given, known, strict=True):
        metric.update(torch.from_numpy(mine.astype(np.int64)), torch.from_numpy(true.astype(np.int64)))
    found = measure.compute(measure.counts())
    used = np.concatenate([(true != 255).ravel() for true in known])
    right = np.concatenate([(mine == true).ravel() for mine, true in zip(given, known, strict=True)])
    assert found["mean_iou"] == pytest.approx(float(metric.compute()), abs=1e-6)
    assert found["pixel_accuracy"] == pytest.approx(right[used].mean(), abs=1e-9)
    assert measure.compute({}) == {}


def test_a_map_of_another_size_is_an_error() -> None:
    rows = pa.table({"mask": [encode_png(np.zeros((2, 2), np.uint8))], TARGET: ["a.png"]})
    measure = SegmentationIoU(lambda _: encode_png(np.zeros((2, 3), np.uint8)))
    with pytest.raises(ValueError, match=r"a.png: \(2, 3\) pixels, and a mask of \(2, 2\)"):
        measure.update(rows)
