"""Compares numbers of task=regress and task=raw column by column. Used on the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from jobs.comparison.answers import Changes
from jobs.comparison.distributions import distribution
from jobs.comparison.flips import examples
from jobs.comparison.number_columns import NumberColumns, differences

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from jobs.comparison.answers import Match
    from jobs.comparison.outcomes import Outcomes


class RawAnswers:
    """Tensors differ by their largest difference in a value; the maximum over all is the drift."""

    limits = ("max_drift",)

    def __init__(self, a: pa.Schema, b: pa.Schema) -> None:
        self.numbers = NumberColumns.of(a, b)
        self.columns, self.kept = self.numbers.names, self.numbers.kept
        self.batch_rows = max(1, min(1 << 17, _BATCH_VALUES // max(1, self.numbers.num_values)))

    def keep(self, rows: pa.Table) -> pa.Table:
        return self.numbers.keep(rows)

    def measure(self, pairs: pa.Table) -> pa.Table:
        """Computes the largest and mean difference of each column, in ``largest0``, ``mean0`` and so on."""
        measured: dict[str, np.ndarray] = {}
        for place, (a, b) in enumerate(self.numbers.pairs(pairs)):
            apart = differences(a, b)
            measured[f"largest{place}"] = apart.max(axis=1, initial=0)
            measured[f"mean{place}"] = apart.mean(axis=1) if len(apart) else np.zeros(0)
        return pa.table(measured)

    def changes(self, outcomes: Outcomes) -> Changes:
        figures = self.figures(outcomes)
        largest = max((found["largest_difference"] for found in figures.values()), default=0.0)
        return Changes(drift=largest, figures={"columns": figures}, examples=self.most_different(outcomes))

    def figures(self, outcomes: Outcomes) -> dict[str, Mapping[str, Any]]:
        """Returns the differences of each column, by name."""
        found: dict[str, Mapping[str, Any]] = {}
        for place, name in enumerate(self.numbers.names):
            ((largest, mean, num),) = outcomes.query(
                f"SELECT max(largest{place}), avg(mean{place}), count(*) FILTER (largest{place} > 0) FROM pairs"
            )
            found[name] = {"largest_difference": largest or 0.0, "mean_difference": mean or 0.0, "num_images": num}
        return found

    def most_different(self, outcomes: Outcomes) -> dict[str, list[Match]]:
        """Returns the images with the largest differences in each of the first columns."""
        return {
            f"Largest differences of {name}": examples(
                outcomes, f"SELECT a, b, largest{place} AS weight FROM pairs WHERE largest{place} > 0", _NUM_IMAGES
            )
            for place, name in enumerate(self.numbers.names[:_NUM_COLUMNS])
        }


class RegressAnswers(RawAnswers):
    """Numbers differ by column; the drift is the largest drift of a column's values."""

    def measure(self, pairs: pa.Table) -> pa.Table:
        return pa.table(
            {
                **{name: pairs[name] for name in pairs.column_names if name not in "ab"},
                **_columns(super().measure(pairs)),
            }
        )

    def changes(self, outcomes: Outcomes) -> Changes:
        found = [
            distribution(outcomes, name, *(f"SELECT unnest({side}_v{place}) AS x FROM pairs" for side in "ab"))
            for place, name in enumerate(self.numbers.names)
        ]
        distributions = [one for one in found if one is not None]
        drift = max((one.drift for one in distributions), default=0.0)
        return Changes(
            drift=drift,
            distributions=distributions,
            figures={"columns": self.figures(outcomes)},
            examples=self.most_different(outcomes),
        )


def _columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return dict(zip(table.column_names, table.columns, strict=True))


_BATCH_VALUES = 1 << 21
_NUM_COLUMNS, _NUM_IMAGES = 4, 24
