"""Typed config of a job, independent of Hydra. Created on the driver; workers receive only parts of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from omegaconf import MISSING

from actors.decoding.config import Decode
from actors.engines.configs import EngineConfig  # noqa: TC001  OmegaConf evaluates the annotations of a config
from actors.errors import JobError
from actors.models.spec import Model
from actors.recipe import Recipe
from actors.tasks.base import Task  # noqa: TC001  as above
from jobs.cluster.config import Cluster
from jobs.datasets.base import Dataset  # noqa: TC001  OmegaConf evaluates the annotations of a config


@dataclass
class Output:
    """Destination of the rows."""

    path: str = "outputs/${dataset.kind}"
    """Folder or URI prefix; may be shared by runs of any number of models and datasets."""
    rows_per_part: int | str = "auto"
    """Rows per Parquet file; auto targets 64 MB, with at most 16,384 rows and at most a 64th of the run."""
    storage_options: dict[str, str] = field(default_factory=dict)
    """Settings for the store of `path`, such as `endpoint` or `region`."""


@dataclass
class OutputLocation:
    """Location of the runs."""

    path: str = "???"
    """Folder or URI prefix: the output.path of the job."""
    storage_options: dict[str, str] = field(default_factory=dict)
    """Settings for the store of `path`, such as `endpoint` or `region`."""


class Mode(StrEnum):
    """Selection of the listed images that a new run processes."""

    incremental = "incremental"
    """Images that no published run of the same model has in their current version."""
    full = "full"
    """Every listed image."""


class Resume(StrEnum):
    """Treatment of an unfinished run of the same job."""

    auto = "auto"
    """Resumes it."""
    never = "never"
    """Raises `JobError`."""


@dataclass
class RunConfig:
    """One execution of the job."""

    id: str | None = None
    """Name of the run's folder; null derives one from the time."""
    mode: Mode = Mode.incremental
    """incremental: only new and changed images; full: every image."""
    resume: Resume = Resume.auto
    """auto resumes an unfinished run of the same job; never raises an error for such a run."""
    redrive: bool = False
    """Retry only the rows in errors/; those that succeed move to rows/."""
    plan_only: bool = False
    """Check the job, list its images, plan, predict time and price, and exit with status 0; publish and keep nothing.
    Same as `--dry-run`."""
    slices: int = 1
    """Number of drivers that share the run, each with an equal part of the shards and the same run.id. The last one to
    finish publishes it."""
    slice: int = 0
    """Index of this driver, from 0 to run.slices - 1."""
    keep_empty: bool = False
    """Publish a run even if there is no new image. By default its folder is removed, unless run.id names it or no
    earlier run of the model exists, and the command prints the folder of the latest run that has images."""
    shard_size: int | str = "auto"
    """Images assigned to a worker at a time; auto targets 64 MB, with 128 to 4,096 images."""
    grace_s: float = 30.0
    """Seconds to finish the images in flight after a request to stop."""
    stall_s: float | None = 600.0
    """Seconds without progress on a batch after which its worker is replaced; null waits indefinitely."""
    progress_s: float = 5.0
    """Seconds between progress lines in the log; a terminal shows one line that updates in place instead."""
    lease_s: float = 30.0
    """Seconds without a sign of life of this driver after which another one may take over its output, from 10 to 3600.
    Raise it if storage may be unavailable for longer."""


@dataclass
class ErrorBudget:
    """Limits on failed images, beyond which the run ends early (exit status 3), and on read retries."""

    max_ratio: float = 0.05
    """Largest share of failed images, from 0 to 1."""
    min_sample: int = 100
    """Images that must have an outcome before errors.max_ratio applies."""
    max_count: int | None = None
    """Largest number of failed images; null sets no limit."""
    read_attempts: int = 5
    """Attempts to read an image while storage does not respond; after the last one, the image counts as an error."""
    read_timeout_s: float = 300.0
    """Seconds after which a read is not retried; a web server must have sent the whole image by then."""

    def is_exceeded(self, num_images: int, num_errors: int) -> bool:
        """Returns True if ``num_errors`` among ``num_images`` with an outcome exceed the budget."""
        # An absolute count needs no minimum sample: it cannot be exceeded by chance.
        over_count = self.max_count is not None and num_errors > self.max_count
        return over_count or (num_images >= self.min_sample and num_errors > self.max_ratio * num_images)


class LogFormat(StrEnum):
    """Format of the log lines."""

    text = "text"
    """Time, level and message; on a terminal, progress is one line that updates in place."""
    json = "json"
    """JSON objects with time, level, message and run, plus keys such as shard and worker where known."""


@dataclass
class Log:
    """Log of the driver, on standard error."""

    format: LogFormat = LogFormat.text
    """text, or json: one object per line, exceptions and progress included."""


@dataclass
class ReportConfig:
    """The human-readable report, ``report.html`` in the folder of a published run."""

    html: bool = True
    """Write the report: one file with charts and pictures that needs no network. The job does not depend on it."""
    pictures: int = 400
    """Maximum number of pictures in the report, which are reread from the dataset; 0 for none. A short job includes
    fewer; `python -m jobs.report` includes all."""


@dataclass
class Notify:
    """Notification at the end of a command, whatever its outcome."""

    url: str | None = None
    """Webhook that receives the report's summary as a JSON POST, such as ${oc.env:WEBHOOK_URL}; null sends nothing. The
    environment variable SHARDLENS_NOTIFY_TOKEN, if set, is sent as a bearer token."""

    def __post_init__(self) -> None:
        if self.url is not None and not self.url.startswith(("https://", "http://")):
            raise JobError("notify.url: is not an http(s) URL", fix="give the whole address, beginning with https://")


@dataclass
class Job:
    """Config of `python -m jobs.batch_infer`."""

    dataset: Dataset = MISSING
    model: Model = field(default_factory=Model)
    engine: EngineConfig = MISSING
    task: Task = MISSING
    output: Output = field(default_factory=Output)
    cluster: Cluster = field(default_factory=Cluster)
    run: RunConfig = field(default_factory=RunConfig)
    errors: ErrorBudget = field(default_factory=ErrorBudget)
    decode: Decode = field(default_factory=Decode)
    report: ReportConfig = field(default_factory=ReportConfig)
    batch_size: int | str = "auto"
    """Images per batch of the engine."""
    verbose: bool = False
    """Show the logs of Ray, and the traceback of an unexpected error."""
    log: Log = field(default_factory=Log)
    notify: Notify = field(default_factory=Notify)

    @property
    def recipe(self) -> Recipe:
        """The parts of the config from which a predictor is built."""
        return Recipe(self.model, self.engine, self.task, self.decode)
