"""Results on standard output. Runs on the driver and on the client."""

from __future__ import annotations

from actors.escapes import printable


def show(*lines: str) -> None:
    """Prints each of ``lines`` as one line, whatever characters the names in it have."""
    for line in lines:
        print(printable(line))  # noqa: T201  the only place that prints for a person or a script
