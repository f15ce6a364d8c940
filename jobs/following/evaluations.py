"""Evaluates each checkpoint in its own run, whose name is derived from the content. Runs on the driver."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import time
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from actors.errors import JobError
from actors.messages import redacted
from actors.models.forms import form_of
from actors.models.state_dict_form import StateDictForm
from actors.models.weight_index import is_index
from jobs.batch_infer import infer
from jobs.cli.entry import ExitStatus
from jobs.cli.shutdown import StoppedError
from jobs.evaluating.evaluation import evaluate_run
from jobs.following.score_book import Row
from jobs.pages.page_file import add_page

if TYPE_CHECKING:
    from actors.models.spec import Model
    from actors.outputs import Output, PublishedRun
    from jobs.cluster.local_ray import LocalRay
    from jobs.evaluating.measuring import Measured
    from jobs.following.checkpoints import Checkpoint
    from jobs.following.config import Following
    from jobs.job import Job

LOG = logging.getLogger("shardlens")


def job_digest(job: Job) -> str:
    """Returns a digest of what makes scores comparable: dataset, model without weights, task, decoding, precision."""
    model = replace(job.model, checkpoint="", storage_options={})
    parts = (job.dataset.identity(), model, job.task.name, job.task.identity(), job.decode, job.engine.precision)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


class Evaluations:
    """Evaluates checkpoints one after another.

    Args:
        wanted: the job for each checkpoint.
        job: its `job_digest`.
        output: the output of the job.
        ray: keeps running between evaluations.
    """

    def __init__(self, wanted: Following, job: str, output: Output, ray: LocalRay) -> None:
        self._wanted = wanted
        self._job = job
        self._output = output
        self._ray = ray

    def evaluate(self, checkpoint: Checkpoint, digest: str) -> Row:
        """Runs the job for the checkpoint, or resumes or finds the run of an earlier command, and scores its rows.

        Returns a row with an error if the checkpoint is invalid or too many images failed.

        Raises:
            HeldError: another run holds the output.
            StoppedError: a stop was requested; the same command resumes the run.
        """
        started = time.monotonic()
        row = Row(
            name=checkpoint.name,
            checkpoint=redacted(checkpoint.uri),
            version=checkpoint.version,
            digest=digest,
            modified_at=_iso(checkpoint.modified_at or datetime.now(UTC)),
            size_bytes=checkpoint.size_bytes,
            job=self._job,
            run_id=f"{_folder_name(checkpoint.name)}-{_digest(digest, self._job)}",
            evaluated_at="",
            seconds=0.0,
        )
        try:
            row = self._scored(row, checkpoint)
        except JobError as error:
            row = replace(row, error=error.problem, fix=error.fix)
        return replace(row, evaluated_at=_iso(datetime.now(UTC)), seconds=round(time.monotonic() - started, 3))

    def add_page(self, row: Row) -> None:
        """Writes the ``report.html`` of a run if the config requests it. It shows the scores in the book so far."""
        if self._wanted.job.report.html and row.error is None:
            add_page(self._wanted.job, self._output.root, row.run_id, row.seconds)

    def _scored(self, row: Row, checkpoint: Checkpoint) -> Row:
        whole = self._wanted.job_for(**{"source" if checkpoint.is_folder else "checkpoint": checkpoint.uri})
        job = whole.job
        job.run, job.report = replace(job.run, id=row.run_id), replace(job.report, html=False)
        job.model = _pinned(job.model, row.digest, is_folder=checkpoint.is_folder)
        # The reports of the runs would bury the scores.
        with redirect_stdout(cast("Any", DebugLog())):
            status, run = infer(job, self._ray)
        if status is ExitStatus.STOPPED:
            raise StoppedError
        if status is not ExitStatus.DONE:
            raise JobError(
                f"run {run.record.run_id}: too many images failed",
                fix=f"see {redacted(run.paths.report)}; errors.max_ratio and errors.max_count set the limits",
            )
        published = self._output.run(row.run_id)
        row = replace(row, is_pinned=bool(job.model.sha256))
        return _with_scores(row, published, evaluate_run(published, whole.evaluate))


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _with_scores(row: Row, run: PublishedRun, measured: Measured) -> Row:
    return replace(
        row,
        metrics={name: value for name, value in measured.scores.items() if math.isfinite(value)},
        num_images=run.num_ok + run.num_errors,
        num_failed=run.num_errors,
        num_labelled=measured.num_labelled,
        fingerprint=run.paths.fingerprint,
    )


def _pinned(model: Model, digest: str, *, is_folder: bool) -> Model:
    """Returns the model pinned to the digested content, so that a file that changes meanwhile cannot mix weights.

    Pins only state_dicts, which contain no code: `model.sha256` also permits loading files that run code.
    """
    is_pinned = not is_folder and isinstance(form_of(model), StateDictForm) and not is_index(model.checkpoint)
    return replace(model, sha256=digest) if is_pinned and model.architecture else model


def _folder_name(name: str) -> str:
    """Returns the beginning of a run's name."""
    stem = re.sub(r"\.[A-Za-z.]+$", "", name)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("._-")[-_MOST_CHARACTERS:].lstrip("._-") or "checkpoint"


_MOST_CHARACTERS = 60


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


class DebugLog:
    """Replaces standard output, and logs what is printed at the level that verbose=true shows."""

    def write(self, text: str) -> int:
        if text.strip():
            LOG.debug("%s", text.rstrip())
        return len(text)

    def flush(self) -> None:
        """Does nothing: no text is buffered."""

    def isatty(self) -> bool:
        return False
