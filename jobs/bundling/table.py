"""The parity table of an export. Runs on the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.bundling.parity import FormParity


def table_of(rows: Sequence[FormParity], *, with_rates: bool = True) -> list[list[str]]:
    """Returns a header and one row of cells per form. Optionally omits rates, which vary between runs."""
    heads = ["form", "precision", "engine", "images", "largest diff", "mean diff", "flips", "images/s", "passed"]
    cells = [heads, *map(_cells, rows)]
    if with_rates:
        return cells
    return [[cell for place, cell in enumerate(row) if heads[place] != "images/s"] for row in cells]


def failures_of(rows: Sequence[FormParity]) -> list[str]:
    """Returns a line for each failed form, with the reason."""
    return [f"{row.form} {row.precision} failed: {row.breaches[0]}" for row in rows if row.breaches]


NUM_TEXTS = 3
"""Left-aligned columns of `table_of`."""


def _cells(row: FormParity) -> list[str]:
    return [
        row.form, row.precision, row.engine, f"{row.images:,}", _number(row.largest_difference),
        _number(row.mean_difference), "-" if row.flips is None else str(row.flips),
        "-" if row.images_per_s is None else f"{row.images_per_s:,.0f}", "yes" if row.passed else "no",
    ]  # fmt: skip


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"
