"""Config of `python -m jobs.follow`, which extends that of an evaluation."""

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
    """min for errors (mse, rmse, mae, ece and names that end in _err), max for all others."""
    max = "max"
    min = "min"


@dataclass
class Checkpoints:
    """Checkpoints of a training, and the end of following it."""

    path: str = "???"
    """Folder or URI prefix that the training writes to, read with model.storage_options. It may not exist yet."""
    pattern: str | None = None
    """Glob on names below `path`; ** stands for any folders. A folder that matches is a checkpoint once it has a
    config.json or bundle.json, and then takes the place of model.source. Null takes files directly in `path` that end
    in .pt, .pth, .ckpt, .safetensors or .onnx, and such folders."""
    score: str | None = None
    """Score that tells the best checkpoint, by its name in metrics.json; null takes the first one of the task:
    accuracy, mse, map or mean_iou."""
    best: Best = Best.auto
    """max, min, or auto: min for mse, rmse, mae, ece and names that end in _err, max for all others."""
    patience: int | None = None
    """Checkpoints in a row without a better score after which following ends; null sets no limit."""
    end_marker: str | None = None
    """File that the training writes when it has ended: a name below `path`, an absolute path or a URI. Following ends
    once it exists and every checkpoint is evaluated."""
    poll_s: float = 10.0
    """Seconds between two listings. A checkpoint is read once its size and version are the same in two of them."""
    max_failures: int = 5
    """Checkpoints in a row that cannot be evaluated after which following ends (exit status 3)."""

    def check(self) -> None:
        """Raises `JobError` for a number out of range."""
        for key, least in (("patience", 1), ("poll_s", 0.1), ("max_failures", 1)):
            value = getattr(self, key)
            if value is not None and not value >= least:
                raise JobError(f"checkpoints.{key}={value}: less than {least}", fix=f"give a number from {least}")

    def is_minimum(self, score: str) -> bool:
        """Returns True if the least value of ``score`` is the best."""
        if self.best is not Best.auto:
            return self.best is Best.min
        return score in ("mse", "rmse", "mae", "ece") or score.endswith("_err")


@dataclass
class FollowJob(EvaluationJob):
    """Config of `python -m jobs.follow`: an evaluation for each checkpoint."""

    checkpoints: Checkpoints = field(default_factory=Checkpoints)

    def check(self, storage: Storage) -> None:
        """Raises `JobError` for keys that do not go with following.

        Args:
            storage: holds the checkpoints.
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
    """Makes the job of one checkpoint."""

    def __call__(self, *, checkpoint: str = "", source: str = "") -> EvaluationJob:
        """The job with one of the two in its model.

        Raises:
            JobError: the source cannot be read, or does not tell all that is needed.
            UnreachableError: a hub or server does not answer.
        """


@dataclass
class Following:
    """Checkpoints to follow, and the job of each."""

    job: FollowJob
    """The config, without a checkpoint."""
    job_for: JobFor
