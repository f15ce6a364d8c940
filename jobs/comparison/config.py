"""Typed config of `python -m jobs.compare`. Keys are read like those of `python -m jobs.batch_infer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobs.job import Log


@dataclass
class ComparedOutput:
    """Location of the runs."""

    path: str | None = None
    """Folder or URI prefix of the runs that `a` and `b` name: the job's output.path. Null if both are paths."""
    storage_options: dict[str, str] = field(default_factory=dict)
    """Settings for the stores of both runs and of `compare.path`, such as endpoint or region."""


@dataclass
class ComparedImages:
    """The images of both runs."""

    storage_options: dict[str, str] = field(default_factory=dict)
    """Settings for the store of the images if config.yaml of a run hides them, such as keys."""


@dataclass
class Compare:
    """Files that a comparison writes, and its limits. If a limit is exceeded, the command exits with status 3 after
    writing all files; null sets no limit.
    """

    path: str | None = None
    """Folder or URI prefix for comparison.json and comparison.html; null is comparisons/A below the folder of run B."""
    pictures: int = 240
    """Maximum number of images in comparison.html, which are reread from the dataset; 0 for none."""
    max_flip_ratio: float | None = None
    """Maximum share of images in both runs whose answer differs, from 0 to 1."""
    max_new_errors: int | None = None
    """Maximum number of images with an answer in run A that failed in run B."""
    max_drift: float | None = None
    """Maximum drift of the scores or values; its unit depends on the task."""
    max_missing: int | None = None
    """Maximum number of images in run A that are missing from run B."""


@dataclass
class Comparison:
    """Whole config of `python -m jobs.compare`."""

    a: str = "???"
    """Published run to compare with: its id below `output.path`, or path or URI of its folder, OUTPUT/runs/RUN_ID."""
    b: str = "???"
    """Published run to compare, specified like `a`."""
    output: ComparedOutput = field(default_factory=ComparedOutput)
    dataset: ComparedImages = field(default_factory=ComparedImages)
    compare: Compare = field(default_factory=Compare)
    verbose: bool = False
    """Show the traceback of unexpected errors."""
    log: Log = field(default_factory=Log)
