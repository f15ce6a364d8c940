from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from fetched import image, list_into, put_parquet
from places import local_place
from tars import tar_of

from actors.reading.fetcher import Fetcher
from actors.reading.layouts import READERS
from actors.reading.shards import Layout
from actors.storage.store import Storage
from jobs.datasets.base import Dataset
from jobs.datasets.images import ImagesDataset
from jobs.datasets.parquet import ParquetDataset
from jobs.datasets.webdataset import WebDataset

NUM_IMAGES = 5
DATASETS: dict[Layout, type[Dataset]] = {
    Layout.FILES: ImagesDataset,
    Layout.RANGES: WebDataset,
    Layout.ROWS: ParquetDataset,
}


def put_dataset(layout: Layout, folder: Path) -> Dataset:
    place = local_place(folder / "data")
    images = {f"{number}.jpg": image(number + 1) for number in range(NUM_IMAGES)}
    if layout is Layout.RANGES:
        place.put("x.tar", tar_of(images))
    elif layout is Layout.ROWS:
        put_parquet(place, "x.parquet", pa.array(list(images.values())))
    else:
        for name, data in images.items():
            place.put(name, data)
    return DATASETS[layout](path=place.root)


def test_every_layout_has_its_reader() -> None:
    assert READERS.keys() == DATASETS.keys() == set(Layout)


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("max_bytes", [None, 3 * len(image(1))])
def test_the_contract_of_a_reader(layout: Layout, max_bytes: int | None, tmp_path: Path) -> None:
    shards = list_into(tmp_path / "inventory", put_dataset(layout, tmp_path))
    rows = shards.load(0)
    ((slice_of_rows, images),) = Fetcher(shards, Storage(), max_bytes=max_bytes).batches(rows, 100)
    assert slice_of_rows == rows
    whole = [image(number + 1) for number in range(NUM_IMAGES)]
    expected = [data if max_bytes is None or len(data) <= max_bytes else "too_large" for data in whole]
    assert [found if isinstance(found, bytes) else found.kind for found in images] == expected
