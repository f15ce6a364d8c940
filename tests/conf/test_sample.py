from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from listings import entries_of

from actors.columns import TARGET
from actors.errors import JobError
from actors.reading.fetcher import Fetcher
from actors.reading.shards import Layout
from jobs.config import to_job
from jobs.datasets.parquet import ParquetDataset
from jobs.runs.inventory import write_inventory
from jobs.schemas import compose_verb


@pytest.fixture
def dataset() -> ParquetDataset:
    """The dataset that ``+dataset=sample`` selects."""
    chosen = to_job(compose_verb("batch_infer", ["+dataset=sample"])).dataset
    assert isinstance(chosen, ParquetDataset)
    return chosen


def test_the_digits_of_the_package(dataset: ParquetDataset) -> None:
    dataset.check()
    entries = entries_of(dataset)
    assert len(entries) == 1797
    splits = Counter(zip(entries["split"].to_pylist(), (t is None for t in entries[TARGET].to_pylist()), strict=True))
    assert set(splits) == {("train", True), ("test", False)}
    test_rows = [row for row in entries.to_pylist() if row["split"] == "test"]
    assert all(row[TARGET] == row["digit"] for row in test_rows)
    assert dataset.kept_columns() == ["digit", "split"]


def test_each_digit_is_a_png(dataset: ParquetDataset, tmp_path: Path) -> None:
    dataset = replace(dataset, limit=20, keep_columns=[])
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


def test_another_file_of_digits(dataset: ParquetDataset) -> None:
    with pytest.raises(JobError, match=r"dataset\.path=/nowhere"):
        replace(dataset, path="/nowhere").check()
