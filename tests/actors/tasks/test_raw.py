from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.tasks.base import Outputs
from actors.tasks.raw import Raw

RNG = np.random.default_rng(3)
TENSORS = {
    "score": RNG.normal(size=5).astype(np.float32),
    "logits": RNG.normal(size=(5, 7)).astype(np.float32),
    "map": RNG.normal(size=(5, 2, 3, 4)).astype(np.float32),
    "count": RNG.integers(0, 9, (5, 2)),
}


def test_every_output_comes_back_from_parquet_as_it_is(tmp_path: Path) -> None:
    columns, valid = Raw().columns(TENSORS, None)
    table = pa.Table.from_arrays(columns, schema=pa.schema(Raw().fields(Outputs.of(TENSORS), None)))
    pq.write_table(table, tmp_path / "raw.parquet")
    back = pq.read_table(tmp_path / "raw.parquet")
    np.testing.assert_array_equal(back["score"].to_numpy(), TENSORS["score"])
    np.testing.assert_array_equal(np.stack(back["logits"].to_pylist()), TENSORS["logits"])
    np.testing.assert_array_equal(back["map"].combine_chunks().to_numpy_ndarray(), TENSORS["map"])
    np.testing.assert_array_equal(np.stack(back["count"].to_pylist()), TENSORS["count"])
    assert valid.all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_kept(value: float) -> None:
    (column,), valid = Raw().columns({"x": np.array([value], np.float32)}, None)
    np.testing.assert_array_equal(column.to_numpy(), [value])
    assert valid.all()
