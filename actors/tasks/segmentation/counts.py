"""Pixels by class: the summary of segmentation. Counted in the sink, printed by the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Mapping

PIXELS, VOID, OTHERS = "pixels/", "pixels_void/num", "pixels_beyond/num"
MAX_CLASSES = 1000
"""Number of classes with their own counter, those with the lowest numbers: a receipt carries all counters."""


def count_pixels(table: pa.Table) -> dict[str, int]:
    """Counts the pixels of each class, and those without a class.

    Args:
        table: predicted rows. Returns no counts without class maps, as when the benchmark omits the model.
    """
    if not {"classes", "width", "height"} <= set(table.column_names):
        return {}
    structs = table["classes"].combine_chunks().flatten()
    classes = pa.table({name: structs.field(name) for name in ("label_id", "label", "pixels")})
    named = classes.filter(pc.less(classes["label_id"], MAX_CLASSES)).group_by("label").aggregate([("pixels", "sum")])
    counts = {PIXELS + row["label"]: row["pixels_sum"] for row in named.to_pylist()}
    with_class = int(pc.sum(classes["pixels"]).as_py() or 0)
    counts[OTHERS] = with_class - sum(counts.values())
    sides = (table[name].cast(pa.int64()) for name in ("width", "height"))
    counts[VOID] = int(pc.sum(pc.multiply(*sides)).as_py() or 0) - with_class
    return {name: number for name, number in counts.items() if number}


def pixel_lines(counters: Mapping[str, int]) -> list[tuple[str, str]]:
    """Returns report lines for ``counters``, the sum of the counts from `count_pixels`."""
    by_class = {name.removeprefix(PIXELS): number for name, number in counters.items() if name.startswith(PIXELS)}
    ordered = sorted(by_class.items(), key=lambda item: (-item[1], item[0]))
    void = counters.get(VOID, 0)
    others = counters.get(OTHERS, 0) + sum(number for _, number in ordered[_SHOWN:])
    total = sum(by_class.values()) + counters.get(OTHERS, 0) + void
    named = [
        *ordered[:_SHOWN],
        *([("others", others)] if others else []),
        *([("without a class", void)] if void else []),
    ]
    return [("pixels", ", ".join(f"{label} {number / total:.1%}" for label, number in named))] if total else []


_SHOWN = 8
