"""Histograms of the scores or values of two runs over the same buckets, and their distance. Runs on the driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.comparison.outcomes import Outcomes


@dataclass(frozen=True)
class Distribution:
    """Finite values of both runs, for images with an answer in both."""

    name: str
    low: float
    high: float
    """The buckets divide the range from `low` to `high` evenly."""
    a: Sequence[int]
    b: Sequence[int]
    mean_a: float
    mean_b: float
    drift: float
    """Kolmogorov-Smirnov statistic, from 0 to 1: the largest difference between the shares of values below a bound, for
    the bounds of 1,000 buckets."""
    stability_index: float
    """Population stability index over the buckets: 0 for equal histograms; 0.25 is usually considered a shift."""

    def to_json(self) -> dict[str, Any]:
        content = dict(vars(self))
        return {"name": content.pop("name"), **content}


def distribution(outcomes: Outcomes, name: str, a: str, b: str) -> Distribution | None:
    """Counts the finite values of two queries, each with a column ``x``; returns None if either has none.

    Buckets divide the range from 0 to 1 if it contains all values, otherwise the range of the values.
    """
    queries = [f"(SELECT x::DOUBLE AS x FROM ({sql}) WHERE isfinite(x::DOUBLE))" for sql in (a, b)]
    found = [outcomes.query(f"SELECT count(*), avg(x), min(x), max(x) FROM {query}")[0] for query in queries]
    if not all(number for number, *_ in found):
        return None
    low, high = min(row[2] for row in found), max(row[3] for row in found)
    low, high = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high if high > low else low + 1)
    fine = np.array([_bucket_counts(outcomes, query, low, high) for query in queries])
    shares = fine / fine.sum(axis=1, keepdims=True)
    below = shares.cumsum(axis=1)
    coarse = fine.reshape(2, NUM_BUCKETS, -1).sum(axis=2)
    return Distribution(
        name,
        low,
        high,
        coarse[0].tolist(),
        coarse[1].tolist(),
        found[0][1],
        found[1][1],
        float(np.abs(below[0] - below[1]).max()),
        _stability_index(coarse),
    )


NUM_BUCKETS = 20
_NUM_FINE = 1000
_LEAST_SHARE = 1e-4  # share of an empty bucket, which would make the index infinite


def _bucket_counts(outcomes: Outcomes, query: str, low: float, high: float) -> np.ndarray:
    # Halved, because the difference of two large values may overflow to infinity.
    place = f"(x / 2 - {low / 2!r}::DOUBLE) / {high / 2 - low / 2!r}::DOUBLE * {_NUM_FINE}"
    rows = outcomes.query(
        f"SELECT greatest(0, least({_NUM_FINE - 1}, floor({place})))::INTEGER, count(*) FROM {query} GROUP BY 1"
    )
    counts = np.zeros(_NUM_FINE, np.int64)
    for bucket, number in rows:
        counts[bucket] = number
    return counts


def _stability_index(counts: np.ndarray) -> float:
    a, b = np.maximum(counts / counts.sum(axis=1, keepdims=True), _LEAST_SHARE)
    return float(((b - a) * np.log(b / a)).sum())
