from __future__ import annotations

import pyarrow as pa

from actors.tasks.score_counts import OUTSIDE, count_scores


def test_scores_are_counted_by_tenth() -> None:
    scores = pa.chunked_array([[0.0, 0.05, 0.3, 0.7], [0.95, 1.0, None]], pa.float32())
    expected = {"0.00": 2, "0.30": 1, "0.70": 1, "0.90": 2}
    assert count_scores(scores) == {f"score_histogram/{tenth}": number for tenth, number in expected.items()}


def test_what_is_no_probability_counts_apart() -> None:
    scores = pa.chunked_array([[-1.0, 12.0, 0.5, float("nan")]], pa.float32())
    assert count_scores(scores) == {"score_histogram/0.50": 1, OUTSIDE: 2}
    assert count_scores(pa.chunked_array([], pa.float32())) == {}
