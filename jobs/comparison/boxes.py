"""Matches boxes of task=detect, and of instances of task=segment, between two runs. Used on the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.tasks.detection.rows import CORNERS
from jobs.comparison.answers import Changes
from jobs.comparison.distributions import distribution
from jobs.comparison.flips import changed_classes, examples, most_frequent_flips

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from jobs.comparison.outcomes import Outcomes

DETECTIONS = "detections"
LEAST_OVERLAP = 0.5
"""Minimum intersection over union of two boxes that count as the same."""


class BoxAnswers:
    """An image flips if a box has no counterpart of its class in the other run. A box flips to another class or to
    none. The drift is computed from the scores of all boxes.
    """

    columns = (DETECTIONS,)
    kept = pa.schema(
        [
            pa.field("labels", pa.list_(pa.string())),
            pa.field("scores", pa.list_(pa.float32())),
            pa.field("corners", pa.list_(pa.float32())),
        ]
    )
    batch_rows = 8192
    limits = ("max_flip_ratio", "max_drift")

    def keep(self, rows: pa.Table) -> pa.Table:
        lists = rows[DETECTIONS].combine_chunks()
        boxes, ends = lists.flatten(), np.cumsum([0, *pc.list_value_length(lists).fill_null(0).to_pylist()])
        # One name per box; DuckDB stores them as a dictionary.
        parts = [pc.struct_field(boxes, name) for name in ("label", "score")]
        corners = np.column_stack([pc.struct_field(boxes, name).to_numpy(zero_copy_only=False) for name in CORNERS])
        values = [*parts, pa.array(corners.ravel().astype(np.float32))]
        offsets = [pa.array(ends * step, pa.int32()) for step in (1, 1, len(CORNERS))]
        columns = [pa.ListArray.from_arrays(at, part) for at, part in zip(offsets, values, strict=True)]
        return pa.Table.from_arrays(columns, schema=self.kept)

    def measure(self, pairs: pa.Table) -> pa.Table:
        sides = [list(map(_boxes, *(pairs[f"{side}_{name}"] for name in self.kept.names))) for side in "ab"]
        measured = [_compared(a, b) for a, b in zip(*sides, strict=True)]
        through = {f"{side}_{name}": pairs[f"{side}_{name}"] for side in "ab" for name in ("labels", "scores")}
        found = pa.Table.from_pylist(measured, schema=_MEASURED)
        return pa.table({**through, **dict(zip(found.column_names, found.columns, strict=True))})

    def changes(self, outcomes: Outcomes) -> Changes:
        ((num_pairs, num_flips, *counts, score_difference, overlap),) = outcomes.query(_FIGURES)
        scores = distribution(
            outcomes, "score of boxes", *(f"SELECT unnest({side}_scores) AS x FROM pairs" for side in "ab")
        )
        means = {"mean_overlap": overlap, "mean_score_difference": score_difference}
        return Changes(
            num_flips,
            num_flips / num_pairs if num_pairs else 0.0,
            scores.drift if scores else 0.0,
            flips=most_frequent_flips(
                outcomes, f"SELECT a, b, c.before, c.after, 1 AS num, c.score AS weight {_CHANGED}"
            ),
            distributions=[scores] if scores else [],
            figures={
                **dict(zip(_COUNTS, counts, strict=True)),
                **{name: value for name, value in means.items() if value is not None},
            },
            classes=changed_classes(
                outcomes, {"a": _CLASSES.format("a", "before"), "b": _CLASSES.format("b", "after")}
            ),
            examples={"Numbers of boxes that differ most": examples(outcomes, _MOST_CHANGED, _NUM_IMAGES)},
        )


_NUM_IMAGES = 24
_COUNTS = ("num_boxes_a", "num_boxes_b", "num_matched", "num_other_class", "num_images_with_other_counts")
_MEASURED = pa.schema(
    [
        *(pa.field(name, pa.int32()) for name in ("num_a", "num_b", "num_matched", "num_other_class")),
        *(pa.field(name, pa.float64()) for name in ("score_difference", "overlap")),
        pa.field(
            "changes",
            pa.list_(
                pa.struct(
                    [pa.field("before", pa.string()), pa.field("after", pa.string()), pa.field("score", pa.float32())]
                )
            ),
        ),
    ]
)
_FIGURES = """
    SELECT count(*), count(*) FILTER (len(changes) > 0), coalesce(sum(num_a), 0)::BIGINT,
    coalesce(sum(num_b), 0)::BIGINT,
    coalesce(sum(num_matched), 0)::BIGINT, coalesce(sum(num_other_class), 0)::BIGINT, count(*) FILTER (num_a <> num_b),
    sum(score_difference) / nullif(sum(num_matched), 0), sum(overlap) / nullif(sum(num_matched), 0) FROM pairs
