"""Findings, the faults of a run by kind, and the verdict on the run. Each thread fills its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
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
"""Exceptions that parsing a damaged or hostile file can raise."""
NUM_NAMED = 20  # listed findings per kind; the rest are only counted


class Findings:
    """Findings by kind, in the order in which kinds first occur. Memory is bounded for any number of faults."""

    def __init__(self) -> None:
        self._named: dict[str, list[str]] = {}
        self._counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._counts.total()

    def add(self, kind: str, text: str) -> None:
        """Adds one finding; ``text`` begins with the name of the file or run."""
        self.add_many(kind, [text], 1)

    def add_many(self, kind: str, texts: Iterable[str], number: int) -> None:
        """Adds ``number`` findings of one kind; ``texts`` is consumed only as far as findings are listed."""
        if not number:
            return
        named = self._named.setdefault(kind, [])
        # zip stops at the limit, so further texts are never created.
        named.extend(text for text, _ in zip(texts, range(NUM_NAMED - len(named)), strict=False))
        self._counts[kind] += number

    def merge(self, other: Findings) -> None:
        """Adds all findings of ``other``."""
        for kind, named in other._named.items():
            self.add_many(kind, named, other._counts[kind])

    def lines(self) -> Iterator[str]:
        """Returns one ``kind: text`` line per finding, and one line for those of a kind that are only counted."""
        for kind, named in self._named.items():
            yield from (f"{kind}: {text}" for text in named)
            if (rest := self._counts[kind] - len(named)) > 0:
                yield f"{kind}: {rest:,} more, {self._counts[kind]:,} in all"


class Status(StrEnum):
    """Result of verifying a run."""

    proven = "proven"
    refuted = "refuted"
    unfinished = "unfinished"


@dataclass(frozen=True, eq=False)
class Verdict:
    """Result of verifying one run. Numbers are counted in the inventory and the parts; None if that is impossible."""

    run_id: str
    status: Status
    findings: Findings
    num_listed: int | None = None
    num_ok: int = 0
    num_errors: int = 0
    num_parts: int = 0
    digest: str | None = None
    """Sum of `rows_digest` over the parts as 32 hexadecimal digits; only for a proven run."""
    moved_to: str | None = None
    """The run that has taken over the error rows."""

    def lines(self) -> Iterator[str]:
        """One line for the run, then one per finding; each begins with the name of the run."""
        yield f"run {self.run_id}: {self.status}: {'; '.join(self._facts())}"
        yield from (f"run {self.run_id}: {line}" for line in self.findings.lines())

    def _facts(self) -> Iterator[str]:
        found = f"{self.num_ok:,} ok + {self.num_errors:,} errors"
        listed = f"{self.num_listed:,} listed" if self.num_listed is not None else "nothing listed"
        parts = plural(self.num_parts, "part")
        if self.status is Status.unfinished:
            yield f"{listed}, {found} in {parts}"
            return
        yield f"{listed} = {found}" if self.status is Status.proven else f"{listed}, {found} found"
        yield parts
        if self.digest is not None:
            yield f"rows digest {self.digest}"
        if self.moved_to is not None:
            yield f"its error rows moved to run {self.moved_to}"
        if self.status is Status.refuted:
            yield plural(len(self.findings), "finding")


def plural(number: int, noun: str) -> str:
    """Formats the number and the noun, with an s unless the number is 1."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def first_line(error: Exception) -> str:
    """Returns the first line of the error's message, or the name of its type if there is none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
