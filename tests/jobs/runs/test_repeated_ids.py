from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from actors.columns import IMAGE_ID, URI
from actors.reading.shards import Layout, Shards
from actors.storage.store import Storage
from jobs.datasets.kept_columns import entry_schema, entry_table
from jobs.runs.inventory import write_inventory
from jobs.runs.repeated_ids import RepeatedIds

SCHEMA = entry_schema(has_target=False)


def entries(ids: list[str], size: int = 3) -> Iterator[pa.Table]:
    for start in range(0, len(ids), size):
        part = ids[start : start + size]
        uris = pa.array([f"{start + row}.jpg" for row in range(len(part))], pa.string())
        yield entry_table({URI: uris, IMAGE_ID: pa.array(part, pa.string())}, SCHEMA)


def listed(folder: Path, ids: list[str], watching: RepeatedIds) -> Shards:
    tables = watching.watch(entries(ids))
    return write_inventory(
        tables, storage=Storage(), folder=str(folder), shard_size=2, layout=Layout.FILES, image_column=None
    )


def test_ids_that_differ_by_the_user_of_a_url_are_one_in_the_rows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "shardlens"), RepeatedIds() as watching:
        ids = ["https://a:SECRET@host/x?key=SECRET", "https://b:SECRET@host/x?key=SECRET", "https://host/y"]
        assert watching.log_count(listed(tmp_path, ids, watching)) == 1
    assert "such as 'https://…@host/x?…" in caplog.text
    assert "SECRET" not in caplog.text


def test_each_image_beyond_the_first_of_an_id_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "shardlens"), RepeatedIds() as watching:
        shards = listed(tmp_path, ["a", "b", "c", "b", "日本", "d", "b", "日本", "e"], watching)
        assert watching.log_count(shards) == 3
    assert shards.num_rows == 9
    assert "images with a duplicate image_id: 3, such as 'b', '日本'" in caplog.text


def test_different_ids_are_told_of_by_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with RepeatedIds() as watching:
        assert watching.log_count(listed(tmp_path, ["1", "01", "1.0", "1 ", "", "A", "a"], watching)) == 0
    assert not caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("num_rows", [4, 300_000])
def test_more_images_than_are_checked(num_rows: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "shardlens"), RepeatedIds(max_rows=3) as watching:
        assert sum(map(len, watching.watch(entries(["a"] * num_rows, size=2)))) == num_rows
    assert caplog.text.count("more than 3 images: skipping the check for duplicate image_ids") == 1


def test_a_temporary_folder_that_cannot_be_written_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/dev/null/nowhere")
    with caplog.at_level(logging.WARNING, "shardlens"), RepeatedIds() as watching:
        assert sum(map(len, watching.watch(entries(["a", "a"])))) == 2
    assert "skipping the check for duplicate image_ids" in caplog.text
