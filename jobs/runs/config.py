"""Typed config of `python -m jobs.runs`. Keys are read like those of `python -m jobs.batch_infer`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from jobs.job import Log, OutputLocation


class ListFormat(Enum):
    """Form in which runs are printed."""

    text = "text"
    json = "json"


@dataclass
class ListedRuns:
    """Selects runs, and the form in which they are printed."""

    format: ListFormat = ListFormat.text
    """text: a table; json: one object a line."""


@dataclass
class RunList:
    """Whole config of `python -m jobs.runs`."""

    output: OutputLocation = field(default_factory=OutputLocation)
    runs: ListedRuns = field(default_factory=ListedRuns)
    verbose: bool = False
    """Show the traceback of unexpected errors."""
    log: Log = field(default_factory=Log)
