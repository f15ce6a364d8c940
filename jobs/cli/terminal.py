"""Prints results on standard output: whole lines for scripts, word-wrapped tables on a terminal. Runs on the driver and
on the client.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from contextvars import ContextVar
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from actors.escapes import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


@contextmanager
def nothing_shown() -> Iterator[None]:
    """Silences this module, in this thread only."""
    before = _IS_SILENT.set(True)
    try:
        yield
    finally:
        _IS_SILENT.reset(before)


_IS_SILENT = ContextVar("is_silent", default=False)


def show(*lines: str) -> None:
    """Prints each of ``lines`` as one line, whatever characters the names in it contain."""
    for line in () if _IS_SILENT.get() else lines:
        print(printable(line))  # noqa: T201  the only place that prints for a person or a script


def show_text(*lines: str) -> None:
    """Prints sentences: word-wrapped on a terminal, one per line elsewhere."""
    if sys.stdout.isatty():
        _show_wrapped([(line,) for line in lines], num_texts=1, gap=0)
    else:
        show(*lines)


def show_pairs(pairs: Iterable[tuple[str, str]], *, width: int) -> None:
    """Prints names and values, with values starting at column ``width``. On a terminal, a long value wraps within its
    column unless that would break a word, such as a path; elsewhere, each pair is one line.
    """
    room = get_terminal_size().columns - width if sys.stdout.isatty() else -1
    for name, value in pairs:
        if max(map(len, printable(value).split()), default=0) <= room:
            _show_wrapped([(name.ljust(width - 1), value)], num_texts=2, gap=1)
        else:
            show(f"{name:<{width}}{value}")


def show_columns(rows: Sequence[Sequence[str]], *, num_texts: int = 1) -> None:
    """Prints a table with the first ``num_texts`` columns left-aligned and the others right-aligned. On a narrow
    terminal, cells are word-wrapped; elsewhere, each row is one line.
    """
    if sys.stdout.isatty():
        _show_wrapped(rows, num_texts=num_texts, gap=2)
    else:
        show(*aligned(rows, num_texts=num_texts))


def aligned(rows: Sequence[Sequence[str]], *, num_texts: int = 1) -> list[str]:
    """Returns the lines that `show_columns` prints without a terminal."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = [
        [
            cell.ljust(width) if place < num_texts else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    ]
    return ["  ".join(row).rstrip() for row in cells]


def _show_wrapped(rows: Sequence[Sequence[str]], *, num_texts: int, gap: int) -> None:
    if _IS_SILENT.get():
        return
    from rich.console import Console  # noqa: PLC0415  takes a tenth of a second, which scripts need not wait for
    from rich.table import Table  # noqa: PLC0415  as above
    from rich.text import Text  # noqa: PLC0415  as above

    table = Table.grid(padding=(0, gap, 0, 0))
    for place in range(len(rows[0]) if rows else 0):
        table.add_column(justify="left" if place < num_texts else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))  # `Text`: brackets in a name are not markup
    Console(file=sys.stdout, highlight=False).print(table)
