"""Findings: everything that is wrong with a run, by kind; and the verdict on the run. Each thread fills its own."""

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


class Status(StrEnum):
    """How a run stands."""

    proven = "proven"
    refuted = "refuted"
    unfinished = "unfinished"


@dataclass(frozen=True, eq=False)
class Verdict:
    """The numbers are those that were counted in inventory and parts; None where they could not be."""

    run_id: str
    status: Status
    findings: Findings
    num_listed: int | None = None
    num_ok: int = 0
    num_errors: int = 0
    num_parts: int = 0
    digest: str | None = None
    """Of the rows, as `rows_digest` adds them up, in 32 hexadecimal digits; of a proven run alone."""
    moved_to: str | None = None
    """The run that has the error rows now."""

    def lines(self) -> Iterator[str]:
        """One line for the run, then one for each thing that is wrong; all begin with its name."""
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
    return f"{number:,} {noun}{'s' * (number != 1)}"


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
