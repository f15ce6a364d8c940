"""Writes log lines to standard error: text for people, or one JSON object per line for machines. Runs on the driver."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import contextmanager
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

from jobs.cli.log_lines import BARE, NAME, JsonLines, TextLines
from jobs.job import LogFormat

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LOG = logging.getLogger(NAME)


def set_up_logging(form: LogFormat, *, verbose: bool) -> None:
    """Sends log records to standard error; as JSON, also warnings, library records, and exceptions in threads."""
    handler = _handler(form)
    # Replaced, because each job of a sweep gets here. The root must not get the same records: it may have this handler.
    LOG.handlers, LOG.propagate = [handler], False
    LOG.setLevel(logging.DEBUG if verbose else logging.INFO)
    if form is LogFormat.json:
        logging.getLogger().handlers = [handler]
        logging.captureWarnings(capture=True)
        threading.excepthook = _log_thread_end  # Python's prints a traceback, which is not JSON


@contextmanager
def lines_shown(form: LogFormat | str | None, *, verbose: bool) -> Iterator[None]:
    """Shows the log lines of a job run from Python, through the application's handlers or, if there are none, on
    standard error. Respects a level that the application has set for our logger.
    """
    handlers = [] if LOG.hasHandlers() else [_handler(form)]
    level = LOG.level
    if level == logging.NOTSET:
        LOG.setLevel(logging.DEBUG if verbose else logging.INFO)
    for handler in handlers:
        LOG.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            LOG.removeHandler(handler)
        LOG.setLevel(level)


def _handler(form: LogFormat | str | None) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    columns = get_terminal_size().columns if sys.stderr.isatty() else None
    handler.setFormatter(JsonLines() if form == LogFormat.json else TextLines(columns))
    return handler


def format_of(overrides: Sequence[str]) -> LogFormat:
    """Returns the log format on the command line, for a config that does not compose."""
    # Exact match of the argument: scripts pass it like this, and a miss affects only the format of one message.
    return LogFormat.json if "log.format=json" in overrides else LogFormat.text


def is_for_machines() -> bool:
    return any(isinstance(handler.formatter, JsonLines) for handler in LOG.handlers)


def name_run(run_id: str) -> None:
    """Adds ``run`` to all further JSON lines."""
    for handler in LOG.handlers:
        if isinstance(handler.formatter, JsonLines):
            handler.formatter.run = run_id


def log_closing(content: Mapping[str, Any]) -> None:
    """Logs one JSON line with ``content`` at the end of a run; text format has the report instead."""
    if is_for_machines():
        LOG.info("run ended", extra=dict(content))


def say(level: int, text: str, *, exc_info: bool = False) -> None:
    """Logs a message about the end of a command; as text, without time and level."""
    LOG.log(level, "%s", text, exc_info=exc_info, extra={BARE: True})


def _log_thread_end(ended: threading.ExceptHookArgs) -> None:
    # Like Python's own hook: SystemExit ends a thread silently.
    if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
        thread = ended.thread.name if ended.thread else "?"
        LOG.error("thread %s ended", thread, exc_info=(ended.exc_type, ended.exc_value, ended.exc_traceback))
