"""`python -m jobs.evaluate +dataset=... model.source=...`: predicts a dataset, or takes a published run, and compares
its rows with known labels.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import hydra

from actors.errors import JobError
from actors.outputs import open_output
from actors.storage.uris import redacted
from jobs.batch_infer import infer
from jobs.cli.entry import ExitStatus, end_with, run_verb
from jobs.cli.terminal import show
from jobs.config import to_evaluation
from jobs.evaluating.gates import breaches, check_limits
from jobs.evaluating.measuring import measure, read_truth, score_names
from jobs.evaluating.results import add_result, lines_of, metrics_document
from jobs.runs.commit import write_document

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from actors.storage.store import Storage
    from jobs.evaluating.config import Evaluate, Evaluation
    from jobs.job import Job

LOG = logging.getLogger("shardlens")


@hydra.main(version_base="1.3", config_path="pkg://conf", config_name="evaluate")
def main(config: DictConfig) -> None:
    verbose, log_format = bool(config.verbose), config.log.format
    end_with(lambda: evaluate(to_evaluation(config)), verbose=verbose, log_format=log_format)


def evaluate(wanted: Evaluation) -> ExitStatus:
    """Prints the scores, writes ``metrics.json`` into the folder of the run, and names it on the last line.

    Returns `ExitStatus.OVER_BUDGET` if a limit of `evaluate.fail_under` or `evaluate.fail_over` is not kept, and the
    status of the run if that does not end well.

    Raises:
        JobError: the job is wrong, or there are no labels; otherwise like `jobs.batch_infer.infer`.
    """
    options, output = wanted.evaluate, open_output(wanted.output.path, wanted.output.storage_options)
    storage = output.storage
    run_id = options.run
    if wanted.job is not None:
        _check_job(options, wanted.job, storage)
        status, inferred = infer(wanted.job)
        if status is not ExitStatus.DONE:
            return status
        run_id = inferred.record.run_id
    run = output.run(run_id or "", key="evaluate.run")
    names = score_names(run.config["task"], has_annotations=options.annotations is not None)
    check_limits(options, names)
    measured = measure(run, options)
    show(*lines_of(run, measured))
    document = json.dumps(metrics_document(run, measured), indent=1, ensure_ascii=False)
    write_document(run.paths.metrics, document.encode(), storage)
    if options.results_file is not None:
        add_result(options.results_file, run, measured, _param_count(wanted.job), storage)
    failed = breaches(options, measured.scores)
    for message in failed:
        LOG.error("%s", message)
    show(redacted(run.paths.metrics))  # the contract: the last line on standard output
    return ExitStatus.OVER_BUDGET if failed else ExitStatus.DONE


def _check_job(wanted: Evaluate, job: Job, storage: Storage) -> None:
    """Raises `JobError` before anything starts if the rows could not be compared with anything."""
    has_annotations = wanted.annotations is not None
    check_limits(wanted, score_names({"name": job.task.name, **vars(job.task)}, has_annotations=has_annotations))
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


def _param_count(job: Job | None) -> int | None:
    """Parameters of the network; None for a published run, and for a model that is no PyTorch network."""
    if job is None:
        return None
    from actors.models.network import build_network  # noqa: PLC0415  torch takes seconds to import

    try:
        return sum(parameter.numel() for parameter in build_network(job.model).parameters())
    except JobError:
        return None


if __name__ == "__main__":
    run_verb(main)
