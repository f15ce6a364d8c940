"""Progress of a Python caller's predictions on standard error: a live line on a terminal, otherwise plain lines."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

LINE_S = 5.0
"""Seconds between plain lines; the last line reports the end."""


def with_progress(tables: Iterable[pa.Table], total: int | None) -> Iterator[pa.Table]:
    """Yields ``tables``, one row per image, and shows the number of images, of errors, and the rate.

    Args:
        tables: their column ``error`` is null unless the image failed.
        total: total number of images; None if unknown.
    """
    return (_with_live_line if sys.stderr.isatty() else _with_lines)(tables, total)


def _with_lines(tables: Iterable[pa.Table], total: int | None) -> Iterator[pa.Table]:
    count, shown_at = _Count(total), time.monotonic()
    for table in tables:
        count.add(table)
        if time.monotonic() - shown_at >= LINE_S:
            shown_at = time.monotonic()
            _print(count)
        yield table
    _print(count)


def _with_live_line(tables: Iterable[pa.Table], total: int | None) -> Iterator[pa.Table]:
    from rich.console import Console  # noqa: PLC0415  takes a tenth of a second; needed only on a terminal
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415  as above

    count = _Count(total)
    columns = (BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:
        task = progress.add_task("", total=total)
        for table in tables:
            count.add(table)
            progress.update(task, completed=count.num_images, description=str(count))
            yield table
    _print(count)


class _Count:
    """Number of images so far."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._began = time.monotonic()
        self.num_images = self._num_errors = 0

    def add(self, table: pa.Table) -> None:
        self.num_images += len(table)
        self._num_errors += len(table) - table["error"].null_count

    def __str__(self) -> str:
        of = "" if self._total in (None, self.num_images) else f" of {self._total:,}"
        rate = self.num_images / max(time.monotonic() - self._began, 1e-9)
        return f"{self.num_images:,}{of} images, {self._num_errors:,} errors, {rate:,.1f} images/s"


def _print(count: _Count) -> None:
    print(count, file=sys.stderr, flush=True)  # noqa: T201  requested by the caller
