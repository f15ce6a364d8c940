"""Lines on standard output: what a command was run for. Runs on the driver and on the client."""

from __future__ import annotations

from actors.escapes import printable


def show(*lines: str) -> None:
    """Prints each of ``lines`` as one line, whatever the names in it hold."""
    for line in lines:
        print(printable(line))  # noqa: T201  the only place that prints for a person or a script
