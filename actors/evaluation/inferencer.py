"""The seam of measures: before the first batch, after each one, and after the last. Runs wherever rows are: in a
training loop, in the sink of a job, on the driver.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa


@runtime_checkable
class Inferencer(Protocol):
    """A measure of predicted rows, as tensorpack's ``Inferencer``.

    Its state is whole numbers by name, which add up over batches, processes and parts in any order. Scores follow from
    their totals alone, so that the sizes of batches change nothing.
    """

    def reset(self) -> None:
        """Forgets all rows."""

    def update(self, rows: pa.Table) -> None:
        """Takes rows from `actors.predictor.Predictor`, with the known labels as text in the column ``target``. Rows
        without an answer or a known label are left out.
        """

    def counts(self) -> Mapping[str, int]:
        """The state; empty for a measure that keeps whole predictions."""

    def compute(self, counts: Mapping[str, int]) -> dict[str, float]:
        """Scores by name from ``counts``: those of `counts`, added up over processes or parts. Omits undefined ones,
        as without any known label. A measure that keeps whole predictions ignores ``counts``.
        """


class CountingInferencer(ABC):
    """An `Inferencer` with a function from rows to counts."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def reset(self) -> None:
        self._counts.clear()

    def update(self, rows: pa.Table) -> None:
        self._counts.update(self.count(rows))

    def counts(self) -> dict[str, int]:
        return dict(self._counts)

    @abstractmethod
    def count(self, rows: pa.Table) -> Mapping[str, int]:
        """The counts of ``rows`` alone."""

    @abstractmethod
    def compute(self, counts: Mapping[str, int]) -> dict[str, float]:
        """See `Inferencer.compute`."""


def ratio(part: float, whole: float) -> float:
    """Divides, with 0 for 0 / 0, as torchmetrics and tensorpack do."""
    return part / whole if whole else 0.0
