from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from converted import converted, record
from detected import DetectedRun, EmbeddedRun, SegmentedRun, boxes_of
from places import local_place
from published import PublishedRun

from actors.errors import JobError
from jobs.conversion.csv_table import BOX_COLUMNS


def lines_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_one_line_an_image(tmp_path: Path) -> None:
    place = local_place(tmp_path / "out")
    PublishedRun().put(place)
    printed = converted(place, "csv", tmp_path / "csv")
    lines = lines_of(tmp_path / "csv")
    assert list(lines[0]) == ["filename", "label_id", "label", "score", "image_id", "uri", "target", "weight"]
    assert [line["filename"] for line in lines] == ["a", "c", "d", "e", "f", "g", "h"]
    assert lines[1] == {
        "filename": "c", "label_id": "2", "label": "label 2", "score": "0.52", "image_id": "c", "uri": "/data/c.jpg",
        "target": "C", "weight": lines[0]["weight"],
    }  # fmt: skip
    assert "columns omitted: top_labels, top_scores" in printed


def test_one_line_a_box_as_in_the_sinks_of_supervision(tmp_path: Path) -> None:
    place = local_place(tmp_path / "out")
    DetectedRun().put(place)
    printed = converted(place, "csv", tmp_path / "csv")
    lines = lines_of(tmp_path / "csv")
    assert list(lines[0])[:8] == ["filename", *BOX_COLUMNS]
    wanted = [(f"{name}.jpg", box) for name in "acdfgh" for box in boxes_of(name)]
    for line, (name, box) in zip(lines, wanted, strict=True):
        assert line["filename"] == name
        corners = [float(line[key]) for key in BOX_COLUMNS[:4]]
        assert np.array_equal(np.float32(corners), np.float32([box[key] for key in ("xmin", "ymin", "xmax", "ymax")]))
        assert (int(line["class_id"]), line["label"]) == (box["label_id"], box["label"])
        assert np.float32(line["confidence"]) == np.float32(box["score"])
        assert (line["width"], line["height"]) == ("640", "480")
    assert {"18 boxes written", "1 images without a box have no line"} <= {*printed}
    assert printed[-1].endswith("7 rows read = 7 written + 0 left out")


def test_supervision_reads_the_lines(tmp_path: Path) -> None:
    supervision = pytest.importorskip("supervision")
    place = local_place(tmp_path / "out")
    DetectedRun().put(place)
    converted(place, "csv", tmp_path / "csv")
    own = [line for line in lines_of(tmp_path / "csv") if line["filename"] == "a.jpg"]
    detections = supervision.Detections(
        xyxy=np.array([[float(line[key]) for key in BOX_COLUMNS[:4]] for line in own]),
        confidence=np.array([float(line["confidence"]) for line in own]),
        class_id=np.array([int(line["class_id"]) for line in own]),
        data={"label": np.array([line["label"] for line in own])},
    )
    # The library's own sink writes the same numbers under the same names.
    with supervision.CSVSink(str(tmp_path / "sink.csv")) as sink:
        sink.append(detections, {})
    with (tmp_path / "sink.csv").open(newline="") as file:
        for theirs, ours in zip(csv.DictReader(file), own, strict=True):
            assert theirs["label"] == ours["label"]
            for key in BOX_COLUMNS[:6]:
                assert float(theirs[key]) == float(ours[key])


HOSTILE = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", 'say "hi", you', "two\nlines", "plain", "", None]


@pytest.mark.parametrize("escape", [True, False])
def test_text_does_not_become_a_formula(escape: bool, tmp_path: Path) -> None:  # noqa: FBT001
    place = local_place(tmp_path / "out")
    run = PublishedRun(names=[[f"i{number}" for number in range(len(HOSTILE))]], bad=(), cut=[])
    for name in run.of("rows"):
        table = run.table(name)
        column = table.schema.get_field_index("label")
        run.rewrite(name, table.set_column(column, "label", pa.array(HOSTILE, pa.string())))
    run.put(place)
    printed = converted(place, "csv", tmp_path / "csv", escape_formulas=escape)
    labels = [line["label"] for line in lines_of(tmp_path / "csv")]
    plain = ["" if label is None else label for label in HOSTILE]
    assert labels == ([f"'{label}" for label in plain[:5]] + plain[5:] if escape else plain)
    said = "5 cells begin like a formula and got an apostrophe"
    assert (said in printed) is escape


def test_class_maps_become_files(tmp_path: Path) -> None:
    place = local_place(tmp_path / "out")
    run = SegmentedRun()
    run.put(place)
    converted(place, "csv", tmp_path / "csv")
    lines = lines_of(tmp_path / "csv")
    assert [line["mask_file"] for line in lines][:2] == ["masks/a.png", "masks/c.png"]
    masks = [mask for name in run.of("rows") for mask in run.table(name)["mask"].to_pylist()]
    assert [(tmp_path / "csv" / line["mask_file"]).read_bytes() for line in lines] == masks
    assert lines[0]["classes"] == '[{"label_id":0,"label":"label 0","pixels":24}]'


def test_embeddings_are_refused_with_a_fix(tmp_path: Path) -> None:
    place = local_place(tmp_path / "out")
    EmbeddedRun().put(place)
    with pytest.raises(JobError, match="to=csv: column embedding has 128 numbers an image") as caught:
        converted(place, "csv", tmp_path / "csv")
    assert "to=hf" in caught.value.fix
    assert not (tmp_path / "csv").exists()


def test_short_lists_become_columns_and_bytes_are_left_out(tmp_path: Path) -> None:
    place = local_place(tmp_path / "out")
    run = PublishedRun(names=[["a", "b"]], bad=(), cut=[])
    for name in run.of("rows"):
        table = run.table(name).append_column("point", pa.array([[1.5, 2], None], pa.list_(pa.float32(), 2)))
        tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(8, dtype=np.float32).reshape(2, 2, 2))
        table = table.append_column("grid", tensors)
        table = table.append_column("raw", pa.array([b"x", b"y"]))
        run.rewrite(name, table.append_column("half", pa.array(np.array([0.5, 2], np.float16))))
    run.put(place)
    converted(place, "csv", tmp_path / "csv")
    assert [[line[key] for key in ("point_0", "point_1", "half", "grid_3")] for line in lines_of(tmp_path / "csv")] == [
        ["1.5", "2", "0.5", "3"],
        ["", "", "2", "7"],
    ]
    assert record(tmp_path / "csv")["counts"]["num_written"] == 2
