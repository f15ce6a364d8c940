from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from actors.columns import IMAGE_ID
from actors.evaluation.detection import METRICS, DetectionAP
from actors.tasks.detection.rows import detections_field

NUM_IMAGES, SIDE = 40, 200
CATEGORIES = [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}, {"id": 12, "name": "absent"}]


def random_truth(rng: np.random.Generator) -> dict[str, Any]:
    images = [{"id": 100 + i, "file_name": f"val/{i}.jpg", "width": SIDE, "height": SIDE} for i in range(NUM_IMAGES)]
    annotations = []
    for image in images:
        for _ in range(int(rng.integers(0, 5))):
            x, y = rng.integers(0, 90, 2).tolist()
            w, h = rng.integers(8, 110, 2).tolist()
            mask = np.zeros((SIDE, SIDE), np.uint8, order="F")
            mask[y : y + h, x : x + w] = 1
            own = {"id": len(annotations) + 1, "image_id": image["id"], "category_id": int(rng.choice([7, 9]))}
            crowd = int(rng.random() < 0.05)
            shape = run_lengths.encode(mask)
            own |= {"bbox": [x, y, w, h], "area": w * h, "iscrowd": crowd, "segmentation": shape}
            annotations.append(own)
    return {"images": images, "annotations": annotations, "categories": CATEGORIES}


def random_rows(truth: dict[str, Any], rng: np.random.Generator) -> pa.Table:
    """Returns boxes near those of ``truth``, and others; one image in eight has no row."""
    rows: list[dict[str, Any]] = []
    names = {7: "cat", 9: "dog"}
    for image in truth["images"][: NUM_IMAGES * 7 // 8]:
        boxes = [
            (own["bbox"], names[own["category_id"]]) for own in truth["annotations"] if own["image_id"] == image["id"]
        ]
        boxes += [(rng.integers(5, 90, 4).tolist(), "dog"), (rng.integers(5, 90, 4).tolist(), "unknown")]
        found = []
        for (x, y, w, h), label in boxes:
            dx, dy, dw, dh = (rng.normal(size=4) * 0.06 * np.array([w, h, w, h])).tolist()
            corners = np.clip([x + dx, y + dy, x + w + dx + dw, y + h + dy + dh], 0, SIDE)
            mask = np.zeros((SIDE, SIDE), np.uint8, order="F")
            left, top, right, bottom = corners.astype(int).tolist()
            mask[top:bottom, left:right] = 1
            found.append(
                {
                    "label_id": 0, "label": label, "score": float(np.float32(rng.random())),
                    **dict(zip(("xmin", "ymin", "xmax", "ymax"), corners.tolist(), strict=True)),
                    "mask": run_lengths.encode(mask),
                }
            )  # fmt: skip
        rows.append({IMAGE_ID: f"/data/{image['file_name']}", "detections": found})
    return pa.Table.from_pylist(rows, pa.schema([pa.field(IMAGE_ID, pa.string()), detections_field(has_masks=True)]))


def reference(truth: dict[str, Any], rows: pa.Table, kind: str) -> COCOeval:
    ids = {f"/data/{one['file_name']}": one["id"] for one in truth["images"]}
    results = []
    for row in rows.to_pylist():
        for box in row["detections"]:
            if box["label"] == "unknown":
                continue
            own = {"image_id": ids[row[IMAGE_ID]], "category_id": {"cat": 7, "dog": 9}[box["label"]]}
            corners = [box[name] for name in ("xmin", "ymin", "xmax", "ymax")]
            place = (
                {"bbox": [corners[0], corners[1], corners[2] - corners[0], corners[3] - corners[1]]}
                if kind == "bbox"
                else {"segmentation": box["mask"]}
            )
            results.append({**own, **place, "score": box["score"]})
    with redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_scores_are_those_of_pycocotools(kind: str) -> None:
    rng = np.random.default_rng(5)
    truth = random_truth(rng)
    rows = random_rows(truth, rng)
    measure = DetectionAP(truth, masks=kind == "segm")
    for part in (rows.slice(30), rows.slice(0, 0), rows.slice(0, 30)):
        measure.update(part)
    expected = reference(truth, rows, kind)
    found = measure.compute(measure.counts())
    defined = {name: value for name, value in zip(METRICS, expected.stats.tolist(), strict=True) if value >= 0}
    assert found == pytest.approx(defined, abs=1e-6)
    assert 0.2 < found["map"] < 0.95
    assert measure.num_images == len(rows)
    by_class = measure.per_class()
    assert by_class.keys() == {"cat", "dog"}
    precision = expected.eval["precision"]
    assert by_class["cat"] == pytest.approx(precision[:, :, 0, 0, -1].mean(), abs=1e-6)


def test_without_any_box_and_after_a_reset_the_score_is_0() -> None:
    rng = np.random.default_rng(5)
    truth = random_truth(rng)
    measure = DetectionAP(truth)
    measure.update(random_rows(truth, rng))
    measure.reset()
    assert measure.compute()["map"] == 0
    assert DetectionAP({**truth, "annotations": []}).compute() == {}


def test_a_last_part_that_two_images_share_names_neither() -> None:
    images = [{"id": 1, "file_name": "a/x.jpg"}, {"id": 2, "file_name": "b/x.jpg"}, {"id": 3, "file_name": "c/y.jpg"}]
    measure = DetectionAP({"images": images, "annotations": [], "categories": CATEGORIES})
    rows = [{IMAGE_ID: name, "detections": []} for name in ("x.jpg", "/elsewhere/y.jpg", "/data/b/x.jpg", "z.jpg")]
    measure.update(pa.Table.from_pylist(rows, pa.schema([pa.field(IMAGE_ID, pa.string()), detections_field()])))
    assert measure.num_images == 2
