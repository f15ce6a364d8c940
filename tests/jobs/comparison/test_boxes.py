from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
import torchvision_operators  # noqa: F401
from compared import compared, publish_run
from places import local_place

from actors.tasks.detect import Detect
from actors.tasks.detection.rows import detections_field
from jobs.comparison.answers import Match
from jobs.comparison.boxes import _overlaps

Box = tuple[str, float, Sequence[float]]


def detected(images: dict[str, list[Box]]) -> pa.Table:
    lists = [
        [
            {
                "label_id": 0,
                "label": label,
                "score": score,
                **dict(zip(("xmin", "ymin", "xmax", "ymax"), at, strict=True)),
            }
            for label, score, at in boxes
        ]
        for boxes in images.values()
    ]
    return pa.table({"image_id": [*images], "detections": pa.array(lists, detections_field().type)})


def test_boxes_are_matched_once_and_within_their_class_first(tmp_path: Path) -> None:
    place, task = local_place(tmp_path), Detect()
    square, shifted, far = (0, 0, 10, 10), (0, 0, 10, 12), (50, 50, 60, 60)
    a = publish_run(
        place,
        "a",
        detected(
            {
                "same": [("cat", 0.9, square), ("dog", 0.8, far)],
                "none": [],
                "class": [("cat", 0.9, square), ("cat", 0.62, far)],
                "lost": [("cat", 0.7, square), ("cat", 0.5, square)],
            }
        ),
        task=task,
    )
    b = publish_run(
        place,
        "b",
        detected(
            {
                "same": [("dog", 0.8, far), ("cat", 0.7, shifted)],
                "none": [("bird", 0.4, far)],
                "class": [("dog", 0.95, square), ("cat", 0.9, shifted), ("dog", 0.3, far)],
                "lost": [("cat", 0.7, square)],
            }
        ),
        task=task,
    )
    found = compared(a, b).changes
    assert (found.num_flips, found.flip_ratio) == (3, 0.75)
    flips = {(flip.before, flip.after): (flip.num, flip.examples) for flip in found.flips}
    assert flips == {
        (None, "bird"): (1, [Match(1, 1)]),
        ("cat", "dog"): (1, [Match(2, 2)]),
        (None, "dog"): (1, [Match(2, 2)]),
        ("cat", None): (1, [Match(3, 3)]),
    }
    figures = found.figures
    assert [figures[f"num_{name}"] for name in ("boxes_a", "boxes_b", "matched", "other_class")] == [6, 7, 4, 1]
    assert figures["num_images_with_other_counts"] == 3
    assert figures["mean_score_difference"] == pytest.approx((0.2 + 0 + 0 + 0) / 4, abs=1e-6)
    assert figures["mean_overlap"] == pytest.approx((100 / 120 + 1 + 100 / 120 + 1) / 4)
    classes = {own["class"]: own for own in found.classes}
    assert classes["dog"] == {"class": "dog", "num_a": 1, "num_b": 3, "num_left": 0, "num_joined": 2}
    assert (
        found.distributions[0].a
        == np.histogram(np.float32([0.9, 0.8, 0.9, 0.62, 0.7, 0.5]).astype(float), 20, (0, 1))[0].tolist()
    )
    assert compared(a, a).changes.num_flips == 0


def test_overlaps_are_those_of_torchvision() -> None:
    from torchvision.ops import box_iou  # noqa: PLC0415  needs torchvision_operators first

    corners = np.random.default_rng(0).uniform(0, 50, (2, 30, 4))
    corners[..., 2:] += corners[..., :2]
    expected = box_iou(*map(torch.tensor, corners)).numpy()
    assert np.allclose(_overlaps(*corners), expected)
    assert _overlaps(np.zeros((1, 4)), np.zeros((1, 4))) == 1  # equal boxes without area
