from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, TensorDataset

from actors.errors import ImageError
from actors.reading.given_images import batches_of, number_of, read_all
from actors.storage.store import Storage


class Endless(Dataset[tuple[bytes, int]]):
    """A map-style dataset without an IndexError at its end, as PyTorch allows."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, number: int) -> tuple[bytes, int]:
        return bytes([number]), 7


def test_no_image_is_drawn_before_its_batch() -> None:
    drawn = []

    def images() -> Iterator[bytes]:
        for number in range(5):
            drawn.append(number)
            yield bytes([number])

    batches = batches_of(images(), 2)
    assert drawn == []
    assert next(batches) == [b"\0", b"\1"]
    assert drawn == [0, 1]
    assert list(batches) == [[b"\2", b"\3"], [b"\4"]]
    assert number_of(images()) is None


def test_datasets_of_pytorch_give_the_first_of_each_item() -> None:
    assert list(batches_of(Endless(), 2)) == [[b"\0", b"\1"], [b"\2"]]
    assert number_of(Endless()) == 3
    (batch,) = batches_of(TensorDataset(torch.arange(2)), 8)
    assert [int(item) for item in batch] == [0, 1]


def test_files_of_a_folder_bytes_arrays_and_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"encoded")
    (entry,) = os.scandir(tmp_path)
    array = np.zeros((2, 3, 3), np.uint8)
    grey, deep = Image.new("L", (3, 2), 9), Image.new("I;16", (3, 2))
    paths, images = read_all([entry, tmp_path / "a.png", b"x", array, grey, deep], Storage(), max_bytes=None)
    assert paths == [str(tmp_path / "a.png")] * 2 + [None] * 4
    assert images[:3] == [b"encoded", b"encoded", b"x"]
    assert images[3] is array
    np.testing.assert_array_equal(images[4], array + 9)
    assert isinstance(images[5], ImageError)
    with pytest.raises(TypeError, match="not an image: 3"):
        read_all([3], Storage(), max_bytes=None)  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"give \['photo.jpg'\]"):
        next(batches_of("photo.jpg", 1))
