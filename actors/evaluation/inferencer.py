"""The interface of inferencers: before the first batch, after each batch, and after the last. Runs wherever rows are:
in a training loop, in a job's sink, or on the driver.
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
    """A measure of predicted rows, like tensorpack's ``Inferencer``.

    Its state is integers by name, which add up over batches, processes and parts in any order. Scores depend only on
    their totals, not on batch sizes.
    """

    def reset(self) -> None:
        """Forgets all rows."""

    def update(self, rows: pa.Table) -> None:
        """Adds rows from `actors.predictor.Predictor`, with the known labels as text in the column ``target``. Ignores
        rows without a prediction or a known label.
        """

    def counts(self) -> Mapping[str, int]:
        """Returns the state; empty for a measure that keeps whole predictions."""

    def compute(self, counts: Mapping[str, int]) -> dict[str, float]:
        """Returns scores by name from `counts`, summed over processes or parts. Omits undefined scores, such as without
        any known label. A measure that keeps whole predictions ignores ``counts``.
        """


class CountingInferencer(ABC):
    """An `Inferencer` defined by a function from rows to counts."""

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
        """Returns the counts of ``rows`` alone."""

    @abstractmethod
    def compute(self, counts: Mapping[str, int]) -> dict[str, float]:
        """Implements `Inferencer.compute`."""


def ratio(part: float, whole: float) -> float:
    """Divides; 0 / 0 is 0, as in torchmetrics and tensorpack."""
    return part / whole if whole else 0.0
