"""The classes named by ``task.classes``. Used where a task is checked, and in the predictor."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np

from actors.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Sequence


def chosen_classes(classes: Sequence[object], labels: Sequence[str] | None) -> np.ndarray:
    """Returns the numbers of the ``classes``, int32, each given as a class name or as a number from 0. A name that
    several classes share selects all of them.

    Raises:
        JobError: no class has this name or number.
    """
    numbers = [number for value in classes for number in _numbers(value, labels)]
    return np.array(sorted(set(numbers)), np.int32)


def _numbers(value: object, labels: Sequence[str] | None) -> list[int]:
    named = [number for number, label in enumerate(labels or ()) if label == value]
    if named:
        return named
    is_number = isinstance(value, int) and not isinstance(value, bool)
    number = int(str(value)) if is_number or (isinstance(value, str) and value.isdecimal()) else None
    if number is not None and number >= 0 and (labels is None or number < len(labels)):
        return [number]
    raise JobError(f"task.classes: {value!r} is none of the model's classes", fix=_fix(value, labels))


def _fix(value: object, labels: Sequence[str] | None) -> str:
    if labels is None:
        return "give numbers from 0, or model.labels along with names"
    by_lower = {label.lower(): label for label in labels}
    near = [by_lower[name] for name in get_close_matches(str(value).lower(), by_lower, n=5, cutoff=0.5)]
    if near:
        return f"did you mean {', '.join(near)}?"
    shown = ", ".join(labels[:_SHOWN]) + (", …" if len(labels) > _SHOWN else "")
    return f"give names of {shown}, or numbers from 0 to {len(labels) - 1}"


_SHOWN = 10