"""
_CHANGED = "FROM (SELECT a, b, unnest(changes) AS c FROM pairs)"
_CLASSES = f"""
    SELECT class, sum(num) AS num, sum(flips) AS flips FROM (
        SELECT unnest({{0}}_labels) AS class, 1 AS num, 0 AS flips FROM pairs UNION ALL
        SELECT c.{{1}}, 0, 1 {_CHANGED} WHERE c.{{1}} IS NOT NULL
    ) GROUP BY class
"""
_MOST_CHANGED = "SELECT a, b, abs(num_a - num_b) AS weight FROM pairs WHERE num_a <> num_b"


class _Boxes(NamedTuple):
    labels: Sequence[str]
    scores: np.ndarray
    corners: np.ndarray
    """Float64 (n, 4)."""


def _boxes(labels: pa.Scalar, scores: pa.Scalar, corners: pa.Scalar) -> _Boxes:
    arrays = (np.asarray(column.values.to_numpy(), np.float64) for column in (scores, corners))
    own, places = arrays
    return _Boxes(labels.as_py(), own, places.reshape(-1, len(CORNERS)))


def _compared(a: _Boxes, b: _Boxes) -> dict[str, Any]:
    overlaps = _overlaps(a.corners, b.corners)
    are_alike = np.array(a.labels, object)[:, None] == np.array(b.labels, object)[None, :]
    same = _partners(np.where(are_alike, overlaps, 0))
    is_left = np.ones_like(overlaps, bool)
    is_left[[i for i, _ in same]] = False
    is_left[:, [j for _, j in same]] = False
    other = _partners(np.where(is_left, overlaps, 0))
    paired_a, paired_b = ({pair[place] for pair in (*same, *other)} for place in (0, 1))
    changes: list[tuple[str | None, str | None, float]]
    changes = [(a.labels[i], b.labels[j], b.scores[j]) for i, j in other]
    changes += [(label, None, a.scores[i]) for i, label in enumerate(a.labels) if i not in paired_a]
    changes += [(None, label, b.scores[j]) for j, label in enumerate(b.labels) if j not in paired_b]
    return {
        "num_a": len(a.labels),
        "num_b": len(b.labels),
        "num_matched": len(same),
        "num_other_class": len(other),
        "score_difference": float(sum(abs(a.scores[i] - b.scores[j]) for i, j in same)),
        "overlap": float(sum(overlaps[i, j] for i, j in same)),
        "changes": [dict(zip(("before", "after", "score"), change, strict=True)) for change in changes],
    }


def _partners(overlaps: np.ndarray) -> list[tuple[int, int]]:
    """Returns the pairs of boxes with the largest overlaps, each box in at most one."""
    found: list[tuple[int, int]] = []
    rows, columns = np.nonzero(overlaps >= LEAST_OVERLAP)
    taken: tuple[set[int], set[int]] = set(), set()
    for place in np.argsort(-overlaps[rows, columns], kind="stable"):
        i, j = int(rows[place]), int(columns[place])
        if i not in taken[0] and j not in taken[1]:
            found.append((i, j))
            taken[0].add(i)
            taken[1].add(j)
    return found


def _overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns the intersection over union of each of ``a`` with each of ``b``, (n, m); equal boxes without an area
    overlap by 1.
    """
    corners = [np.minimum(a[:, None, 2:], b[None, :, 2:]), np.maximum(a[:, None, :2], b[None, :, :2])]
    both = (corners[0] - corners[1]).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1) for boxes in (a, b)]
    either = areas[0][:, None] + areas[1][None, :] - both
    are_equal = (a[:, None] == b[None, :]).all(axis=2)
    return np.where(are_equal, 1.0, both / np.where(either > 0, either, 1))
