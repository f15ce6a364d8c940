from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest
from converted import converted
from detected import DetectedRun, boxes_of
from places import local_place

from actors.errors import JobError
from jobs.conversion.conversion import FORMATS


@pytest.mark.parametrize(("name", "fix"), [("voc", "csv: one line an image, or a box"), ("COCO", "did you mean coco?")])
def test_a_format_that_does_not_exist(name: str, fix: str, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=f"to={name}: there is no such format") as caught:
        converted(local_place(tmp_path), name, tmp_path / "x")
    assert fix in caught.value.fix
    assert all(f"{known}: " in caught.value.fix for known in FORMATS)


@pytest.mark.parametrize("to", FORMATS)
def test_every_format_adds_up_and_records_its_source(to: str, tmp_path: Path) -> None:
    place = local_place(tmp_path / "out")
    DetectedRun("a").put(place)
    DetectedRun("b", names=[["a", "x"]], bad=(), cut=[], opened_at="2026-05-05").put(place)
    lines = converted(place, to, tmp_path / "to")
    assert lines[-1] == f"{tmp_path}/to: 9 rows read = 8 written + 1 left out (1 superseded by a newer run)"
    found = json.loads((tmp_path / "to" / "conversion.json").read_text())
    assert found["counts"].pop("notes") is not None
    assert found == {
        "status": "done", "format": to, "output": place.root, "model": "m0123456789abcde", "runs": ["b", "a"],
        "counts": {
            "num_read": 9, "num_written": 8, "left_out": {"superseded by a newer run": 1}, "num_images_without_row": 1
        },
    }  # fmt: skip


@pytest.mark.parametrize("to", FORMATS)
def test_the_same_conversion_twice_gives_the_same_files(to: str, tmp_path: Path) -> None:
    place = local_place(tmp_path / "out")
    DetectedRun("a").put(place)
    DetectedRun("b", names=[["a", "x"]], bad=(), cut=[], opened_at="2026-05-05").put(place)
    for name in ("one", "two"):
        converted(place, to, tmp_path / name)
    one, two = (sorted(path for path in (tmp_path / name).rglob("*") if path.is_file()) for name in ("one", "two"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_names_are_relative_to_the_dataset_or_to_a_given_folder(tmp_path: Path) -> None:
    place = local_place(tmp_path / "out")
    DetectedRun().put(place)
    converted(place, "yolo", tmp_path / "one")
    converted(place, "yolo", tmp_path / "two", base="/")
    assert (tmp_path / "one" / "labels" / "a.txt").exists()
    assert (tmp_path / "two" / "labels" / "data" / "a.txt").exists()


@pytest.mark.parametrize("to", FORMATS)
def test_boxes_of_low_scores_can_be_left_out(to: str, tmp_path: Path) -> None:
    place = local_place(tmp_path / "out")
    DetectedRun().put(place)
    lines = converted(place, to, tmp_path / "to", score_threshold=0.85)
    assert "12 boxes have a lower score than convert.score_threshold and are left out" in lines
    assert lines[-1].endswith("7 rows read = 7 written + 0 left out")
    if to == "yolo":
        texts = [(tmp_path / "to" / "labels" / f"{name}.txt").read_text() for name in "aeh"]
        assert [text.count("\n") for text in texts] == [1, 0, 1]


def test_a_destination_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    place = local_place(tmp_path / "out")
    DetectedRun().put(place)
    converted(place, "yolo", tmp_path / "to")
    with pytest.raises(JobError, match="holds an earlier conversion"):
        converted(place, "csv", tmp_path / "to")
    assert (tmp_path / "to" / "data.yaml").exists()
    converted(place, "csv", tmp_path / "to", overwrite=True)
    assert {path.name for path in (tmp_path / "to").iterdir()} == {"conversion.json", "predictions.csv"}


@pytest.mark.parametrize("num_runs", [1, 2])
def test_rows_that_the_manifest_does_not_list_are_not_converted(num_runs: int, tmp_path: Path) -> None:
    place = local_place(tmp_path / "out")
    for number in range(num_runs):
        DetectedRun(f"r{number}", opened_at=f"2026-01-0{number + 1}").put(place)
    run = DetectedRun("r0")
    one, two = (Path(place.root, name) for name in run.of("rows"))
    one.write_bytes(two.read_bytes())
    with pytest.raises(JobError, match=r"the parts have \d+ rows, and the manifests of their runs list \d+"):
        converted(place, "jsonl", tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_every_format_is_named_where_people_look() -> None:
    listed = ", ".join([*FORMATS][:-1]) + f" or {[*FORMATS][-1]}"
    root = Path(__file__).parents[3]
    assert listed in (root / "conf" / "convert.yaml").read_text()
    assert listed in (root / "docs" / "configuration.md").read_text()
    page = (root / "docs" / "outputs.md").read_text()
    assert all(f"| `{name}` |" in page for name in FORMATS)


@pytest.mark.parametrize("to", FORMATS)
def test_a_part_that_is_damaged_leaves_nothing_behind(to: str, tmp_path: Path) -> None:
    place = local_place(tmp_path / "out")
    run = DetectedRun()
    run.put(place)
    Path(place.root, run.of("rows")[1]).write_bytes(b"PAR1 broken")
    with pytest.raises(JobError, match="cannot be read"):
        converted(place, to, tmp_path / "to")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_duckdb_unnests_the_boxes_of_the_rows_themselves(tmp_path: Path) -> None:
    DetectedRun().put(local_place(tmp_path))
    boxes = "select image_id, unnest(detections, recursive := true) from read_parquet(?)"
    found = duckdb.execute(f"from ({boxes}) order by image_id, score desc", [f"{tmp_path}/rows/**/*.parquet"])
    names = [column[0] for column in found.description]
    assert names == ["image_id", "label_id", "label", "score", "xmin", "ymin", "xmax", "ymax"]
    rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    wanted = [{"image_id": f"/data/{name}.jpg", **box} for name in "acdfgh" for box in boxes_of(name)]
    assert rows == [{**box, "score": pytest.approx(box["score"])} for box in wanted]
