"""Config of `python -m jobs.follow`, which extends the config of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from actors.errors import JobError
from jobs.evaluating.config import EvaluationJob

if TYPE_CHECKING:
    from actors.storage.store import Storage


class Best(StrEnum):
    """Direction of a score."""

    auto = "auto"
    """min for errors (mse, rmse, mae, ece and names ending in _err), max for all others."""
    max = "max"
    min = "min"


@dataclass
class Checkpoints:
    """Checkpoints written by a training job, and when to stop following it."""

    path: str = "???"
    """Folder or URI prefix that training writes to, read with model.storage_options. It need not exist yet."""
    pattern: str | None = None
    """Glob on names below `path`; ** matches any folders. A matching folder is a checkpoint once it has a config.json
    or bundle.json, and then replaces model.source. Null selects such folders, and files that end in .pt, .pth, .ckpt,
    .safetensors or .onnx, directly in `path`."""
    score: str | None = None
    """Score that determines the best checkpoint, by its name in metrics.json; null selects the first score of the task:
    accuracy, mse, map or mean_iou."""
    best: Best = Best.auto
    """max, min, or auto: min for mse, rmse, mae, ece and names ending in _err, max for all others."""
    patience: int | None = None
    """Number of consecutive checkpoints without a better score after which following ends; null sets no limit."""
    end_marker: str | None = None
    """File that training writes when it ends: a name below `path`, an absolute path or a URI. Following ends once it
    exists and every checkpoint is evaluated."""
    poll_s: float = 10.0
    """Seconds between two listings. A checkpoint is read once two listings show the same size and version."""
    max_failures: int = 5
    """Number of consecutive checkpoints that cannot be evaluated after which following ends (exit status 3)."""

    def check(self) -> None:
        """Raises `JobError` if a number is out of range."""
        for key, least in (("patience", 1), ("poll_s", 0.1), ("max_failures", 1)):
            value = getattr(self, key)
            if value is not None and not value >= least:
                raise JobError(f"checkpoints.{key}={value}: less than {least}", fix=f"give a number from {least}")

    def is_minimum(self, score: str) -> bool:
        """Returns True if the lowest value of ``score`` is the best."""
        if self.best is not Best.auto:
            return self.best is Best.min
        return score in ("mse", "rmse", "mae", "ece") or score.endswith("_err")


@dataclass
class FollowJob(EvaluationJob):
    """Config of `python -m jobs.follow`: an evaluation for each checkpoint."""

    checkpoints: Checkpoints = field(default_factory=Checkpoints)

    def check(self, storage: Storage) -> None:
        """Raises `JobError` for keys that cannot be combined with following.

        Args:
            storage: storage of the checkpoints.
        """
        self.checkpoints.check()
        given = {
            "run.id": self.run.id,
            "evaluate.run": self.evaluate.run,
            "evaluate.results_file": self.evaluate.results_file,
            "model.sha256": self.model.sha256,
        }
        for key, value in given.items():
            if value:
                raise JobError(f"{key}={value}: each checkpoint has its own", fix=f"omit {key}")
        if storage.kind(self.checkpoints.path) == "file":
            raise JobError(
                f"checkpoints.path={self.checkpoints.path}: is a file",
                fix="give the folder or prefix that the training writes to, or use jobs.evaluate model.checkpoint=…",
            )


class JobFor(Protocol):
    """Creates the job for one checkpoint."""

    def __call__(self, *, checkpoint: str = "", source: str = "") -> EvaluationJob:
        """Returns the job with ``checkpoint`` or ``source`` in its model.

        Raises:
            JobError: the source cannot be read, or lacks required information.
            UnreachableError: a hub or server does not respond.
        """


@dataclass
class Following:
    """Checkpoints to follow, and the job for each."""

    job: FollowJob
    """The config, without a checkpoint."""
    job_for: JobFor
