from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from converted import converted
from detected import HEIGHT, WIDTH, DetectedRun, EmbeddedRun, SegmentedRun, boxes_of
from PIL import Image
from places import local_place
from published import PublishedRun

from actors.errors import JobError


def labels_of(run: PublishedRun, tmp_path: Path) -> dict[str, Any]:
    place = local_place(tmp_path / "out")
    run.put(place)
    converted(place, "fiftyone", tmp_path / "fiftyone")
    found = json.loads((tmp_path / "fiftyone" / "labels.json").read_text())
    assert isinstance(found, dict)
    return found


# The formats of FiftyOneImageDetectionDataset and FiftyOneImageClassificationDataset, as documented by FiftyOne.
def test_detections_have_relative_boxes(tmp_path: Path) -> None:
    found = labels_of(DetectedRun(), tmp_path)
    assert {*found} == {"classes", "labels"}
    assert {*found["classes"]} <= {"cat", "dog", '"old" car'}
    assert list(found["labels"]) == list("acdefgh")
    assert found["labels"]["e"] == []
    for name in "acdfgh":
        for one, box in zip(found["labels"][name], boxes_of(name), strict=True):
            assert {*one} == {"label", "bounding_box", "confidence"}
            x, y, w, h = one["bounding_box"]
            corners = [x * WIDTH, y * HEIGHT, (x + w) * WIDTH, (y + h) * HEIGHT]
            assert corners == pytest.approx([box[key] for key in ("xmin", "ymin", "xmax", "ymax")], abs=2e-3)
            assert (one["label"], one["confidence"]) == (box["label"], pytest.approx(box["score"]))


def test_labels_have_their_confidence(tmp_path: Path) -> None:
    found = labels_of(PublishedRun(), tmp_path)
    assert found["labels"]["c"] == {"label": "label 2", "confidence": 0.52}
    assert len(found["labels"]) == 7


def test_class_maps_are_a_folder(tmp_path: Path) -> None:
    place = local_place(tmp_path / "out")
    SegmentedRun().put(place)
    converted(place, "fiftyone", tmp_path / "fiftyone")
    names = {path.name for path in (tmp_path / "fiftyone" / "labels").iterdir()}
    assert names == {f"{name}.png" for name in "acdefgh"}


def test_fiftyone_itself_reads_the_labels(tmp_path: Path) -> None:
    """Uses only the importers, which need no database."""
    importers = pytest.importorskip("fiftyone.utils.data.importers")
    (tmp_path / "images").mkdir()
    for name in "acdefgh":
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images" / f"{name}.jpg")
    labels_of(DetectedRun(), tmp_path)
    importer = importers.FiftyOneImageDetectionDatasetImporter(
        data_path=str(tmp_path / "images"), labels_path=str(tmp_path / "fiftyone" / "labels.json")
    )
    with importer:
        found = {Path(path).stem: label for path, _, label in importer}
    assert list(found) == list("acdefgh")
    for name in "acdfgh":
        for one, box in zip(found[name].detections, boxes_of(name), strict=True):
            assert (one.label, one.confidence) == (box["label"], pytest.approx(box["score"]))
            assert one.bounding_box[0] == pytest.approx(box["xmin"] / WIDTH, abs=1e-5)


def test_vectors_are_refused(tmp_path: Path) -> None:
    place = local_place(tmp_path / "out")
    EmbeddedRun().put(place)
    with pytest.raises(JobError, match="to=fiftyone: the rows have no detections, class maps or labels"):
        converted(place, "fiftyone", tmp_path / "fiftyone")
