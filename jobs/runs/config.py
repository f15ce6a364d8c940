"""Typed config of `python -m jobs.runs`. Keys are read like those of `python -m jobs.batch_infer`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from jobs.job import Log, OutputLocation


class ListFormat(Enum):
    """Output format of the list."""

    text = "text"
    json = "json"


@dataclass
class ListedRuns:
    """Selection of runs, and their output format."""

    format: ListFormat = ListFormat.text
    """text: a table; json: one object per line."""


@dataclass
class RunList:
    """Whole config of `python -m jobs.runs`."""

    output: OutputLocation = field(default_factory=OutputLocation)
    runs: ListedRuns = field(default_factory=ListedRuns)
    verbose: bool = False
    """Show the traceback of unexpected errors."""
    log: Log = field(default_factory=Log)
