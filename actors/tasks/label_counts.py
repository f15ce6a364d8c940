"""Images by label: the summary of tasks with labels but no known labels to compare with. Counted in the sink, printed
by the driver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

LABELS, OTHERS = "labels/", "labels_beyond/num"
MAX_CLASSES = 1000
"""Number of classes with their own counter, those with the lowest numbers: a receipt carries all counters."""
MAX_LENGTH = 200
"""Maximum length, in characters, of a label with its own counter."""


def count_labels(table: pa.Table, *, chosen: bool) -> dict[str, int]:
    """Counts the images of each label.

    Args:
        table: predicted rows. Returns no counts without labels, as when the benchmark omits the model.
        chosen: count all labels over the threshold instead of the best one.
    """
    names = ("label_ids", "labels") if chosen else ("label_id", "label")
    if not set(names) <= set(table.column_names):
        return {}
    ids, labels = (pc.list_flatten(table[name]) if chosen else pc.drop_null(table[name]) for name in names)
    is_named = pc.and_(pc.less(ids, MAX_CLASSES), pc.less_equal(pc.utf8_length(labels), MAX_LENGTH))
    found = pc.value_counts(labels.filter(is_named))
    counts = {LABELS + value["values"].as_py(): value["counts"].as_py() for value in found}
    num_others = len(ids) - sum(counts.values())
    return {**counts, OTHERS: num_others} if num_others else counts


def label_lines(counters: Mapping[str, int]) -> list[tuple[str, str]]:
    """Returns report lines for ``counters``, the sum of the counts from `count_labels`."""
    by_label = {name.removeprefix(LABELS): number for name, number in counters.items() if name.startswith(LABELS)}
    total = sum(by_label.values()) + counters.get(OTHERS, 0)
    if not total:
        return [("labels", "none")]
    first = sorted(by_label.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
    rest = total - sum(number for _, number in first)
    shown = [f"{label} {number:,}" for label, number in first]
    return [("labels", ", ".join([*shown, *([f"others {rest:,}"] if rest else [])]))]


_SHOWN = 8
