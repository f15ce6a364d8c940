from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
from detected import DetectedRun, EmbeddedRun, boxes_of

from jobs.browsing.columns import shown_columns


def shown(table: pa.Table) -> dict[str, list[object]]:
    return {column.name: column.values(table).to_pylist() for column in shown_columns(table.schema)}


def test_every_column_is_one_short_value_or_left_out() -> None:
    table = pa.table(
        {
            "image_id": ["x" * 900, None],
            "text": ["y" * 900, None],
            "large": pa.array(["a", None], pa.large_string()),
            "chosen": pa.array(["a", None]).dictionary_encode(),
            "whole": pa.array([2**64 - 1, None], pa.uint64()),
            "half": pa.array([np.float16(0.5), None], pa.float16()),
            "flag": [True, None],
            "day": [dt.date(2026, 1, 2), None],
            "price": [Decimal("1.50"), None],
            "names": [["cat", "dog"], None],
            "vector": pa.array([[1.0, 2.0, 3.0], None], pa.list_(pa.float32(), 3)),
            "bytes": [b"png", None],
            "nested": [{"a": 1}, None],
            "pairs": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int32())),
        }
    )
    assert shown(table) == {
        "image_id": ["x" * 900, None],
        "text": ["y" * 500, None],
        "large": ["a", None],
        "chosen": ["a", None],
        "whole": [2**64 - 1, None],
        "half": [0.5, None],
        "flag": [True, None],
        "day": ["2026-01-02", None],
        "price": ["1.50", None],
        "names": ["cat, dog", None],
        "vector": [3, None],
    }


def test_detections_have_their_best_label_and_score() -> None:
    table = DetectedRun().predicted([(0, 0), (0, 4), (0, 2)]).slice(0)
    best = [boxes_of("a")[0], None, boxes_of("c")[0]]
    for rows in (table, pa.concat_tables([table.slice(1, 1), table.slice(2)])):
        found = shown(rows)
        wanted = best[-len(rows) :]
        assert found["best label"] == [box and box["label"] for box in wanted]
        assert found["detections"] == [3 if box else 0 for box in wanted]
        assert [score and round(score, 3) for score in found["best score"]] == [0.9 if box else None for box in wanted]


def test_an_embedding_is_its_length() -> None:
    assert shown(EmbeddedRun().predicted([(0, 0)]))["embedding"] == [128]
