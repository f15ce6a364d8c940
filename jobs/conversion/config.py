"""Typed config of `python -m jobs.convert`. Keys are read like those of `python -m jobs.batch_infer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobs.job import Log


@dataclass
class ConvertedOutput:
    """Location of the runs."""

    path: str = "???"
    """Folder or URI prefix: the output.path of the job."""
    storage_options: dict[str, str] = field(default_factory=dict)
    """Settings for the stores of `path` and of `convert.path`, such as endpoint or region."""


@dataclass
class Convert:
    """Rows to convert, and the destination folder."""

    path: str = "???"
    """New folder or URI prefix for the converted files. A local folder appears only when complete; in an object store,
    conversion.json says "done" last."""
    run: str | None = None
    """Run to convert, with all of its rows; null converts the newest rows of each image over all published runs."""
    model: str | None = None
    """Model fingerprint to convert, needed only if the output has several."""
    base: str | None = None
    """Folder or URI prefix to which image names are relative; null uses the run's dataset.path."""
    annotations: str | None = None
    """COCO file with ground truth, for to=coco. Its image ids, matched by file name, and category ids, matched by name,
    are used."""
    score_threshold: float = 0.0
    """Omit boxes with a lower score, such as those needed only for evaluation."""
    escape_formulas: bool = True
    """With to=csv, put an apostrophe before text that a spreadsheet would interpret as a formula."""
    overwrite: bool = False
    """Replace an earlier conversion at `path`; other files are never replaced."""


@dataclass
class Conversion:
    """Whole config of `python -m jobs.convert`."""

    output: ConvertedOutput = field(default_factory=ConvertedOutput)
    to: str = "???"
    """Format: coco, csv, fiftyone, hf, jsonl or yolo."""
    convert: Convert = field(default_factory=Convert)
    verbose: bool = False
    """Show the traceback of unexpected errors."""
    log: Log = field(default_factory=Log)
