from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from actors.engines.tolerance import EXACT, Tolerance
from jobs.replaying.differences import difference

BASE = {"image_id": "a", "uri": "file:///a.png"}
CLASS = {
    "label_id": 0, "label": "cat", "score": 0.48, "top_label_ids": [0, 1], "top_labels": ["cat", "dog"],
    "top_scores": [0.48, 0.45],
}  # fmt: skip
SURE = {**CLASS, "score": 0.9, "top_scores": [0.9, 0.05]}
FAILED = {"stage": "decode", "error": "truncated", "message": "cut off"}


def box(xmin: float, score: float = 0.8, label_id: int = 0) -> dict[str, Any]:
    corners = {"xmin": xmin, "ymin": 0.0, "xmax": xmin + 100, "ymax": 100.0}
    return {**corners, "label_id": label_id, "label": str(label_id), "score": score}


def mask(value: int) -> bytes:
    stream = io.BytesIO()
    image = np.zeros((10, 10), np.uint8)
    image[0, :value] = 1
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        (CLASS, CLASS),
        (CLASS, {**CLASS, "score": 0.5, "top_scores": [0.5, 0.44]}),
        (CLASS, {**CLASS, "label_id": 1, "label": "dog", "top_label_ids": [1, 0], "top_labels": ["dog", "cat"]}),
        ({"score": float("nan")}, {"score": None}),
        ({"embedding": [1.0, 0.0]}, {"embedding": [0.9999, 0.01]}),
        ({"detections": [box(0), box(200)]}, {"detections": [box(201, 0.82), box(0.5)]}),
        ({"detections": [box(0), box(200, 0.09)]}, {"detections": [box(0)]}),
        ({"mask": mask(1)}, {"mask": b64(mask(2))}),
        ({"age": 40.0}, {"age": 40.0001}),
        ({"logits": [[1.0, 2.0]]}, {"logits": [[1.01, 2.0]]}),
        (FAILED, {**FAILED, "message": "other words"}),
    ],
)
def test_answers_within_the_tolerance_are_equal(row: dict[str, Any], answer: dict[str, Any]) -> None:
    assert difference({**BASE, **row}, answer, Tolerance()) is None


@pytest.mark.parametrize(
    ("row", "answer", "named"),
    [
        (SURE, {**SURE, "label_id": 1}, "label_id: 0 became 1"),
        (SURE, {**SURE, "label": "dog"}, "label: cat became dog"),
        (SURE, {**SURE, "score": 0.7}, "score: 0.9000 became 0.7000"),
        (SURE, {**SURE, "score": None}, "score: 0.9 became None"),
        (SURE, {**SURE, "score": "high"}, "score: 0.9 became high"),
        (SURE, {**SURE, "top_scores": [0.9]}, "top_scores: 2 classes became 1"),
        (SURE, {name: value for name, value in SURE.items() if name != "label"}, "label: the endpoint has no such"),
        (SURE, {**SURE, "embedding": []}, "embedding: the run has no such column"),
        ({"embedding": [1.0, 0.0]}, {"embedding": [0.0, 1.0]}, "a cosine of 0.0"),
        ({"embedding": [1.0, 0.0]}, {"embedding": [1.0]}, "2 numbers became 1"),
        ({"detections": [box(0)]}, {"detections": [box(0), box(200)]}, "with score 0.800 is new"),
        ({"detections": [box(0)]}, {"detections": [box(0, label_id=1)]}, "a box of 0"),
        ({"detections": [box(0), box(300)]}, {"detections": [box(0, 0.1), box(60)]}, "detections: a box of 0"),
        ({"mask": mask(0)}, {"mask": b64(mask(9))}, "91.00% of the pixels"),
        ({"mask": mask(0)}, {"mask": "no base64"}, "mask: "),
        ({"age": 40.0}, {"age": 41.0}, "age: off by"),
        ({"logits": [[1.0, 2.0]]}, {"logits": [1.0, 2.0]}, "of shape (1, 2), and now (2,)"),
        ({"name": "a"}, {"name": "b"}, "name: a became b"),
        (FAILED, SURE, "the run has decode/truncated, the endpoint an answer"),
        (SURE, FAILED, "the run has an answer, the endpoint decode/truncated"),
        (FAILED, {**FAILED, "error": "unidentified"}, "the endpoint decode/unidentified"),
    ],
)
def test_other_answers_differ(row: dict[str, Any], answer: dict[str, Any], named: str) -> None:
    assert named in (difference({**BASE, **row}, answer, Tolerance()) or "")


def test_boxes_near_the_threshold_may_come_and_go() -> None:
    row = {**BASE, "detections": [box(0), box(200, 0.3)]}
    assert difference(row, {"detections": [box(0)]}, Tolerance(), score_threshold=0.25) is None
    assert "is gone" in (difference(row, {"detections": [box(0)]}, Tolerance(), score_threshold=0.1) or "")


def test_the_tolerance_is_that_of_the_run() -> None:
    answer = {**SURE, "score": 0.89}
    assert difference({**BASE, **SURE}, answer, Tolerance()) is None
    assert difference({**BASE, **SURE}, answer, EXACT) == "score: 0.9000 became 0.8900, more than 0.001 apart"
