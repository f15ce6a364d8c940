from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from converted import content, converted, record
from detected import HEIGHT, WIDTH, DetectedRun, EmbeddedRun, boxes_of
from places import Place, local_place
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from actors.errors import JobError
from jobs.conversion.coco import JsonArray


@pytest.fixture
def run(tmp_path: Path) -> Place:
    place = local_place(tmp_path / "out")
    DetectedRun(masks=True).put(place)
    return place


def quietly(call: Any, *arguments: Any) -> Any:
    with redirect_stdout(io.StringIO()):  # pycocotools prints
        return call(*arguments)


def evaluated(truth: Path, results: Path, kind: str = "bbox") -> float:
    """Returns the mean average precision computed by pycocotools."""

    def evaluate() -> float:
        known = COCO(str(truth))
        evaluation = COCOeval(known, known.loadRes(str(results)), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        return float(evaluation.stats[0])

    return float(quietly(evaluate))


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_a_perfect_prediction_has_a_precision_of_one(run: Place, kind: str, tmp_path: Path) -> None:
    converted(run, "coco", tmp_path / "coco")
    assert evaluated(tmp_path / "coco" / "dataset.json", tmp_path / "coco" / "results.json", kind) == 1
    # Moved boxes lose precision: the figure depends on what is written.
    results = json.loads((tmp_path / "coco" / "results.json").read_text())
    for box in results[::2]:
        box["bbox"][0] += 40
        box["segmentation"] = results[1]["segmentation"]
    (tmp_path / "moved.json").write_text(json.dumps(results))
    assert evaluated(tmp_path / "coco" / "dataset.json", tmp_path / "moved.json", kind) < 0.8


def test_the_boxes_are_those_of_the_rows(run: Place, tmp_path: Path) -> None:
    lines = converted(run, "coco", tmp_path / "coco")
    dataset = json.loads((tmp_path / "coco" / "dataset.json").read_text())
    assert [one["id"] for one in dataset["images"]] == [1, 2, 3, 4, 5, 6, 7]
    assert {(one["width"], one["height"]) for one in dataset["images"]} == {(WIDTH, HEIGHT)}
    names = {one["id"]: one["file_name"].removesuffix(".jpg") for one in dataset["images"]}
    assert list(names.values()) == ["a", "c", "d", "e", "f", "g", "h"]
    results = json.loads((tmp_path / "coco" / "results.json").read_text())
    wanted = [(name, box) for name in names.values() if name != "e" for box in boxes_of(name)]
    for found, (name, box) in zip(results, wanted, strict=True):
        corners = [box["xmin"], box["ymin"], box["xmax"] - box["xmin"], box["ymax"] - box["ymin"]]
        assert names[found["image_id"]] == name
        assert found["category_id"] == box["label_id"]
        assert found["bbox"] == pytest.approx(corners, abs=1e-3)
        assert np.float32(found["score"]) == np.float32(box["score"])
        assert found["segmentation"]["size"] == [HEIGHT, WIDTH]
    assert [one["id"] for one in dataset["annotations"]] == list(range(1, 19))
    for annotation, result in zip(dataset["annotations"], results, strict=True):
        assert annotation.items() >= result.items()
        assert annotation["area"] == pytest.approx(result["bbox"][2] * result["bbox"][3], abs=0.01)
    categories = {one["id"]: one["name"] for one in dataset["categories"]}
    assert categories.items() <= {0: "cat", 1: "dog", 2: '"old" car'}.items()
    assert lines[-1].endswith("coco: 7 rows read = 7 written + 0 left out")
    assert "images without a row: 1 failed; errors/ has the reasons" in lines
    assert record(tmp_path / "coco")["counts"]["notes"] == {"boxes written": 18}


def test_the_ids_are_those_of_the_ground_truth(run: Place, tmp_path: Path) -> None:
    names = ["a", "c", "d", "f"]
    images = [{"id": 1000 + i, "file_name": f"val/{name}.jpg", "width": 9, "height": 9} for i, name in enumerate(names)]
    categories = [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}]
    kept = [
        (one, box) for one, name in zip(images, names, strict=True) for box in boxes_of(name) if box["label_id"] < 2
    ]
    truth = tmp_path / "truth.json"
    boxes = [
        {
            "id": number,
            "image_id": image["id"],
            "category_id": 17 + box["label_id"],
            "bbox": [box["xmin"], box["ymin"], box["xmax"] - box["xmin"], box["ymax"] - box["ymin"]],
            "area": 1,
            "iscrowd": 0,
        }
        for number, (image, box) in enumerate(kept, 1)
    ]
    truth.write_text(json.dumps({"images": images, "annotations": boxes, "categories": categories}))
    lines = converted(run, "coco", tmp_path / "coco", annotations=str(truth))
    assert evaluated(truth, tmp_path / "coco" / "results.json") == 1
    assert lines[-1].endswith("7 rows read = 4 written + 3 left out (3 not in convert.annotations)")
    num_cars = 12 - len(kept)
    assert f"{num_cars} boxes of classes that convert.annotations lacks are left out" in lines


@pytest.mark.parametrize("text", ["{", '{"images": []}', "[]"])
def test_a_file_without_annotations_is_refused(run: Place, text: str, tmp_path: Path) -> None:
    (tmp_path / "truth.json").write_text(text)
    with pytest.raises(JobError, match="no COCO annotations"):
        converted(run, "coco", tmp_path / "coco", annotations=str(tmp_path / "truth.json"))
    with pytest.raises(JobError, match="cannot be read"):
        converted(run, "coco", tmp_path / "coco", annotations=str(tmp_path / "nowhere.json"))
    assert not (tmp_path / "coco").exists()


def test_rows_without_boxes_are_refused(tmp_path: Path) -> None:
    place = local_place(tmp_path / "out")
    EmbeddedRun().put(place)
    with pytest.raises(JobError, match="to=coco: the rows have no column detections or width or height") as caught:
        converted(place, "coco", tmp_path / "coco")
    assert "to=hf" in caught.value.fix


def test_the_files_are_the_same_in_an_object_store(place: Place, tmp_path: Path) -> None:
    DetectedRun().put(place)
    converted(place, "coco", f"{place.root}/coco")
    local = local_place(tmp_path / "there")
    DetectedRun().put(local)
    converted(local, "coco", tmp_path / "coco")
    there, here = content(place, f"{place.root}/coco"), content(local, tmp_path / "coco")
    assert sorted(there) == sorted(here) == ["conversion.json", "dataset.json", "results.json"]
    assert [there[name] for name in ("dataset.json", "results.json")] == [
        here[name] for name in ("dataset.json", "results.json")
    ]


def test_an_array_is_written_a_few_items_at_a_time() -> None:
    file = io.BytesIO()
    array = JsonArray(file)
    for texts in ([], ["1", "2"], [], ["3"]):
        array.add(pa.array(texts, pa.string()))
    array.close()
    assert json.loads(file.getvalue()) == [1, 2, 3]
    empty = io.BytesIO()
    JsonArray(empty, "{", "}").close()
    assert json.loads(empty.getvalue()) == {}
