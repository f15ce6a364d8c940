"""The parity table of an export. Runs on the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.bundling.parity import FormParity


def table_of(rows: Sequence[FormParity], *, with_rates: bool = True) -> list[str]:
    """A line per form, then one for each form that failed, with the reason.

    Args:
        rows: outcomes of the comparisons.
        with_rates: include images per second, which differ from run to run.
    """
    heads = ["form", "precision", "engine", "images", "largest diff", "mean diff", "flips", "images/s", "passed"]
    cells = [heads, *map(_cells, rows)]
    if not with_rates:
        cells = [[cell for place, cell in enumerate(row) if heads[place] != "images/s"] for row in cells]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in cells]
    return [*lines, *(f"{row.form} {row.precision} failed: {row.breaches[0]}" for row in rows if row.breaches)]


_NUM_TEXTS = 3  # columns that are aligned to the left


def _cells(row: FormParity) -> list[str]:
    return [
        row.form, row.precision, row.engine, f"{row.images:,}", _number(row.largest_difference),
        _number(row.mean_difference), "-" if row.flips is None else str(row.flips),
        "-" if row.images_per_s is None else f"{row.images_per_s:,.0f}", "yes" if row.passed else "no",
    ]  # fmt: skip


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if place < _NUM_TEXTS else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
