from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from finished import STORAGE
from pictured import opened_over, predicted, publish_all, published, write

from actors.columns import URI
from actors.outputs import PublishedRun
from actors.writing.picks import PICKS_KEY
from actors.writing.receipts import FOOTER_KEY
from jobs.datasets.images import ImagesDataset
from jobs.pages.picked_rows import Chosen, Reference, choose_rows, within

NUM_IMAGES = 120
CUTS = [[], [1, 60, 61, 100], list(range(7, NUM_IMAGES, 7))]


@pytest.fixture
def dataset(tmp_path: Path) -> ImagesDataset:
    for label in ("cat", "dog", "wolf"):
        (tmp_path / "data" / label).mkdir(parents=True)
    for number in range(NUM_IMAGES):
        (tmp_path / "data" / ("cat", "dog", "wolf")[number % 3] / f"{number}.jpg").write_bytes(b"not read here")
    return ImagesDataset(path=str(tmp_path / "data"), folder_labels=True)


def chosen(run: PublishedRun, limit: int = 400) -> Chosen:
    return choose_rows([*run.rows, *run.errors], STORAGE, limit, lambda: False)


@pytest.mark.parametrize("limit", [400, 30])
def test_the_rows_do_not_depend_on_parts(dataset: ImagesDataset, tmp_path: Path, limit: int) -> None:
    results = []
    for number, cuts in enumerate(CUTS):
        run = opened_over(dataset, tmp_path / f"out{number}")
        results.append(chosen(publish_all(run, bad=["7.jpg"], cuts=cuts), limit))
    assert results[0] == results[1] == results[2]
    assert list(results[0].rows) == list(results[2].rows)
    assert len(results[0].rows) == min(limit, len(results[0].rows))


def test_groups_hold_the_published_rows_that_belong_to_them(dataset: ImagesDataset, tmp_path: Path) -> None:
    run = opened_over(dataset, tmp_path / "out")
    found = chosen(publish_all(run, bad=["7.jpg"], cuts=CUTS[1]))
    listed = {
        (shard, row): uri
        for shard in range(run.shards.num_shards)
        for row, uri in enumerate(run.shards.load(shard)[URI].to_pylist())
    }
    assert all(row["uri"] == listed[identity] for identity, row in found.rows.items())
    rows = predicted(run, bad=["7.jpg"])
    best = sorted((one for one in rows["score"].to_pylist() if one is not None), reverse=True)[:16]
    assert [found.rows[one]["score"] for one in found.groups["most_confident"]] == pytest.approx(best, abs=1e-6)
    assert {found.rows[one]["label"] for one in found.groups["class/1"]} == {"dog"}
    cell = [found.rows[one] for one in found.groups["cell/0/2"]]
    assert {(row["target"], row["label"]) for row in cell} == {("cat", "fox")}
    assert {found.rows[one]["target"] for one in found.groups["cell/-1/2"]} == {"wolf"}
    assert all(found.rows[one]["target"] != found.rows[one]["label"] for one in found.groups["mistakes"])
    assert len(found.groups["error/decode/truncated"]) == 4
    assert found.rows[found.groups["error/decode/truncated"][0]]["message"] == "cut off"


def test_a_killed_and_resumed_run_has_the_same_rows(dataset: ImagesDataset, tmp_path: Path) -> None:
    whole = chosen(publish_all(opened_over(dataset, tmp_path / "whole")))
    run = opened_over(dataset, tmp_path / "killed", id="r")
    rows = predicted(run)
    write(run, rows.slice(0, 50))
    # Two attempts at the same work; the commit keeps one.
    write(run, rows.slice(20, 20), number=1)
    resumed = opened_over(dataset, tmp_path / "killed", id="r")
    assert resumed.collect().coverage.num_missing == 70
    for number, start in enumerate(range(50, NUM_IMAGES, 10)):
        write(resumed, rows.slice(start, 10), number=10 + number)
    assert chosen(published(resumed)) == whole


def test_parts_of_earlier_versions_and_damaged_ones_are_left_out(
    dataset: ImagesDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = publish_all(opened_over(dataset, tmp_path / "out"), cuts=[40, 80])
    earlier, strange, whole = sorted(run.rows)
    for part, picks in ((earlier, None), (strange, b'{"class/0": [[0.0, 1, 40]]}')):
        table = pq.read_table(part, partitioning=None)
        footer = {FOOTER_KEY: pq.read_metadata(part).metadata[FOOTER_KEY]} | ({PICKS_KEY: picks} if picks else {})
        pq.write_table(table.replace_schema_metadata(footer), part)
    caplog.clear()
    found = chosen(run)
    assert len(found.rows) > 30
    assert {row["image_id"] for row in found.rows.values()} <= set(pq.ParquetFile(whole).read()["image_id"].to_pylist())
    assert [strange in message and "not picks" in message for message in caplog.messages] == [True]
    os.truncate(whole, 100)
    assert chosen(run) == Chosen({}, {})


def test_rows_are_read_from_their_row_groups_without_large_columns(tmp_path: Path, dataset: ImagesDataset) -> None:
    run = publish_all(opened_over(dataset, tmp_path / "out"))
    (part,) = run.rows
    table, footer = pq.read_table(part, partitioning=None), pq.read_metadata(part).metadata
    vectors = pa.array(np.random.default_rng(0).random((NUM_IMAGES, 1000)).tolist(), pa.list_(pa.float64()))
    with_vectors = table.append_column("embedding", vectors).append_column("mask", pa.array([b"x" * 9000] * NUM_IMAGES))
    before = chosen(run)
    wanted = {key: footer[key] for key in (FOOTER_KEY, PICKS_KEY)}
    pq.write_table(with_vectors.replace_schema_metadata(wanted), part, row_group_size=17)
    found = chosen(run)
    assert {one: {**row, "mask": b"x" * 9000} for one, row in before.rows.items()} == found.rows


def test_nothing_is_read_once_the_time_is_up(dataset: ImagesDataset, tmp_path: Path) -> None:
    run = publish_all(opened_over(dataset, tmp_path / "out"))
    assert choose_rows(run.rows, STORAGE, 400, lambda: True) == Chosen({}, {})


def test_extremes_and_errors_come_before_many_classes() -> None:
    def references(name: str, number: int) -> list[Reference]:
        return [Reference(0.0, place, (0, 0), (name, place)) for place in range(number)]

    sizes = {
        "mistakes": 16,
        "error/a/b": 4,
        **{f"class/{n}": 8 for n in range(40)},
        **{f"cell/{n}/0": 3 for n in range(9)},
    }
    kept = [name.partition("/")[0] for name, _ in within({n: references(n, size) for n, size in sizes.items()}, 100)]
    assert len(kept) == 100
    assert {name: kept.count(name) for name in set(kept)} == {"mistakes": 16, "error": 4, "class": 71, "cell": 9}
