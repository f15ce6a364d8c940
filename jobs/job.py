"""The typed config of a job, without Hydra. Made on the driver; no part of it goes to workers as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from omegaconf import MISSING

from actors.decoding.config import Decode
from actors.engines.configs import EngineConfig  # noqa: TC001  OmegaConf evaluates the annotations of a config
from actors.models.spec import Model
from actors.recipe import Recipe
from actors.tasks.base import Task  # noqa: TC001  as above
from jobs.cluster.config import Cluster
from jobs.datasets.base import Dataset  # noqa: TC001  OmegaConf evaluates the annotations of a config


@dataclass
class Output:
    """Where rows go."""

    path: str = "outputs/${dataset.kind}"
    """Folder or URI prefix; runs of any number of models and datasets may share it."""
    rows_per_part: int | str = "auto"
    """Rows that are gathered into one Parquet file; auto aims at 64 MB, at most 16,384 rows or a 64th of the run."""
    storage_options: dict[str, str] = field(default_factory=dict)
    """obstore's settings for this place, such as endpoint or region."""


class Mode(StrEnum):
    """Which of the listed images a new run takes."""

    incremental = "incremental"
    """Those that no published run of the same model has, with the version that they have now."""
    full = "full"


class Resume(StrEnum):
    """What becomes of an unfinished run of the same job."""

    auto = "auto"
    """It is gone on with."""
    never = "never"
    """It is a mistake."""


@dataclass
class RunConfig:
    """One execution."""

    id: str | None = None
    """Names the run's folder; made from the time when not given."""
    mode: Mode = Mode.incremental
    """incremental takes new and changed images alone; full takes every one."""
    resume: Resume = Resume.auto
    """auto goes on with an unfinished run of the same job; never refuses to."""
    redrive: bool = False
    """Try the rows in errors/ again, and nothing else; those that succeed now move to rows/."""
    slices: int = 1
    """Drivers that share the run, each with an equal part of the shards and the same run.id; the last publishes it."""
    slice: int = 0
    """Which of them this one is, from 0 to run.slices - 1."""
    shard_size: int | str = "auto"
    """Images that a worker takes on at a time; auto makes it 64 MB of them, from 128 to 4,096."""
    grace_s: float = 30.0
    """Seconds that images in flight have to be finished when the job is told to stop."""
    stall_s: float | None = 600.0
    """Seconds without progress on a batch after which its worker is replaced; null waits for ever."""


@dataclass
class ErrorBudget:
    """What becomes of images that fail, and how many may before the run ends early (exit status 3)."""

    max_ratio: float = 0.05
    """Share of the images, from 0 to 1."""
    min_sample: int = 100
    """Images that must have an outcome before the share is judged."""
    max_count: int | None = None
    """Number of images; no limit when not given."""
    read_attempts: int = 5
    """Times that an image is asked for when storage does not answer, before that counts as its error."""
    read_timeout_s: float = 300.0
    """Seconds after which an image is not asked for again; a web server must have sent all of it by then."""

    def is_exceeded(self, num_images: int, num_errors: int) -> bool:
        """Whether ``num_errors`` of the ``num_images`` that have an outcome are too many."""
        over_count = self.max_count is not None and num_errors > self.max_count
        return over_count or (num_images >= self.min_sample and num_errors > self.max_ratio * num_images)


class LogFormat(StrEnum):
    """What log lines look like."""

    text = "text"
    """Time, level and message, for people; on a terminal progress is one line that moves."""
    json = "json"
    """JSON objects: time, level, message, run, and what else is known, such as shard and worker."""


@dataclass
class Log:
    """What the driver writes to standard error."""

    format: LogFormat = LogFormat.text
    """text, or json: an object a line, exceptions and progress included."""


@dataclass
class Job:
    """Everything that `python -m jobs.batch_infer` is told."""

    dataset: Dataset = MISSING
    model: Model = field(default_factory=Model)
    engine: EngineConfig = MISSING
    task: Task = MISSING
    output: Output = field(default_factory=Output)
    cluster: Cluster = field(default_factory=Cluster)
    run: RunConfig = field(default_factory=RunConfig)
    errors: ErrorBudget = field(default_factory=ErrorBudget)
    decode: Decode = field(default_factory=Decode)
    batch_size: int | str = "auto"
    """Images that the engine gets at a time."""
    verbose: bool = False
    """Show what Ray logs, and the traceback of an unexpected error."""
    log: Log = field(default_factory=Log)

    @property
    def recipe(self) -> Recipe:
        """Everything that a predictor of this job is built from."""
        return Recipe(self.model, self.engine, self.task, self.decode)
