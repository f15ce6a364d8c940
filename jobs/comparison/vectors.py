"""Compares embeddings by direction. Used on the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from jobs.comparison.answers import Changes
from jobs.comparison.flips import examples
from jobs.comparison.number_columns import NumberColumns

if TYPE_CHECKING:
    from jobs.comparison.outcomes import Outcomes


class VectorAnswers:
    """Embeddings differ by their cosine distance, from 0 to 2. The drift is the mean distance; for several columns, the
    largest one.
    """

    limits = ("max_drift",)

    def __init__(self, a: pa.Schema, b: pa.Schema) -> None:
        self.numbers = NumberColumns.of(*(_embeddings(schema) for schema in (a, b)))
        self.columns, self.kept = self.numbers.names, self.numbers.kept
        self.batch_rows = max(1, min(1 << 17, _BATCH_VALUES // max(1, self.numbers.num_values)))

    def keep(self, rows: pa.Table) -> pa.Table:
        return self.numbers.keep(rows)

    def measure(self, pairs: pa.Table) -> pa.Table:
        """Computes the distances of each column, in ``distance0`` and so on."""
        columns = enumerate(self.numbers.pairs(pairs))
        return pa.table({f"distance{place}": cosine_distances(a, b) for place, (a, b) in columns})

    def changes(self, outcomes: Outcomes) -> Changes:
        figures, drift, images = {}, 0.0, {}
        for place, name in enumerate(self.numbers.names):
            (found,) = outcomes.query(_FIGURES.format(x=f"distance{place}"))
            if found[0] is not None:
                figures[name] = dict(zip(_NAMES, found, strict=True))
                drift = max(drift, found[0])
            query = f"SELECT a, b, distance{place} AS weight FROM pairs WHERE distance{place} > {_ROUNDING}"
            images[f"Largest distances of {name}"] = examples(outcomes, query, _NUM_IMAGES)
        return Changes(drift=drift, figures={"cosine_distance": figures}, examples=images)


def cosine_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns 1 - cosine of the rows of two arrays (n, length), float64; 0 for equal rows, 1 if one of them is zero."""
    # Scaled first: the square of a large number may be infinite.
    a, b = (rows / np.maximum(np.abs(rows).max(axis=1, keepdims=True, initial=0), _TINY) for rows in (a, b))
    lengths = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    cosines = (a * b).sum(axis=1) / np.maximum(lengths, _TINY)
    return np.where((a == b).all(axis=1), 0.0, np.clip(1 - cosines, 0, 2))


_TINY = np.finfo(np.float64).tiny
_ROUNDING = 1e-9
_BATCH_VALUES = 1 << 21
_NUM_IMAGES = 40
_NAMES = ("mean", "median", "p90", "p99", "largest", "num_images")
_FIGURES = f"""
    SELECT avg({{x}}), approx_quantile({{x}}, 0.5), approx_quantile({{x}}, 0.9), approx_quantile({{x}}, 0.99),
    max({{x}}), count(*) FILTER ({{x}} > {_ROUNDING}) FROM pairs
"""


def _embeddings(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field for field in schema if field.name.startswith("embedding")])
