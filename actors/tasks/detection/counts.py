"""Objects by class and score: the summary of tasks that find objects. Counted in the sink, printed by the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.compute as pc

from actors.tasks.score_counts import SCORES, count_scores

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

OBJECTS, IMAGES, OTHERS = "objects/", "images/num_with_objects", "objects_beyond/num"
MAX_CLASSES = 1000
"""Number of classes with their own counter, those with the lowest numbers: a receipt carries all counters."""


def count_objects(table: pa.Table) -> dict[str, int]:
    """Counts the objects of each class and of each tenth of the scores, and the images with objects.

    Args:
        table: predicted rows. Returns no counts without detections, as when the benchmark omits the model.
    """
    if "detections" not in table.column_names:
        return {}
    column = table["detections"].combine_chunks()
    structs = column.flatten()
    if not len(structs):
        return {}
    ids, labels, scores = (structs.field(name) for name in ("label_id", "label", "score"))
    counts = {IMAGES: int(pc.sum(pc.greater(pc.list_value_length(column), 0)).as_py())}
    is_named = pc.less(ids, MAX_CLASSES)
    for value in pc.value_counts(labels.filter(is_named)):
        counts[OBJECTS + value["values"].as_py()] = value["counts"].as_py()
    counts[OTHERS] = len(ids) - int(pc.sum(is_named).as_py())
    counts |= count_scores(scores)
    return {name: number for name, number in counts.items() if number}


def object_lines(counters: Mapping[str, int]) -> list[tuple[str, str]]:
    """Returns report lines for ``counters``, the sum of the counts from `count_objects`."""
    by_class = {name.removeprefix(OBJECTS): number for name, number in counters.items() if name.startswith(OBJECTS)}
    num_others = counters.get(OTHERS, 0)
    total = sum(by_class.values()) + num_others
    if not total:
        return [("objects", "none")]
    ordered = sorted(by_class.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{label} {number:,}" for label, number in ordered[:_SHOWN]]
    rest = total - sum(number for _, number in ordered[:_SHOWN])
    named = ", ".join([*shown, *([f"others {rest:,}"] if rest else [])])
    scores = {name.removeprefix(SCORES): number for name, number in counters.items() if name.startswith(SCORES)}
    shares = ", ".join(f"from {lowest} {number / total:.0%}" for lowest, number in sorted(scores.items(), reverse=True))
    return [("objects", f"{total:,} in {counters.get(IMAGES, 0):,} images: {named}"), ("scores", shares)]


_SHOWN = 8
