"""Finds the causes of errors from PyTorch's exporters, whose messages are pages of advice for their authors. Used where
a network is exported.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from typing import TYPE_CHECKING

from actors.messages import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator


def cause(error: BaseException) -> str:
    """Returns the type and message of the root cause of ``error``, in one line without terminal codes."""
    chain = [error]
    while (behind := chain[-1].__cause__) is not None and behind not in chain:
        chain.append(behind)
    lines = [_CODES.sub("", line).strip() for line in str(chain[-1]).splitlines()]
    told = next((line for line in lines if line and not line.startswith(_PROSE)), "")
    return f"{type(chain[-1]).__name__}: {one_line(Exception(told))}" if told else type(chain[-1]).__name__


_CODES = re.compile(r"\x1b\[[0-9;]*m")  # colours of a terminal
_PROSE = ("Failed to ", "This is step ", "- ", "Next steps", "* ", "## ", "Refer to ")


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Silences the exporter, whose logs, warnings and prints do not help users; errors are still raised."""
    level = logging.root.manager.disable  # all loggers: the exporter's are spread over several libraries
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            yield
    finally:
        logging.disable(level)
