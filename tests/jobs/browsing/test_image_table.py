from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from browsed import browsed_run
from detected import DetectedRun
from finished import add_photos
from pictured import opened_over, publish_all
from places import local_place

from actors.errors import JobError
from actors.outputs import PublishedRun, open_output
from jobs.browsing.image_table import ImageTable, image_table
from jobs.browsing.query import Query, QueryError
from jobs.datasets.images import ImagesDataset
from jobs.pages.picked_rows import read_rows

CONFIG = "dataset: {kind: images, path: /data}\nmodel: {architecture: 'a:b', labels: null}\ntask: {name: detect}\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> PublishedRun:
    return browsed_run(tmp_path_factory.mktemp("browsed"))


@pytest.fixture(scope="module")
def table(run: PublishedRun) -> Iterator[ImageTable]:
    with image_table(run, 128 << 20) as found:
        yield found


def test_a_run_without_errors_has_a_table(tmp_path: Path) -> None:
    add_photos(tmp_path / "data", range(3))
    run = opened_over(ImagesDataset(path=str(tmp_path / "data")), tmp_path / "out")
    published = publish_all(run)
    assert len(published.errors) == 1  # a file without rows
    with image_table(published, 128 << 20) as table:
        assert (table.num_images, len(names(table, Query())), table.failures) == (3, 3, [])


def names(table: ImageTable, query: Query) -> list[str]:
    place = [column.name for column in table.columns].index("image_id")
    return [str(image.values[place]) for image in table.page(query).images]


@pytest.fixture(scope="module")
def rows(run: PublishedRun) -> list[dict]:  # type: ignore[type-arg]
    return pa.concat_tables(run.read()).to_pylist()  # type: ignore[no-any-return]


def test_filters_and_orders_are_those_of_the_rows(table: ImageTable, rows: list[dict]) -> None:  # type: ignore[type-arg]
    by_score = sorted(rows, key=lambda row: -row["score"])
    half = by_score[20]["score"]
    wanted = [row["image_id"] for row in by_score if row["label"] == "cat" and row["score"] >= half]
    query = Query(label="cat", score_min=half, sort="score", order="down", size=100)
    assert names(table, query) == wanted
    assert wanted
    assert sorted(names(table, Query(outcome="ok", size=100))) == sorted(row["image_id"] for row in rows)
    assert names(table, Query(score_max=half, sort="score", size=25)) == [
        row["image_id"] for row in by_score[:19:-1]
    ][:25]  # fmt: skip
    assert {name for name, _ in table.labels} == {row["label"] for row in rows}


def test_errors_are_found_by_kind_and_text_in_any_case(table: ImageTable) -> None:
    found = table.page(Query(error="decode/truncated"))
    assert [(image.failure, image.message) for image in found.images] == [("decode/truncated", "cut off")] * 2
    assert table.failures == [("decode/truncated", 2)]
    assert [Path(name).name for name in names(table, Query(text="JUNK-B", outcome="failed"))] == ["junk-bad.jpg"]
    assert table.page(Query(error="decode/truncated", outcome="ok")).number == 0
    last = names(table, Query(sort="score", order="down", page=2, size=25))[-2:]
    assert {Path(name).name for name in last} == {"junk-bad.jpg", "007.jpg"}


def test_an_image_is_found_by_its_place_in_the_inventory(table: ImageTable, run: PublishedRun) -> None:
    for image in table.page(Query(size=100)).images:
        found = table.image(image.identity)
        assert found is not None
        assert found[0] == image
        (row,) = read_rows(found[1][0], [found[1][1]], run.storage)
        assert row["image_id"] in image.values
        assert ("message" in row) == bool(image.failure)
    assert table.image((0, 10**6)) is None


def test_detections_are_filtered_by_their_best_label(tmp_path: Path) -> None:
    made = DetectedRun(bad=())
    made.files["runs/r1/config.yaml"] = CONFIG.encode()
    made.put(local_place(tmp_path))
    with image_table(open_output(str(tmp_path)).run("r1"), 128 << 20) as table:
        label = table.labels[0][0]
        assert (table.label, table.score) == ("best label", "best score")
        assert table.page(Query(label=label)).number == table.labels[0][1] > 0
        assert sum(number for _, number in table.labels) == 7  # `e` has no boxes
        assert names(table, Query(sort="best score"))[-1] == "/data/e.jpg"


def test_a_filter_on_a_column_that_the_run_lacks_is_refused(tmp_path: Path) -> None:
    with ImageTable(str(tmp_path), 128 << 20, []) as table, pytest.raises(QueryError, match="no labels or scores"):
        table.page(Query(label="cat"))


def test_a_part_without_a_receipt_is_refused(tmp_path: Path) -> None:
    made = DetectedRun(bad=())
    made.files["runs/r1/config.yaml"] = CONFIG.encode()
    name = next(iter(made.of("rows")))
    made.rewrite(name, made.table(name), footer={"other": "1"})
    made.put(local_place(tmp_path))
    with pytest.raises(JobError, match="has no receipt"), image_table(open_output(str(tmp_path)).run("r1"), 128 << 20):
        pass
