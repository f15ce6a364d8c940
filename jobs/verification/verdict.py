"""What was found of a run, and how it is told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.verification.findings import Findings


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
