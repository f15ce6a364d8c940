"""What is wrong with a run, by kind and by name. Filled by the checks of `jobs.verify`, from several threads apart."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

UNREADABLE = (
    pa.ArrowException,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    MemoryError,
    RecursionError,
)
"""What comes of reading the bytes of a damaged or hostile file."""
NUM_NAMED = 20  # of each kind; the rest is counted


class Findings:
    """Kinds in the order in which they were first found. Small, however much is wrong."""

    def __init__(self) -> None:
        self._named: dict[str, list[str]] = {}
        self._counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._counts.total()

    def add(self, kind: str, what: str) -> None:
        """One thing of a kind; ``what`` begins with its name."""
        self.add_many(kind, [what], 1)

    def add_many(self, kind: str, whats: Iterable[str], number: int) -> None:
        """``number`` things of a kind, of which ``whats`` gives the first; no more are asked of it than are named."""
        if not number:
            return
        named = self._named.setdefault(kind, [])
        named.extend(what for what, _ in zip(whats, range(NUM_NAMED - len(named)), strict=False))
        self._counts[kind] += number

    def merge(self, other: Findings) -> None:
        for kind, named in other._named.items():
            self.add_many(kind, named, other._counts[kind])

    def lines(self) -> Iterator[str]:
        """One line a thing, as ``kind: what``, and one line for those of a kind that are not named."""
        for kind, named in self._named.items():
            yield from (f"{kind}: {what}" for what in named)
            if (rest := self._counts[kind] - len(named)) > 0:
                yield f"{kind}: {rest:,} more, {self._counts[kind]:,} in all"


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
