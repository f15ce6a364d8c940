"""The evaluation of one run, shared by `jobs.evaluate` and `jobs.follow`: checks of the job, then the scores and their
document. Runs on the driver.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from actors.errors import JobError
from actors.storage.uris import absolute
from jobs.evaluating.gates import check_limits
from jobs.evaluating.measuring import measure, read_truth, score_names
from jobs.evaluating.published import read_published
from jobs.evaluating.results import metrics_document
from jobs.runs.commit import write_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.storage.store import Storage
    from jobs.evaluating.config import Evaluate
    from jobs.evaluating.measuring import Measured
    from jobs.evaluating.published import PublishedRun
    from jobs.job import Job


class Evaluated(NamedTuple):
    """A published run and its scores."""

    run: PublishedRun
    measured: Measured


def check_job(wanted: Evaluate, job: Job, storage: Storage) -> Sequence[str]:
    """Names of the scores that ``job`` gives.

    Raises:
        JobError: its rows could not be compared with anything; nothing was started.
    """
    has_annotations = wanted.annotations is not None
    names = score_names({"name": job.task.name, **vars(job.task)}, has_annotations=has_annotations)
    check_limits(wanted, names)
    if job.run.redrive or job.run.slices > 1:
        key = "run.redrive=true" if job.run.redrive else f"run.slices={job.run.slices}"
        raise JobError(
            f"{key}: the scores would be those of a part of the images",
            cure="run python -m jobs.batch_infer with that key, then jobs.evaluate with evaluate.run=RUN_ID",
        )
    if wanted.annotations is not None:
        read_truth(wanted.annotations, storage, masks=job.task.name == "segment")
    has_labels = getattr(job.dataset, "label_column", None) or getattr(job.dataset, "folder_labels", False)
    if not has_labels and not has_annotations:
        raise JobError(
            "jobs.evaluate: the dataset has no labels",
            cure="set dataset.label_column=NAME, or dataset.folder_labels=true where each folder is a class",
        )
    return names


def evaluate_run(root: str, run_id: str, wanted: Evaluate, storage: Storage) -> Evaluated:
    """Compares the rows of a published run with known labels, and writes its ``metrics.json``.

    Args:
        root: `output.path`.
        run_id: name of the run.
        wanted: annotations, and limits whose names are checked.
        storage: holds the output.

    Raises:
        JobError: the run cannot be read, or has no labels.
    """
    run = read_published(absolute(root), run_id, storage)
    check_limits(wanted, score_names(run.config["task"], has_annotations=wanted.annotations is not None))
    measured = measure(run, wanted, storage)
    document = json.dumps(metrics_document(run, measured), indent=1, ensure_ascii=False)
    write_document(run.paths.metrics, document.encode(), storage)
    return Evaluated(run, measured)
