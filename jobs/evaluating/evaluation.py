"""Evaluates one run, for `jobs.evaluate` and `jobs.follow`: checks the job, then computes and writes the scores. Runs
on the driver.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from actors.errors import JobError
from jobs.evaluating.gates import check_limits
from jobs.evaluating.measuring import measure, read_truth, score_names
from jobs.evaluating.results import metrics_document
from jobs.runs.commit import write_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.outputs import PublishedRun
    from actors.storage.store import Storage
    from jobs.evaluating.config import Evaluate
    from jobs.evaluating.measuring import Measured
    from jobs.job import Job


def check_job(wanted: Evaluate, job: Job, storage: Storage) -> Sequence[str]:
    """Returns the names of the scores that ``job`` yields.

    Raises:
        JobError: its rows cannot be compared with labels; nothing was started.
    """
    has_annotations = wanted.annotations is not None
    names = score_names({"name": job.task.name, **vars(job.task)}, has_annotations=has_annotations)
    check_limits(wanted, names)
    if job.run.redrive or job.run.slices > 1:
        key = "run.redrive=true" if job.run.redrive else f"run.slices={job.run.slices}"
        raise JobError(
            f"{key}: the scores would be those of a part of the images",
            fix="run python -m jobs.batch_infer with that key, then jobs.evaluate with evaluate.run=RUN_ID",
        )
    if wanted.annotations is not None:
        read_truth(wanted.annotations, storage, masks=job.task.name == "segment")
    has_labels = getattr(job.dataset, "label_column", None) or getattr(job.dataset, "folder_labels", False)
    if not has_labels and not has_annotations:
        raise JobError(
            "jobs.evaluate: the dataset has no labels",
            fix="set dataset.label_column=NAME, or dataset.folder_labels=true where each folder is a class",
        )
    return names


def evaluate_run(run: PublishedRun, wanted: Evaluate) -> Measured:
    """Compares the rows of ``run`` with known labels, and writes its ``metrics.json``.

    Raises:
        JobError: no row has a known label, or a required file cannot be read.
    """
    check_limits(wanted, score_names(run.config["task"], has_annotations=wanted.annotations is not None))
    measured = measure(run, wanted)
    document = json.dumps(metrics_document(run, measured), indent=1, ensure_ascii=False)
    write_document(run.paths.metrics, document.encode(), run.storage)
    return measured
