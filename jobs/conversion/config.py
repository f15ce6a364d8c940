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
    """Rows to convert, and the folder that they are written to."""

    path: str = "???"
    """New folder or URI prefix for the converted files. Locally it appears as a whole, once it is complete; in an
    object store, conversion.json says "done" last."""
    run: str | None = None
    """Run to convert, with all of its rows; null converts the newest rows of each image over all published runs."""
    model: str | None = None
    """Model fingerprint to convert, needed only where the output has several."""
    base: str | None = None
    """Folder or URI prefix that names of images are written relative to; null takes the dataset.path of the run."""
    annotations: str | None = None
    """COCO file with ground truth, for to=coco. Its ids of images, by file name, and of categories, by name, are
    used."""
    score_threshold: float = 0.0
    """Leave out boxes with a lower score, such as those that only an evaluation needs."""
    escape_formulas: bool = True
    """With to=csv, put an apostrophe before text that a spreadsheet would take for a formula."""
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
