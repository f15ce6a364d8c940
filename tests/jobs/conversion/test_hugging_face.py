from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from converted import converted
from detected import HEIGHT, WIDTH, DetectedRun, EmbeddedRun, SegmentedRun, boxes_of
from PIL import Image
from places import Place, local_place
from published import PublishedRun


def converted_run(run: PublishedRun, tmp_path: Path) -> Path:
    place: Place = local_place(tmp_path / "out")
    run.put(place)
    converted(place, "hf", tmp_path / "hf")
    return tmp_path / "hf"


def test_boxes_are_lists_of_objects(tmp_path: Path) -> None:
    table = pq.read_table(converted_run(DetectedRun(masks=True), tmp_path) / "metadata.parquet")
    assert table.column_names[:2] == ["file_name", "objects"]
    assert "detections" not in table.column_names
    ids = []
    for row in table.to_pylist():
        name, objects = row["file_name"].removesuffix(".jpg"), row["objects"]
        wanted = [] if name == "e" else boxes_of(name)
        corners = [[b["xmin"], b["ymin"], b["xmax"] - b["xmin"], b["ymax"] - b["ymin"]] for b in wanted]
        assert [pytest.approx(box, abs=1e-3) for box in objects["bbox"]] == corners
        assert [pytest.approx(area, abs=0.5) for area in objects["area"]] == [w * h for *_, w, h in corners]
        assert objects["category"] == [box["label_id"] for box in wanted]
        assert objects["label"] == [box["label"] for box in wanted]
        assert [one["size"] for one in objects["segmentation"]] == [[HEIGHT, WIDTH]] * len(wanted)
        ids += objects["id"]
    assert ids == list(range(18))


def test_datasets_reads_the_folder_of_the_images(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    folder = converted_run(DetectedRun(), tmp_path)
    for name in "acdefgh":
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{name}.jpg")
    dataset = datasets.load_dataset(
        "imagefolder", data_dir=str(folder), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert len(dataset) == 7
    assert dataset[0]["image"].size == (WIDTH, HEIGHT)
    assert dataset[0]["objects"]["category"] == [box["label_id"] for box in boxes_of("a")]


def test_datasets_reads_the_table_alone(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    folder = converted_run(EmbeddedRun(), tmp_path)
    files = str(folder / "metadata.parquet")
    dataset = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert dataset[1]["file_name"] == "c.jpg"
    assert dataset[1]["embedding"] == [2 + place / 128 for place in range(128)]


def test_datasets_reads_class_maps_as_images(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    folder = converted_run(SegmentedRun(), tmp_path)
    for name in "acdefgh":
        Image.new("RGB", (6, 4)).save(folder / f"{name}.jpg")
    dataset = datasets.load_dataset(
        "imagefolder", data_dir=str(folder), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert dataset[1]["mask"].size == (6, 4)
    assert dataset[1]["mask"].getpixel((0, 0)) == 2


def test_labels_stay_columns(tmp_path: Path) -> None:
    run = PublishedRun()
    table = pq.read_table(converted_run(run, tmp_path) / "metadata.parquet")
    rows = [row for name in run.of("rows") for row in run.table(name).to_pylist()]
    assert table["top_labels"].to_pylist() == [row["top_labels"] for row in rows]
    assert table["file_name"].to_pylist() == [row["image_id"] for row in rows]
