from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.utils.data import DataLoader

from actors.outputs.row_dataset import RowDataset

VECTORS = np.arange(20, dtype=np.float32).reshape(5, 4)
ROWS = pa.table(
    {
        "image_id": [f"{number}.jpg" for number in range(5)],
        "score": pa.array([0.5] * 5, pa.float32()),
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(VECTORS.ravel()), 4),
    }
)


def test_a_loader_takes_it_as_it_is() -> None:
    batches = list(DataLoader(RowDataset(ROWS), batch_size=2))  # type: ignore[arg-type]
    assert [len(batch["image_id"]) for batch in batches] == [2, 2, 1]
    assert torch.equal(torch.cat([batch["embedding"] for batch in batches]), torch.from_numpy(VECTORS))


def test_rows_are_found_from_both_ends() -> None:
    dataset = RowDataset(ROWS)
    assert dataset[-1]["image_id"] == "4.jpg"
    assert len(list(dataset)) == len(dataset) == 5  # type: ignore[call-overload]
    with pytest.raises(IndexError):
        dataset[5]


def test_what_is_no_vector_stays_a_value() -> None:
    boxes = pa.table({"boxes": [[{"x": 1.0}], []], "vector": pa.array([[1, 2], None], pa.list_(pa.int64()))})
    first, second = RowDataset(boxes)  # type: ignore[misc]
    assert (first["boxes"], second["boxes"], second["vector"]) == ([{"x": 1.0}], [], None)
    assert first["vector"].dtype == np.int64
