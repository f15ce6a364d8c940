"""Fixtures of the reader tests."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from fetched import QUICK, list_into, plain

from actors.columns import URI
from actors.reading.fetcher import Fetcher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jobs.datasets.base import Dataset


@pytest.fixture
def fetch(tmp_path: Path) -> Iterator[Any]:
    """Yields a function that lists and fetches a dataset, and returns images or errors by URI, and the batch sizes."""

    def run(dataset: Dataset, *, batch_size: int = 7, **limits: Any) -> tuple[dict[str, Any], list[int]]:
        shards = list_into(tmp_path / "inventory", dataset)
        fetcher = Fetcher(shards.without_sizes(), dataset.image_storage.with_retry(QUICK), **limits)
        found: dict[str, Any] = {}
        sizes = []
        for shard in range(shards.num_shards):
            for rows, images in fetcher.batches(shards.load(shard), batch_size):
                assert len(rows) == len(images)
                sizes.append(len(rows))
                found.update(zip(rows[URI].to_pylist(), map(plain, images), strict=True))
        return found, sizes

    before = threading.enumerate()  # includes threads of other tests
    yield run
    left = [thread.name for thread in threading.enumerate() if thread not in before]
    assert not [name for name in left if "ThreadPool" in name]
