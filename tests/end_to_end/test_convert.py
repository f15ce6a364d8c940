"""The rows of real jobs, converted for other tools."""

from __future__ import annotations

import csv
import io
import json
import os
from contextlib import chdir, redirect_stdout
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
import torch
from box_networks import colours, three
from photos import jpeg, write_photos
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from actors.decoding.config import Decode
from actors.errors import JobError
from actors.outputs import open_output
from actors.pictures.thumbnails import thumbnail
from jobs.config import to_object
from jobs.conversion.config import Conversion
from jobs.conversion.conversion import run_conversion
from jobs.pages.gallery import make_gallery
from jobs.schemas import compose_verb


def convert(folder: Path, to: str) -> list[str]:
    """Converts ``out`` in ``folder`` and returns the lines; tests/jobs/test_convert.py runs the command."""
    with chdir(folder):
        overrides = ["output.path=out", f"to={to}", f"convert.path={to}"]
        return list(run_conversion(to_object(compose_verb("convert", overrides), Conversion)))


def test_the_newest_rows_of_two_jobs(infer, tmp_path: Path) -> None:  # noqa: ANN001
    images = tmp_path / "images"
    write_photos(images, 12, width=40, height=30)
    (images / "broken.jpg").write_bytes(b"\xff\xd8 no image")
    job = ["+dataset=images", "dataset.path=images", "model=digits", "output.path=out"]
    infer(*job, "run.id=one")
    changed = images / "class0" / "000000.jpg"
    changed.write_bytes(jpeg(77, width=50, height=40))
    os.utime(changed, (1, 1))
    infer(*job, "run.id=two")

    rows = ds.dataset(tmp_path / "out" / "rows", partitioning="hive").to_table()
    assert len(rows) == 13
    older = pc.and_(pc.equal(rows["run"], "one"), pc.equal(rows["image_id"], str(changed)))
    newest = {row["image_id"]: row for row in rows.filter(pc.invert(older)).to_pylist()}
    for to in ("csv", "jsonl", "hf"):
        *lines, last = convert(tmp_path, to)
        assert last == f"{tmp_path / to}: 13 rows read = 12 written + 1 left out (1 superseded by a newer run)"
        assert "images without a row: 1 failed; errors/ has the reasons" in lines
    with (tmp_path / "csv" / "predictions.csv").open(newline="") as file:
        found = {line["image_id"]: line for line in csv.DictReader(file)}
    assert {*found} == {*newest}
    for image_id, line in found.items():
        assert (line["filename"], line["label"]) == (image_id.removeprefix(f"{images}/"), newest[image_id]["label"])
        assert np.float32(line["score"]) == np.float32(newest[image_id]["score"])
    objects = map(json.loads, (tmp_path / "jsonl" / "predictions.jsonl").read_text().splitlines())
    assert {one["image_id"]: one["top_labels"] for one in objects} == {
        image_id: row["top_labels"] for image_id, row in newest.items()
    }
    with pytest.raises(JobError, match="to=coco: the rows have no column detections"):
        convert(tmp_path, "coco")


def test_the_boxes_of_a_job_are_evaluated_and_trained_on(infer, tmp_path: Path) -> None:  # noqa: ANN001
    write_photos(tmp_path / "images", 8, width=100, height=80)
    torch.save(three().state_dict(), tmp_path / "three.pt")
    (tmp_path / "labels.txt").write_text("cat\ndog\ncow\n")
    infer(
        "+dataset=images", "dataset.path=images", "task=detect", "task.score_threshold=0.3", "output.path=out",
        "model.architecture=box_networks:three", "model.checkpoint=three.pt", "model.labels=labels.txt",
        "model.preprocess.resize=64", "model.preprocess.resize_mode=longest_side", "model.preprocess.crop=null",
        "model.preprocess.mean=[0,0,0]", "model.preprocess.std=[1,1,1]", "engine=torch",
    )  # fmt: skip
    rows = ds.dataset(tmp_path / "out" / "rows", partitioning="hive").to_table().to_pylist()
    assert [box["label"] for row in rows for box in row["detections"]] == ["cat", "dog", "cow"] * 8
    for to in ("coco", "yolo", "csv", "hf", "jsonl", "fiftyone"):
        assert convert(tmp_path, to)[-1] == f"{tmp_path / to}: 8 rows read = 8 written + 0 left out"
    assert precision(tmp_path / "coco" / "dataset.json", tmp_path / "coco" / "results.json") == 1
    files = sorted((tmp_path / "yolo" / "labels").rglob("*.txt"))
    assert [path.relative_to(tmp_path / "yolo" / "labels").with_suffix(".jpg") for path in files] == sorted(
        path.relative_to(tmp_path / "images") for path in (tmp_path / "images").rglob("*.jpg")
    )
    assert {path.read_text().count("\n") for path in files} == {3}
    gallery = make_gallery(open_output(str(tmp_path / "out")).runs()[0])
    assert {*gallery.groups} == {"class/cat", "most_confident", "least_confident"}
    for picture in gallery.groups["most_confident"]:
        data = Path(picture.row["uri"]).read_bytes()
        assert picture.thumbnail == thumbnail(data, Decode(), picture.row) != thumbnail(data, Decode())


def test_the_class_maps_of_a_job_are_files(infer, tmp_path: Path) -> None:  # noqa: ANN001
    write_photos(tmp_path / "images", 6, width=100, height=80)
    torch.save(colours().state_dict(), tmp_path / "colours.pt")
    infer(
        "+dataset=images", "dataset.path=images", "task=segment", "output.path=out", "engine=torch",
        "model.architecture=box_networks:colours", "model.checkpoint=colours.pt", "model.labels=[red,green,blue]",
        "model.preprocess.resize=64", "model.preprocess.resize_mode=longest_side", "model.preprocess.crop=null",
    )  # fmt: skip
    rows = ds.dataset(tmp_path / "out" / "rows", partitioning="hive").to_table().to_pylist()
    places = {row["image_id"].removeprefix(f"{tmp_path}/images/").replace(".jpg", ".png"): row["mask"] for row in rows}
    for to, folder in (("csv", "masks"), ("hf", "masks"), ("fiftyone", "labels")):
        convert(tmp_path, to)
        written = tmp_path / to / folder
        assert {path.relative_to(written).as_posix(): path.read_bytes() for path in written.rglob("*.png")} == places
        for path in written.rglob("*.png"):
            with Image.open(path) as image:
                assert image.size == (100, 80)
    gallery = make_gallery(open_output(str(tmp_path / "out")).runs()[0])
    assert {*gallery.groups} == {"sample"}
    for picture in gallery.groups["sample"]:
        image = Image.open(picture.row["uri"]).convert("RGB")
        shown = np.asarray(Image.open(io.BytesIO(picture.thumbnail)).convert("RGB")).astype(int)
        assert np.abs(shown - np.asarray(image)).mean() > 20
        assert "mask" not in picture.row


def precision(truth: Path, results: Path) -> float:
    with redirect_stdout(io.StringIO()):  # pycocotools prints
        known = COCO(str(truth))
        evaluation = COCOeval(known, known.loadRes(str(results)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])
