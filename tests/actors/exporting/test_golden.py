from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from actors.exporting.golden import INPUTS, NUM_GOLDEN, Golden, choose_golden, read_golden, write_golden
from actors.storage.store import Storage


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    outputs = {"scores": np.arange(6, dtype=np.float32).reshape(2, 3), "ids": np.arange(2), "maps": np.ones((2, 2, 2))}
    write_golden(tmp_path, Golden([b"one", b"two"], ["a.jpg", "b.jpg"], outputs))
    found = read_golden(str(tmp_path), Storage())
    assert (found.images, found.names) == ([b"one", b"two"], ["a.jpg", "b.jpg"])
    assert list(found.outputs) == list(outputs)
    for name, values in outputs.items():
        np.testing.assert_array_equal(found.outputs[name], values)
        assert found.outputs[name].dtype == values.dtype


def test_images_are_a_column_that_hugging_face_shows_as_pictures(tmp_path: Path) -> None:
    write_golden(tmp_path, Golden([b"x"], ["a.jpg"], {"y": np.zeros((1, 1))}))
    assert pq.read_table(tmp_path / INPUTS)["image"].to_pylist() == [{"bytes": b"x", "path": "a.jpg"}]


def test_small_images_are_chosen_and_the_smallest_where_all_are_large() -> None:
    assert choose_golden([10, 2 << 20, 20]) == [0, 2]
    assert choose_golden([3 << 20, 2 << 20]) == [1]
    assert choose_golden([1] * 100) == list(range(NUM_GOLDEN))
    assert choose_golden([1] * 100, [99, 50]) == [*range(NUM_GOLDEN - 2), 50, 99]
    assert 8 <= NUM_GOLDEN <= 32
