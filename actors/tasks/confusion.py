"""Counts of known against predicted classes. Runs in the sink; reports read the counters back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actors.tasks.accuracy import is_labelled, labelled, true_ids

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

PAIRS, TRUE, PREDICTED, CORRECT = "confusion/", "true_class/", "predicted_class/", "correct_class/"
BEYOND = "classes_beyond/num"
MAX_CLASSES = 1000
"""Number of classes with their own counters in a receipt; the lowest class numbers have one."""
MAX_PAIRED = 100
"""Classes whose pairs a receipt counts: at most 10,000 names."""


def count_classes(
    table: pa.Table, labels: Sequence[str] | None, *, max_classes: int | None = MAX_CLASSES
) -> dict[str, int]:
    """Counts labelled rows by known class, by predicted class, and, if both are equal, by that class.

    A known label that is not a class counts only for the predicted class. Rows of classes from ``max_classes`` on count
    as `BEYOND`.
    """
    if not is_labelled(table):
        return {}
    true, predicted = _ids(table, labels)
    counts: dict[str, int] = {}
    for name, ids in ((TRUE, true[true >= 0]), (PREDICTED, predicted), (CORRECT, true[true == predicted])):
        counts |= _by_class(name, ids if max_classes is None else ids[ids < max_classes])
    if max_classes is not None:
        counts[BEYOND] = int((np.maximum(true, predicted) >= max_classes).sum())
    return counts


def count_pairs(
    table: pa.Table, labels: Sequence[str] | None, *, max_classes: int | None = MAX_PAIRED
) -> dict[str, int]:
    """Counts labelled rows by known and predicted class, as ``confusion/KNOWN/PREDICTED``.

    The known class is -1 for a label that is not a class. Pairs with a class from ``max_classes`` on are omitted.
    """
    if not is_labelled(table):
        return {}
    pairs = np.stack(_ids(table, labels), axis=1)
    if max_classes is not None:
        pairs = pairs[(pairs < max_classes).all(axis=1)]
    found, numbers = np.unique(pairs, axis=0, return_counts=True)
    return {
        f"{PAIRS}{true}/{own}": number for (true, own), number in zip(found.tolist(), numbers.tolist(), strict=True)
    }


def read_classes(counters: Mapping[str, int], name: str) -> dict[int, int]:
    """Returns the number of images by class, from the counters whose names start with ``name``."""
    found = ((key.removeprefix(name), number) for key, number in counters.items() if key.startswith(name))
    return {int(class_id): number for class_id, number in found}


def _ids(table: pa.Table, labels: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    rows = labelled(table)
    return true_ids(rows, labels).to_numpy(), rows["label_id"].to_numpy()


def _by_class(name: str, ids: np.ndarray) -> dict[str, int]:
    found, numbers = np.unique(ids, return_counts=True)
    return {f"{name}{own}": number for own, number in zip(found.tolist(), numbers.tolist(), strict=True)}
