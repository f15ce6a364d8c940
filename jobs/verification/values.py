"""Checks that the values of the task columns are possible results of the task. Runs in several threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

if TYPE_CHECKING:
    from collections.abc import Iterator

Wrong = tuple[str, np.ndarray]
"""Description of a fault, and the boolean mask of affected rows."""

# Not SQL: a part of 16,384 rows takes 1.7 ms here, and 4.7 ms in DuckDB, which plans one query per part. A single query
# over all files is as fast, but would not check the hashed bytes.


def wrong_values(results: pa.Table, *, are_ratios: bool) -> Iterator[Wrong]:
    """Yields the faults in the columns of `task=classify` and `task=embed`; other tasks are not checked.

    Args:
        results: rows with the task columns only.
        are_ratios: True if scores must lie between 0 and 1, as from softmax and sigmoid.
    """
    if {"label_id", "label", "score", "top_scores"} <= set(results.column_names):
        yield from _wrong_scores(results, are_ratios=are_ratios)
        yield from _wrong_tops(results)
    for name in results.column_names:
        is_embedding = name == "embedding" or name.startswith("embedding_")
        if is_embedding and pt.is_fixed_size_list(results.schema.field(name).type):
            yield f"{name} is not finite", ~_finite(results[name])


def _wrong_scores(results: pa.Table, *, are_ratios: bool) -> Iterator[Wrong]:
    scores = _floats(results["score"])
    yield "score is not finite", ~np.isfinite(scores)
    if are_ratios:
        yield "score is not between 0 and 1", np.logical_or(scores < 0, scores > 1 + _ROUNDING)
    yield "label is null", results["label"].is_null().to_numpy()
    yield "label_id is null or negative", pc.fill_null(pc.less(results["label_id"], 0), fill_value=True).to_numpy()


_ROUNDING = 1e-6  # float32 has steps of 1.2e-7 above 1, and a softmax accumulates a few of them


def _wrong_tops(results: pa.Table) -> Iterator[Wrong]:
    """Yields the faults of the top lists: they must have one length, be sorted, and begin with the best class."""
    tops = {name: results[name] for name in _HEADS if name in results.column_names}
    if not len(results):
        return
    lengths = np.array([pc.fill_null(pc.list_value_length(top), 0).to_numpy() for top in tops.values()])
    is_cut = np.logical_or((lengths != lengths.max()).any(axis=0), (lengths < 1).any(axis=0))
    yield "the top lists differ in length", np.asarray(is_cut)
    if np.any(is_cut):
        return
    k = int(lengths.max())
    scores = _floats(pc.list_flatten(tops["top_scores"])).reshape(-1, k)
    yield "top_scores is not finite", ~np.isfinite(scores).all(axis=1)
    yield "top_scores is not sorted", np.any(np.diff(scores, axis=1) > 0, axis=1)
    for name, top in tops.items():
        same = pc.equal(pc.list_element(top, 0), results[_HEADS[name]])
        yield f"{name} does not begin with {_HEADS[name]}", ~pc.fill_null(same, fill_value=False).to_numpy()


_HEADS = {"top_label_ids": "label_id", "top_labels": "label", "top_scores": "score"}


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    """Returns values as float64; NaN for null."""
    return np.asarray(pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy())


def _finite(vectors: pa.ChunkedArray) -> np.ndarray:
    """Returns a mask of the rows that are null or have only finite values."""
    size = vectors.type.list_size
    is_there = vectors.is_valid().to_numpy()
    values = _floats(pc.list_flatten(vectors)).reshape(-1, size)  # null rows are dropped
    found = np.ones(len(vectors), bool)
    found[is_there] = np.isfinite(values).all(axis=1)
    return found
