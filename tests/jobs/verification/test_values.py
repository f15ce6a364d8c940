from __future__ import annotations

import pyarrow as pa
import pytest
from published import PublishedRun

from jobs.verification.values import wrong_values

ROWS = PublishedRun().predicted([(0, row) for row in range(4)])


def wrong(results: pa.Table, *, are_ratios: bool = True) -> dict[str, list[int]]:
    found = {what: mask.nonzero()[0].tolist() for what, mask in wrong_values(results, are_ratios=are_ratios)}
    return {what: rows for what, rows in found.items() if rows}


def test_scores_as_a_job_gives_them() -> None:
    assert wrong(ROWS) == {}
    assert wrong(ROWS.slice(0, 0)) == {}


def test_logits_may_be_of_any_size() -> None:
    scores = pa.array([-3.0, 7.5, 0.5, 0.5], pa.float32())
    tops = pa.array([[score, -9.0] for score in scores.to_pylist()], pa.list_(pa.float32()))
    columns = (
        ROWS.drop_columns(["score", "top_scores"]).append_column("score", scores).append_column("top_scores", tops)
    )
    assert wrong(columns, are_ratios=False) == {}
    assert wrong(columns) == {"score is not between 0 and 1": [0, 1]}


@pytest.mark.parametrize("size", [1, 3])
def test_an_embedding_is_null_or_finite(size: int) -> None:
    vectors = [[0.5] * size, None, [*[0.5] * (size - 1), float("inf")], [float("nan"), *[0.5] * (size - 1)]]
    for kind in (pa.float16(), pa.float32()):
        column = pa.array(vectors, pa.list_(pa.float32(), size)).cast(pa.list_(kind, size))
        for name in ("embedding", "embedding_pooled"):
            assert wrong(pa.table({name: column})) == {f"{name} is not finite": [2, 3]}


def test_what_other_tasks_give_is_free() -> None:
    assert wrong(pa.table({"score": [7.5, None], "output": [float("nan"), 1.0]})) == {}
