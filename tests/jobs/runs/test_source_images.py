from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from photos import jpeg
from pictured import opened_over, publish_all
from tars import tar_of

from actors.errors import ImageError
from jobs.datasets.base import Dataset
from jobs.datasets.images import ImagesDataset
from jobs.datasets.parquet import ParquetDataset
from jobs.datasets.webdataset import WebDataset
from jobs.runs.source_images import source_images

FILES = {f"{number}.jpg": jpeg(number, width=20, height=20) for number in range(5)}


def files(folder: Path) -> Dataset:
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    return ImagesDataset(path=str(folder))


def tar(folder: Path) -> Dataset:
    (folder / "a.tar").write_bytes(tar_of(FILES))
    return WebDataset(path=str(folder / "a.tar"))


def parquet(folder: Path) -> Dataset:
    table = pa.table({"id": [*FILES], "image": [*FILES.values()]})
    pq.write_table(table, folder / "a.parquet", row_group_size=2)
    return ParquetDataset(path=str(folder / "a.parquet"), image_column="image", id_column="id")


@pytest.mark.parametrize("make", [files, tar, parquet])
def test_images_of_every_layout_are_read_again_by_their_place(make: Callable[[Path], Dataset], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    run = publish_all(opened_over(make(tmp_path / "data"), tmp_path / "out"))
    found = {one: image for images in source_images(run).read([(2, 0), (0, 1)], 1) for one, image in images.items()}
    assert found == {(0, 1): FILES["1.jpg"], (2, 0): FILES["4.jpg"]}


def test_an_image_that_changed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    run = publish_all(opened_over(files(tmp_path / "data"), tmp_path / "out"))
    (tmp_path / "data/0.jpg").write_bytes(FILES["3.jpg"] + b"more")
    (images,) = source_images(run).read([(0, 0), (0, 1)], 8)
    assert isinstance(images[0, 0], ImageError)
    assert images[0, 1] == FILES["1.jpg"]
