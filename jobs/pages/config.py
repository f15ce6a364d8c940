"""Typed config of `python -m jobs.report`. Keys are read like those of `python -m jobs.batch_infer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobs.job import Log, OutputLocation


@dataclass
class ReportedRun:
    """Selection of one run."""

    id: str | None = None
    """Published run to report on; null selects the latest."""


@dataclass
class ReportedImages:
    """The images of the run."""

    storage_options: dict[str, str] = field(default_factory=dict)
    """Settings for the store of the images if config.yaml of the run hides them, such as keys."""


@dataclass
class Reported:
    """Content of the report."""

    pictures: int = 400
    """Maximum number of pictures; 0 for none."""


@dataclass
class Reporting:
    """Whole config of `python -m jobs.report`."""

    output: OutputLocation = field(default_factory=OutputLocation)
    run: ReportedRun = field(default_factory=ReportedRun)
    dataset: ReportedImages = field(default_factory=ReportedImages)
    report: Reported = field(default_factory=Reported)
    verbose: bool = False
    """Show the traceback of unexpected errors."""
    log: Log = field(default_factory=Log)
