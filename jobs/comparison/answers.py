"""The seam between tasks and a comparison: what it keeps of a row, how two answers differ, and what to say of them all.
Used on the driver.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from jobs.comparison.distributions import Distribution
    from jobs.comparison.outcomes import Outcomes


class Match(NamedTuple):
    """Numbers of the rows, or error rows, of one image in both runs."""

    a: int
    b: int


@dataclass(frozen=True)
class Flip:
    """A change from one class to another."""

    before: str | None
    """None for a box or pixel that only B has."""
    after: str | None
    """None for one that only A has."""
    num: int
    """Images; of boxes and pixels, their number."""
    examples: Sequence[Match] = ()


@dataclass(frozen=True)
class Changes:
    """Differences between the answers of images that have one in both runs."""

    num_flips: int | None = None
    """Images whose answer differs; None for tasks that name no classes."""
    flip_ratio: float | None = None
    """`num_flips` over all images with two answers; with class maps, the share of pixels that differ."""
    drift: float | None = None
    flips: Sequence[Flip] = ()
    """The most frequent ones first."""
    distributions: Sequence[Distribution] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    """Plain values for people and for comparison.json, by name."""
    classes: Sequence[Mapping[str, Any]] = ()
    """Counts of the classes that changed most."""
    examples: Mapping[str, Sequence[Match]] = field(default_factory=dict)
    """Images to look at, by the title of their group."""


class Answers(Protocol):
    """Answers of one task. Names of columns are our own: those of a user could be anything."""

    @property
    def columns(self) -> Sequence[str]:
        """Columns of the rows that are read, besides image_id and uri."""
        ...

    @property
    def kept(self) -> pa.Schema:
        """Columns of the tables ``a`` and ``b``."""
        ...

    @property
    def batch_rows(self) -> int:
        """Rows to `measure` at once."""
        ...

    @property
    def limits(self) -> Sequence[str]:
        """Limits that the task has something for: max_flip_ratio, max_drift, or both."""
        ...

    def keep(self, rows: pa.Table) -> pa.Table:
        """The columns `kept` of rows."""
        ...

    def measure(self, pairs: pa.Table) -> pa.Table:
        """Measures pairs of answers, with columns ``a_NAME`` and ``b_NAME`` of each name in `kept`."""
        ...

    def changes(self, outcomes: Outcomes) -> Changes:
        """Sums up the table ``pairs`` of the measured columns."""
        ...
