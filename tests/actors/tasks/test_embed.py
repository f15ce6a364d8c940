from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from actors.errors import JobError
from actors.tasks.base import Outputs
from actors.tasks.embed import Embed, EmbeddingType

VECTORS = np.random.default_rng(2).normal(size=(4, 8)).astype(np.float32)


def embed(task: Embed, vectors: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    (field,) = task.fields(Outputs.of({"output": vectors}), None)
    (column,), valid = task.columns({"output": vectors}, None)
    assert column.type == field.type
    return column, valid


def test_vectors_are_kept_to_the_last_bit() -> None:
    column, valid = embed(Embed(), VECTORS)
    assert column.type == pa.list_(pa.float32(), 8)
    np.testing.assert_array_equal(np.stack(column.to_pylist()), VECTORS)
    assert valid.all()


def test_float16_and_unit_length() -> None:
    column, _ = embed(Embed(dtype=EmbeddingType.float16, normalize=True), VECTORS)
    assert column.type == pa.list_(pa.float16(), 8)
    lengths = np.linalg.norm(np.stack(column.to_pylist()).astype(np.float32), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=2e-3)


def test_zeros_have_no_direction() -> None:
    column, valid = embed(Embed(normalize=True), np.zeros((1, 3), np.float32))
    assert column.to_pylist() == [[0, 0, 0]]
    assert valid.all()


def test_what_float16_cannot_hold_is_not_valid() -> None:
    _, valid = embed(Embed(dtype=EmbeddingType.float16), np.array([[1.0, 1e6], [1.0, 2.0]], np.float32))
    assert valid.tolist() == [False, True]


def test_a_map_is_no_embedding() -> None:
    with pytest.raises(JobError, match="task=embed"):
        Embed().fields(Outputs.of({"output": np.zeros((1, 3, 2, 2))}), None)
