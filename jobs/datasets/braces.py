"""Brace expansion in paths, as in a shell: ranges of numbers and alternatives. Runs on the driver."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from actors.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Iterator


def expand(path: str) -> list[str]:
    """Expands paths such as ``shard-{0008..0010}.tar`` and ``{train,val}/x.tar``, in order.

    A range keeps the leading zeros of its ends, and may run backwards or in steps (``{0..10..5}``). Other braces stay
    unchanged.

    Raises:
        JobError: more than a million paths result.
    """
    # Never expanded in full: {1..9999999999} would exhaust memory before it could be rejected.
    found = list(islice(_expand(path), _MOST_PATHS + 1))
    if len(found) > _MOST_PATHS:
        raise JobError(
            f"dataset.path={path}: its braces expand to more than {_MOST_PATHS:,} paths",
            fix="name a folder, a glob or a URI prefix",
        )
    return found


_MOST_PATHS = 1_000_000  # each is checked with a request, and the driver holds all in memory
_RANGE = r"\{(-?\d+)\.\.(-?\d+)(?:\.\.([1-9]\d*))?\}"
_BRACES = re.compile(rf"{_RANGE}|\{{([^{{}}]*,[^{{}}]*)\}}")


def _expand(path: str) -> Iterator[str]:
    braces = _BRACES.search(path)
    if braces is None:
        yield path
        return
    for value in _values(braces):
        yield from (f"{path[: braces.start()]}{value}{rest}" for rest in _expand(path[braces.end() :]))


def _values(braces: re.Match[str]) -> Iterator[str]:
    first, last, step, alternatives = braces.groups()
    if alternatives is not None:
        yield from alternatives.split(",")
        return
    is_padded = any(re.match(r"-?0\d", end) for end in (first, last))
    width = max(len(first), len(last)) if is_padded else 0
    start, stop = int(first), int(last)
    sign = 1 if start <= stop else -1
    yield from (f"{number:0{width}}" for number in range(start, stop + sign, sign * int(step or 1)))
