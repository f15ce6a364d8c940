"""Config of `python -m jobs.evaluate`, which extends that of a job."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from jobs.job import Job, Log, Output


@dataclass
class Evaluate:
    """Comparison of predictions with known labels, and the limits on its scores."""

    run: str | None = None
    """Published run below `output.path` to evaluate; null predicts the dataset first, as `jobs.batch_infer` does."""
    annotations: str | None = None
    """COCO file with ground truth, for boxes of task=detect and instances of task=segment."""
    results_file: str | None = None
    """CSV file to which a row with the columns of timm's validate.py is appended; created if missing."""
    fail_under: dict[str, float] = field(default_factory=dict)
    """Minimum values of scores, by name; a lower score ends with status 3. Shares from 0 to 1, also for top1 and top5,
    such as top1=0.75."""
    fail_over: dict[str, float] = field(default_factory=dict)
    """Maximum values of scores, by name, such as ece=0.05; a higher score ends with status 3."""


@dataclass
class EvaluationJob(Job):
    """Config of `python -m jobs.evaluate`: a job, and the comparison of its rows with known labels."""

    evaluate: Evaluate = field(default_factory=Evaluate)

    @property
    def job(self) -> Job:
        """The job alone, as run by `jobs.batch_infer`."""
        return Job(**{item.name: getattr(self, item.name) for item in fields(Job)})


@dataclass
class Evaluation:
    """Rows to evaluate, and the settings."""

    evaluate: Evaluate
    output: Output
    job: Job | None
    """The job to run first; None for a published run."""
    verbose: bool = False
    log: Log = field(default_factory=Log)
