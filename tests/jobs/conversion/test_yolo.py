from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from converted import content, converted
from detected import HEIGHT, WIDTH, DetectedRun, EmbeddedRun, boxes_of
from places import Place, local_place

from actors.errors import JobError


def test_one_file_an_image(place: Place) -> None:
    DetectedRun().put(place)
    lines = converted(place, "yolo", f"{place.root}/yolo")
    files = content(place, f"{place.root}/yolo")
    assert sorted(files) == ["conversion.json", "data.yaml", *(f"labels/{name}.txt" for name in "acdefgh")]
    assert files["labels/e.txt"] == b""
    for name in "acdfgh":
        for line, box in zip(files[f"labels/{name}.txt"].decode().splitlines(), boxes_of(name), strict=True):
            label_id, *numbers = line.split()
            x, y, w, h, score = map(float, numbers)
            corners = np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2]) * [WIDTH, HEIGHT, WIDTH, HEIGHT]
            assert corners == pytest.approx([box[key] for key in ("xmin", "ymin", "xmax", "ymax")], abs=2e-3)
            assert (int(label_id), np.float32(score)) == (box["label_id"], np.float32(box["score"]))
    assert files["data.yaml"].decode().splitlines() == [
        "path: .", "train: images", "val: images", "names:", '  0: "cat"', '  1: "dog"', '  2: "\\"old\\" car"',
    ]  # fmt: skip
    assert lines[-1].endswith("7 rows read = 7 written + 0 left out")


def test_supervision_reads_the_files(tmp_path: Path) -> None:
    supervision = pytest.importorskip("supervision")
    from PIL import Image  # noqa: PLC0415

    place = local_place(tmp_path / "out")
    run = DetectedRun()
    run.base = str(tmp_path / "images")
    DetectedRun.__init__(run)
    run.put(place)
    (tmp_path / "images").mkdir()
    for name in "acdefgh":
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images" / f"{name}.jpg")
    converted(place, "yolo", tmp_path / "yolo")
    for file in (tmp_path / "yolo" / "labels").iterdir():  # it only accepts files without scores
        lines = file.read_text().splitlines()
        file.write_text("\n".join(line.rpartition(" ")[0] for line in lines))
    dataset = supervision.DetectionDataset.from_yolo(
        images_directory_path=str(tmp_path / "images"),
        annotations_directory_path=str(tmp_path / "yolo" / "labels"),
        data_yaml_path=str(tmp_path / "yolo" / "data.yaml"),
    )
    assert dataset.classes == ["cat", "dog", '"old" car']
    found = {Path(path).stem: detections for path, _, detections in dataset}
    assert len(found["e"]) == 0
    for name in "acdfgh":
        wanted = [[box[key] for key in ("xmin", "ymin", "xmax", "ymax")] for box in boxes_of(name)]
        assert found[name].xyxy == pytest.approx(np.array(wanted), abs=2e-3)
        assert found[name].class_id.tolist() == [box["label_id"] for box in boxes_of(name)]


def test_no_file_leaves_the_folder(place: Place, tmp_path: Path) -> None:
    names = [
        "../../x.jpg",
        "/etc/passwd.png",
        "a/../../b.jpg",
        "s3://bucket/p/c.jpg",
        "/data/d.jpg",
        "/data/d.png",
        "..//",
    ]
    DetectedRun(names=[names], bad=(), cut=[]).put(place)
    lines = converted(place, "yolo", f"{place.root}/down/here/yolo")
    labels = sorted(name for name in content(place, f"{place.root}/down/here/yolo") if name.startswith("labels/"))
    wanted = [
        "labels/%2E%2E/%2E%2E/x.txt", "labels/%2E%2E.txt", "labels/a/%2E%2E/%2E%2E/b.txt", "labels/bucket/p/c.txt",
        "labels/d.png.txt", "labels/d.txt", "labels/etc/passwd.txt",
    ]  # fmt: skip
    assert labels == sorted(wanted)
    assert lines[-1].endswith("7 rows read = 7 written + 0 left out")
    assert "1 files keep the suffix of the image, as another image has the name without it" in lines
    assert {path.name for path in tmp_path.iterdir()} <= {"place"}


def test_boxes_are_cut_at_the_edges_and_images_without_size_are_left_out(tmp_path: Path) -> None:
    place = local_place(tmp_path / "out")
    run = DetectedRun(names=[["a", "b"]], bad=(), cut=[])
    for name in run.of("rows"):
        table = run.table(name)
        box = {"label_id": 4, "label": "x", "score": 1, "xmin": -10, "ymin": 120, "xmax": 320, "ymax": 500}
        column = table.schema.get_field_index("detections")
        table = table.set_column(column, "detections", pa.array([[box], [box]], table.field("detections").type))
        column = table.schema.get_field_index("width")
        run.rewrite(name, table.set_column(column, "width", pa.array([640, None], pa.int32())))
    run.put(place)
    lines = converted(place, "yolo", tmp_path / "yolo")
    assert (tmp_path / "yolo" / "labels" / "a.txt").read_text() == "4 0.25 0.625 0.5 0.75 1\n"
    assert lines[-1].endswith("2 rows read = 1 written + 1 left out (1 without width and height)")
    names = (tmp_path / "yolo" / "data.yaml").read_text().partition("names:\n")[2]
    assert [json.loads(line.split(": ")[1]) for line in names.splitlines()] == [
        "class_0", "class_1", "class_2", "class_3", "x",
    ]  # fmt: skip


def test_rows_without_boxes_are_refused(tmp_path: Path) -> None:
    place = local_place(tmp_path / "out")
    EmbeddedRun().put(place)
    with pytest.raises(JobError, match="to=yolo: the rows have no column detections"):
        converted(place, "yolo", tmp_path / "yolo")
