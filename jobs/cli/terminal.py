"""Results on standard output: whole lines for scripts, tables that wrap between words on a terminal. Runs on the driver
and on the client.
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
    """Silences this module until the end of the block, in this thread alone."""
    before = _IS_SILENT.set(True)
    try:
        yield
    finally:
        _IS_SILENT.reset(before)


_IS_SILENT = ContextVar("is_silent", default=False)


def show(*lines: str) -> None:
    """Prints each of ``lines`` as one line, whatever characters the names in it have."""
    for line in () if _IS_SILENT.get() else lines:
        print(printable(line))  # noqa: T201  the only place that prints for a person or a script


def show_text(*lines: str) -> None:
    """Prints sentences: on a terminal, a long one breaks between words; elsewhere each is one line."""
    if sys.stdout.isatty():
        _show_wrapped([(line,) for line in lines], num_texts=1, gap=0)
    else:
        show(*lines)


def show_pairs(pairs: Iterable[tuple[str, str]], *, width: int) -> None:
    """Prints names and values, the values from column ``width`` on. On a terminal, a value that is too long continues
    below itself, unless that would break a word of it, such as a path; elsewhere each pair is one line.
    """
    room = get_terminal_size().columns - width if sys.stdout.isatty() else -1
    for name, value in pairs:
        if max(map(len, printable(value).split()), default=0) <= room:
            _show_wrapped([(name.ljust(width - 1), value)], num_texts=2, gap=1)
        else:
            show(f"{name:<{width}}{value}")


def show_columns(rows: Sequence[Sequence[str]], *, num_texts: int = 1) -> None:
    """Prints a table whose first ``num_texts`` columns are aligned to the left and the others to the right. On a
    terminal that is too narrow, cells break between words; elsewhere each row is one line.
    """
    if sys.stdout.isatty():
        _show_wrapped(rows, num_texts=num_texts, gap=2)
    else:
        show(*aligned(rows, num_texts=num_texts))


def aligned(rows: Sequence[Sequence[str]], *, num_texts: int = 1) -> list[str]:
    """The lines of `show_columns` where no terminal is."""
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
        table.add_row(*(Text(printable(cell)) for cell in row))  # `Text`: brackets in a name are no markup
    Console(file=sys.stdout, highlight=False).print(table)
