"""`python -m jobs.evaluate +dataset=... model.source=...`: predicts a dataset, or reads a published run, and compares
the rows with known labels.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.outputs import open_output
from actors.storage.uris import redacted
from jobs.batch_infer import infer
from jobs.cli.entry import ExitStatus, end_with, run_verb
from jobs.cli.phases import phase
from jobs.cli.terminal import show, show_pairs
from jobs.cli.verb_main import verb_main
from jobs.config import to_evaluation
from jobs.evaluating.evaluation import check_job, evaluate_run
from jobs.evaluating.gates import breaches
from jobs.evaluating.results import add_result, table_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from jobs.evaluating.config import Evaluation
    from jobs.job import Job

LOG = logging.getLogger("shardlens")


@verb_main("evaluate")
def main(config: DictConfig) -> None:
    verbose, log_format = bool(config.verbose), config.log.format
    end_with(lambda: evaluate(to_evaluation(config)), verbose=verbose, log_format=log_format)


def evaluate(wanted: Evaluation) -> ExitStatus:
    """Prints the scores, writes ``metrics.json`` into the folder of the run, and prints its path on the last line.

    Returns `ExitStatus.OVER_BUDGET` if a limit of `evaluate.fail_under` or `evaluate.fail_over` is violated, or the
    status of the run if it does not succeed.

    Raises:
        JobError: the job is wrong, or there are no labels; otherwise like `jobs.batch_infer.infer`.
    """
    options, output = wanted.evaluate, open_output(wanted.output.path, wanted.output.storage_options)
    storage = output.storage
    run_id = options.run
    if wanted.job is not None:
        check_job(options, wanted.job, storage)
        status, inferred = infer(wanted.job)
        if status is not ExitStatus.DONE:
            return status
        run_id = inferred.record.run_id
    run = output.run(run_id or "", key="evaluate.run")
    with phase("comparing with the labels"):
        measured = evaluate_run(run, options)
    show_pairs(table_of(run, measured), width=16)
    if options.results_file is not None:
        add_result(options.results_file, run, measured, _param_count(wanted.job), storage)
    failed = breaches(options, measured.scores)
    for message in failed:
        LOG.error("%s", message)
    show(redacted(run.paths.metrics))  # the contract: the last line on standard output
    return ExitStatus.OVER_BUDGET if failed else ExitStatus.DONE


def _param_count(job: Job | None) -> int | None:
    """Number of parameters of the network; None for a published run or a model that is not a PyTorch network."""
    if job is None:
        return None
    from actors.models.network import build_network  # noqa: PLC0415  torch takes seconds to import

    try:
        return sum(parameter.numel() for parameter in build_network(job.model).parameters())
    except JobError:
        return None


if __name__ == "__main__":
    run_verb(main)
