from __future__ import annotations

from collections import Counter

import pytest
from listings import entries_of

from actors.columns import TARGET
from actors.errors import JobError
from actors.fetch import Fetcher
from actors.shards import Layout
from jobs.datasets.sample import SampleDataset
from jobs.inventory import write_inventory


def test_the_digits_of_the_package() -> None:
    dataset = SampleDataset()
    dataset.check()
    entries = entries_of(dataset)
    assert len(entries) == 1797
    splits = Counter(zip(entries["split"].to_pylist(), (t is None for t in entries[TARGET].to_pylist()), strict=True))
    assert set(splits) == {("train", True), ("test", False)}
    test_rows = [row for row in entries.to_pylist() if row["split"] == "test"]
    assert all(row[TARGET] == row["digit"] for row in test_rows)
    assert dataset.kept_columns() == ["digit", "split"]


def test_each_digit_is_a_png(tmp_path) -> None:  # noqa: ANN001
    dataset = SampleDataset(limit=20, keep_columns=[])
    shards = write_inventory(
        dataset.entries(),
        storage=dataset.storage,
        folder=str(tmp_path),
        shard_size=20,
        layout=dataset.layout,
        image_column=dataset.image_column,
    )
    assert shards.layout is Layout.ROWS
    batches = Fetcher(shards, dataset.storage).batches(shards.load(0), 20)
    assert all(image.startswith(b"\x89PNG") for _, images in batches for image in images)


def test_another_file_of_digits() -> None:
    with pytest.raises(JobError, match=r"dataset\.path=/nowhere"):
        SampleDataset(path="/nowhere").check()
