"""Typed config of `python -m jobs.runs`. Keys are read like those of `python -m jobs.batch_infer`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from jobs.job import Log


class ListFormat(Enum):
    """Form in which runs are printed."""

    text = "text"
    json = "json"


@dataclass
class ListedOutput:
    """Location of the runs."""

    path: str = "???"
    """Folder or URI prefix: the output.path of the job."""
    storage_options: dict[str, str] = field(default_factory=dict)
    """obstore's settings for this place, such as endpoint or region."""


@dataclass
class ListedRuns:
    """Selects runs, and the form in which they are printed."""

    format: ListFormat = ListFormat.text
    """text: a table; json: one object a line."""


@dataclass
class RunList:
    """Whole config of `python -m jobs.runs`."""

    output: ListedOutput = field(default_factory=ListedOutput)
    runs: ListedRuns = field(default_factory=ListedRuns)
    verbose: bool = False
    """Show the traceback of unexpected errors."""
    log: Log = field(default_factory=Log)
