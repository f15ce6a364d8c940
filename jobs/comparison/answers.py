"""Interface between tasks and a comparison: the columns it keeps, the difference of two answers, and the summary of
all. Used on the driver.
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
    """Row numbers, of rows or error rows, of one image in both runs."""

    a: int
    b: int


@dataclass(frozen=True)
class Flip:
    """A change from one class to another."""

    before: str | None
    """None for a box or pixel found only in B."""
    after: str | None
    """None for a box or pixel found only in A."""
    num: int
    """Number of images, boxes or pixels."""
    examples: Sequence[Match] = ()


@dataclass(frozen=True)
class Changes:
    """Differences between the answers of images with an answer in both runs."""

    num_flips: int | None = None
    """Number of images whose answer differs; None for tasks without classes."""
    flip_ratio: float | None = None
    """`num_flips` over all images with two answers; for class maps, the share of differing pixels."""
    drift: float | None = None
    flips: Sequence[Flip] = ()
    """Most frequent first."""
    distributions: Sequence[Distribution] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    """Plain values for display and comparison.json, by name."""
    classes: Sequence[Mapping[str, Any]] = ()
    """Counts of the most changed classes."""
    examples: Mapping[str, Sequence[Match]] = field(default_factory=dict)
    """Images to look at, by group title."""


class Answers(Protocol):
    """Answers of one task. Column names are our own: the user's could be anything."""

    @property
    def columns(self) -> Sequence[str]:
        """Columns of the rows to read, in addition to image_id and uri."""
        ...

    @property
    def kept(self) -> pa.Schema:
        """Columns of the tables ``a`` and ``b``."""
        ...

    @property
    def batch_rows(self) -> int:
        """Number of rows to `measure` at a time."""
        ...

    @property
    def limits(self) -> Sequence[str]:
        """Limits that apply to the task: max_flip_ratio, max_drift, or both."""
        ...

    def keep(self, rows: pa.Table) -> pa.Table:
        """Returns the columns `kept` of rows."""
        ...

    def measure(self, pairs: pa.Table) -> pa.Table:
        """Measures pairs of answers, with columns ``a_NAME`` and ``b_NAME`` for each name in `kept`."""
        ...

    def changes(self, outcomes: Outcomes) -> Changes:
        """Summarises the table ``pairs`` of measured columns."""
        ...
