"""Filter, order and page of the table: parsed from a URL into typed values, and written back to one."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

LISTED = "listed"
"""Inventory order."""
OUTCOMES = ("ok", "failed")
SIZES = (25, 50, 100, 200)
MAX_PAGE = 10_000_000
_MAX_CHARACTERS = 1000
_NUMBER = re.compile(r"[+-]?(\d{1,30}\.?\d{0,30}|\.\d{1,30})([eE][+-]?\d{1,3})?", re.ASCII)
_COUNT = re.compile(r"[1-9]\d{0,8}", re.ASCII)


class QueryError(Exception):
    """An invalid address of the table."""


@dataclass(frozen=True)
class Query:
    """Conditions, which must all hold; an empty string or None is no condition."""

    text: str = ""
    """Part of an image name, case-insensitive."""
    label: str = ""
    score_min: float | None = None
    score_max: float | None = None
    outcome: str = ""
    error: str = ""
    """Stage and kind of an error: ``decode/truncated``."""
    sort: str = LISTED
    """Name of a column, or `LISTED`."""
    order: str = "up"
    page: int = 1
    size: int = 50

    @classmethod
    def parse(cls, parameters: Iterable[tuple[str, str]], columns: Collection[str]) -> Query:
        """Parses the parameters of an address; empty ones are ignored.

        Args:
            parameters: names and values.
            columns: allowed values of ``sort``.

        Raises:
            QueryError: a name is unknown or repeated, or a value is invalid.
        """
        given = [(name, value) for name, value in parameters if value]
        known = {field.name for field in fields(cls)}
        if strange := next((name for name, _ in given if name not in known), None):
            raise QueryError(f"{strange[:_MAX_NAME]!r} is no filter")
        if repeated := [name for name, number in Counter(name for name, _ in given).items() if number > 1]:
            raise QueryError(f"{repeated[0]}: given more than once")
        return cls(**{name: _value(name, value, columns) for name, value in given})

    def address(self, **changes: Any) -> str:
        """Returns the address of the table with some values changed, omitting defaults."""
        values, default = asdict(replace(self, **changes)), asdict(Query())
        found = {name: value for name, value in values.items() if value != default[name]}
        return f"/?{urlencode(found)}" if found else "/"


_MAX_NAME = 40


def _value(name: str, text: str, columns: Collection[str]) -> Any:
    if len(text) > _MAX_CHARACTERS:
        raise QueryError(f"{name}: longer than {_MAX_CHARACTERS} characters")
    if name in ("score_min", "score_max"):
        if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
            raise QueryError(f"{name}: not a number")
        return float(text)
    if name in ("page", "size"):
        number = int(text) if _COUNT.fullmatch(text) else 0
        if not 0 < number <= MAX_PAGE or (name == "size" and number not in SIZES):
            raise QueryError(f"{name}: {f'not one of {SIZES}' if name == 'size' else f'not 1 to {MAX_PAGE}'}")
        return number
    allowed = {"sort": (LISTED, *columns), "order": ("up", "down"), "outcome": OUTCOMES}.get(name)
    if allowed is not None and text not in allowed:
        raise QueryError(f"{name}: not one of {', '.join(allowed)}")
    return text
