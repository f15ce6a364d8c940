"""Log lines on standard error: text for people, or JSON objects, one a line, for machines. Runs on the driver."""

from __future__ import annotations

import json
import logging
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from actors.escapes import printable, printable_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LOG = logging.getLogger("shardlens")


class LogFormat(StrEnum):
    """What log lines look like."""

    text = "text"
    """Time, level and message, for people; on a terminal progress is one line that moves."""
    json = "json"
    """JSON objects: time, level, message, run, and what else is known, such as shard and worker."""


@dataclass
class Log:
    """What the driver writes to standard error."""

    format: LogFormat = LogFormat.text
    """text, or json: an object a line, exceptions and progress included."""


def set_up_logging(form: LogFormat, *, verbose: bool) -> None:
    """Sends what is logged to standard error; as JSON also warnings, what libraries log, and what ends a thread."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form is LogFormat.json else TextLines())
    LOG.handlers, LOG.propagate = [handler], False
    LOG.setLevel(logging.DEBUG if verbose else logging.INFO)
    if form is LogFormat.json:
        logging.getLogger().handlers = [handler]
        logging.captureWarnings(capture=True)
        threading.excepthook = _log_thread_end


def format_of(overrides: Sequence[str]) -> LogFormat:
    """The format that a command asks for, where its config cannot be made."""
    return LogFormat.json if "log.format=json" in overrides else LogFormat.text


def is_for_machines() -> bool:
    return any(isinstance(handler.formatter, JsonLines) for handler in LOG.handlers)


def name_run(run_id: str) -> None:
    """From now on each JSON line has this ``run``."""
    for handler in LOG.handlers:
        if isinstance(handler.formatter, JsonLines):
            handler.formatter.run = run_id


def say(level: int, text: str, *, exc_info: bool = False) -> None:
    """A line that text shows as it is, without the time: what a person is told of the end of a command."""
    LOG.log(level, "%s", text, exc_info=exc_info, extra={_BARE: True})


class TextLines(logging.Formatter):
    """Lines for people: a record is one line, unless its lines are our own, whatever names it holds."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        if not getattr(record, _BARE, False):
            return printable_lines(super().format(record))
        text = f"error: {record.getMessage()}" if record.levelno >= logging.ERROR else record.getMessage()
        return printable_lines(f"{self.formatException(record.exc_info)}\n{text}" if record.exc_info else text)

    def formatException(self, ei: Any) -> str:  # noqa: N802  the name is logging's
        """Indented, so that no line of a message in it looks like one of the log."""
        return "\n".join(f"  {line}" for line in super().formatException(ei).splitlines())

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the name is logging's
        record.message = printable(record.message)
        return super().formatMessage(record)


class JsonLines(logging.Formatter):
    """Objects with ``time`` (ISO 8601, UTC), ``level`` and ``message``; ``run`` once it is known; what the record was
    given beside its message; ``logger`` where it is not ours; and ``exception``, the traceback.
    """

    run: str | None = None

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "level": record.levelname.lower(), "message": record.getMessage(), "run": self.run}
        line |= {"logger": None if record.name == LOG.name else record.name} | _extras(vars(record))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps({key: value for key, value in line.items() if value is not None}, default=str)


_BARE = "_is_bare"
_USUAL = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


def _extras(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What a record was given; Ray adds names of its own with an underscore."""
    return {key: value for key, value in attributes.items() if key not in _USUAL and not key.startswith("_")}


def _log_thread_end(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
        thread = ended.thread.name if ended.thread else "?"
        LOG.error("thread %s ended", thread, exc_info=(ended.exc_type, ended.exc_value, ended.exc_traceback))
