"""Formatters of log lines: text for people, or JSON objects. Used on the driver by `jobs.cli.logs`."""

from __future__ import annotations

import json
import logging
import textwrap
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from actors.escapes import printable, printable_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "shardlens"
"""Name of our logger."""

BARE = "_is_bare"
"""Attribute of records that text format shows without time and level."""


class TextLines(logging.Formatter):
    """Formats one line per record, whatever names it contains, except for our own line breaks. With ``columns``, the
    width of a terminal, longer lines break between words, except in tracebacks.
    """

    def __init__(self, columns: int | None = None) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
        self._columns = columns

    def format(self, record: logging.LogRecord) -> str:
        if not getattr(record, BARE, False):
            return self._broken(super().format(record), record, _MESSAGE_COLUMN)
        text = f"error: {record.getMessage()}" if record.levelno >= logging.ERROR else record.getMessage()
        return self._broken(f"{self.formatException(record.exc_info)}\n{text}" if record.exc_info else text, record, 2)

    def _broken(self, text: str, record: logging.LogRecord, indent: int) -> str:
        text = printable_lines(text)
        if self._columns is None or record.exc_info:
            return text
        wrapper = textwrap.TextWrapper(self._columns, break_long_words=False, break_on_hyphens=False)
        lines = []
        for line in text.split("\n"):
            wrapper.subsequent_indent = " " * (len(line) - len(line.lstrip()) + indent)
            lines += wrapper.wrap(line) or [""]
        return "\n".join(lines)

    def formatException(self, ei: Any) -> str:  # noqa: N802  the name is logging's
        """Indents the traceback, so that no line of it looks like a log line."""
        return "\n".join(f"  {line}" for line in super().formatException(ei).splitlines())

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the name is logging's
        # Here rather than in `format`, which appends a traceback: its line breaks are our own.
        record.message = printable(record.message)
        return super().formatMessage(record)


_MESSAGE_COLUMN = len("12:34:56 INFO ")


class JsonLines(logging.Formatter):
    """Formats JSON objects with ``time`` (ISO 8601, UTC), ``level`` and ``message``; ``run`` once known; the extra
    fields of the record; ``logger`` if it is not ours; and ``exception``, the traceback.
    """

    run: str | None = None
    """Id of the run, set by `name_run`: the first lines of a job precede the choice of a run."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "level": record.levelname.lower(), "message": record.getMessage(), "run": self.run}
        line |= {"logger": None if record.name == NAME else record.name} | _extras(vars(record))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # ASCII, the default, so that no name breaks a line or changes its direction. Extras may have any type.
        return json.dumps({key: value for key, value in line.items() if value is not None}, default=str)


_USUAL = {*vars(logging.makeLogRecord({})), "message", "asctime"}  # formatters add the last two to the record


def _extras(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the extra fields of a record, without Ray's, which begin with an underscore."""
    return {key: value for key, value in attributes.items() if key not in _USUAL and not key.startswith("_")}
