"""Compares the answers of an endpoint with the rows of a run, within the run's tolerance. Runs on the driver."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from actors.columns import IMAGE_ID, URI
from actors.tasks.detection.box_agreement import ious
from jobs.serving.rows import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from actors.engines.tolerance import Tolerance

    Row = Mapping[str, Any]

ROUNDING = 1e-3
"""Allowed relative difference of numbers not covered by the tolerance."""


def difference(row: Row, answer: Row, tolerance: Tolerance, *, score_threshold: float = 0.0) -> str | None:
    """Returns the first difference that exceeds the tolerance; None if both agree.

    Args:
        row: a published row with image_id, uri and the columns of the task, or an error row.
        answer: content of the endpoint's answer, where binary values are base64.
        tolerance: limits of the run; `tie_margin` is the largest lead of the first score at which the class may differ.
        score_threshold: score threshold of the task, for boxes.
    """
    if "stage" in row or "stage" in answer:
        return _failure(row, answer)
    wanted = {name: plain(value) for name, value in row.items() if name not in (IMAGE_ID, URI)}
    if odd := sorted(wanted.keys() ^ answer.keys()):
        return f"{odd[0]}: {'the endpoint' if odd[0] in wanted else 'the run'} has no such column"
    for name, given in answer.items():
        if wanted[name] != given and (found := _unequal(name, wanted, given, tolerance, score_threshold)):
            return f"{name}: {found}"
    return None


def _unequal(name: str, wanted: Row, given: Any, tolerance: Tolerance, score_threshold: float) -> str | None:
    try:
        if name == "detections":
            return _boxes(wanted[name], given, tolerance, score_threshold)
        return _COLUMNS.get(name, _values)(wanted, given, name, tolerance)
    except (TypeError, ValueError, LookupError, OSError):  # such as text instead of numbers
        return f"{_short(wanted[name])} became {_short(given)}"


def _failure(row: Row, answer: Row) -> str | None:
    wanted, given = (f"{one['stage']}/{one['error']}" if "stage" in one else "an answer" for one in (row, answer))
    return None if wanted == given else f"the run has {wanted}, the endpoint {given}"


def _values(row: Row, given: Any, name: str, tolerance: Tolerance) -> str | None:
    """Compares numbers and lists of numbers by relative error; everything else must be equal."""
    wanted = row[name]
    if not _is_float(wanted):
        return f"{_short(wanted)} became {_short(given)}"
    numbers, others = np.asarray(wanted, np.float64), np.asarray(given, np.float64)
    if numbers.shape != others.shape:
        return f"of shape {numbers.shape}, and now {others.shape}"
    error = float(np.linalg.norm(numbers - others) / max(float(np.linalg.norm(numbers)), 1e-12))
    limit = max(tolerance.relative_error, ROUNDING) if numbers.ndim else ROUNDING
    return None if error <= limit else f"off by {error:.3g} of its size, more than {limit:g}"


def _score(row: Row, given: Any, name: str, tolerance: Tolerance) -> str | None:
    off = abs(float(row[name]) - float(given))
    limit = tolerance.score_difference
    return None if off <= limit else f"{row[name]:.4f} became {given:.4f}, more than {limit:g} apart"


def _label(row: Row, given: Any, name: str, tolerance: Tolerance) -> str | None:
    """Compares the best class, which may differ in a near tie."""
    classes = row.get("top_labels" if name == "label" else "top_label_ids") or []
    scores = row.get("top_scores") or []
    lead = scores[0] - scores[classes.index(given)] if given in classes[: len(scores)] else float("inf")
    return None if lead <= tolerance.tie_margin else f"{_short(row[name])} became {_short(given)}"


def _best(row: Row, given: Any, name: str, tolerance: Tolerance) -> str | None:
    """Compares the sorted scores of the best classes by position."""
    if name != "top_scores":
        return None
    wanted, others = np.asarray(row[name]), np.asarray(given)
    if wanted.shape != others.shape:
        return f"{len(wanted)} classes became {len(others)}"
    off = float(np.abs(wanted - others).max(initial=0))
    return None if off <= tolerance.score_difference else f"off by {off:.3g}, more than {tolerance.score_difference:g}"


def _embedding(row: Row, given: Any, name: str, tolerance: Tolerance) -> str | None:
    wanted, others = np.asarray(row[name], np.float64), np.asarray(given, np.float64)
    if wanted.shape != others.shape:
        return f"{len(wanted)} numbers became {len(others)}"
    cosine = float(wanted @ others / max(float(np.linalg.norm(wanted) * np.linalg.norm(others)), 1e-12))
    return None if cosine >= tolerance.cosine else f"a cosine of {cosine:.6f}, less than {tolerance.cosine:g}"


def _boxes(wanted: list[Row], given: list[Row], tolerance: Tolerance, score_threshold: float) -> str | None:
    """Compares boxes. Each needs a partner of the same class, unless its score may be below the task's threshold in the
    other answer.
    """
    for first, second, what in ((wanted, given, "is gone"), (given, wanted, "is new")):
        free = list(second)
        lost = [box for box in first if not _takes_partner(box, free, tolerance)]
        lost = [box for box in lost if box["score"] > score_threshold + tolerance.score_difference]
        if len(lost) > tolerance.unmatched_ratio * len(first):
            return f"a box of {_short(lost[0]['label'])} with score {lost[0]['score']:.3f} {what}"
    return None


def _takes_partner(box: Row, free: list[Row], tolerance: Tolerance) -> bool:
    """Removes the best partner of ``box`` from ``free``; returns False if there is none."""
    same = [other for other in free if other["label_id"] == box["label_id"]]
    if not same:
        return False
    found = ious(_corners(box), np.array([_corners(other) for other in same]))
    best = int(found.argmax())
    if found[best] < tolerance.box_iou or abs(same[best]["score"] - box["score"]) > tolerance.score_difference:
        return False
    free.remove(same[best])
    return True


def _corners(box: Row) -> np.ndarray:
    return np.array([box[name] for name in ("xmin", "ymin", "xmax", "ymax")], np.float64)


def _mask(row: Row, given: Any, name: str, tolerance: Tolerance) -> str | None:
    wanted, others = (np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in (row[name], given))
    if wanted.shape != others.shape:
        return f"{wanted.shape} pixels became {others.shape}"
    share = float((wanted == others).mean())
    limit = tolerance.pixel_agreement
    return None if share >= limit else f"{share:.2%} of the pixels are equal, less than {limit:.2%}"


_COLUMNS: Mapping[str, Callable[[Row, Any, str, Tolerance], str | None]] = {
    "label": _label,
    "label_id": _label,
    "score": _score,
    "top_label_ids": _best,
    "top_labels": _best,
    "top_scores": _best,
    "embedding": _embedding,
    "mask": _mask,
}


def _is_float(value: Any) -> bool:
    while isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, float)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


_LONGEST = 60
