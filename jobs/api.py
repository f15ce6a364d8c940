"""Runs jobs from Python: `run` applies the checks, defaults and outcome of `python -m jobs.batch_infer`. Runs on the
driver: in a script, a notebook, or a thread of an application.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import fields
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from actors.errors import JobError
from actors.models.spec import Model
from jobs.batch_infer import infer
from jobs.cli.config_errors import CONFIG_ERRORS, explain
from jobs.cli.logs import lines_shown
from jobs.cli.shutdown import Shutdown, ThreadShutdown
from jobs.cli.terminal import nothing_shown
from jobs.config import compose_job
from jobs.datasets.base import Dataset
from jobs.datasets.images import ImagesDataset
from jobs.job import Job, Log
from jobs.run_result import RunResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from actors.decoding.config import Decode
    from actors.engines.configs import EngineConfig
    from actors.tasks.base import Task
    from jobs.cluster.config import Cluster
    from jobs.job import ErrorBudget, Notify, Output, ReportConfig, RunConfig

    Path = str | PurePath
    Keys = Mapping[str, Any]


class Groups(TypedDict, total=False):
    """Keys of a job other than the arguments of `run`; each object may be a mapping with some of its keys."""

    engine: EngineConfig | Keys
    cluster: Cluster | Keys
    run: RunConfig | Keys
    errors: ErrorBudget | Keys
    decode: Decode | Keys
    report: ReportConfig | Keys
    batch_size: int | str
    verbose: bool
    log: Log | Keys
    notify: Notify | Keys


def run(
    dataset: Dataset | Path | Sequence[Path],
    *,
    model: Model | Path | Keys | None = None,
    task: Task | Keys | None = None,
    output: Output | Path | Keys | None = None,
    progress: bool = True,
    **groups: Unpack[Groups],
) -> RunResult:
    """Predicts every image of a dataset and publishes the rows, like `python -m jobs.batch_infer` with the same keys.

    Omitted values have the defaults of the command. Jobs of one process run sequentially. Ctrl-C or a notebook
    interrupt finishes the images in flight, then raises KeyboardInterrupt; the same call resumes the run. Outside the
    main thread, no signal ends the job.

    Args:
        dataset: the images: an object from `jobs.datasets`, one or more paths (files, folders, globs or prefixes), or
            ``"sample"``.
        model: a `Model`, the value of ``model.source``, or a mapping of model keys. If a `Model` has a source, the
            source fills the fields left at their defaults; a non-default ``preprocess`` is used as is.
        task: an object from `actors.tasks`; by default, classification with the five best classes.
        output: destination of the rows, or its path.
        progress: show log lines, unless the application handles the logger ``shardlens`` itself.
        **groups: other keys of the job, as objects or as mappings: ``run={"mode": "full"}``.

    Raises:
        JobError: the job is wrong; nothing was started.
        HeldError, LostLeaseError: another driver holds the output.
        TypeError: unknown keyword.
    """
    if strange := [name for name in groups if name not in Groups.__annotations__]:
        raise TypeError(f"run() has no keyword {strange[0]}: a job has {', '.join(key.name for key in fields(Job))}")
    is_sample = dataset == "sample"
    given: dict[str, Any] = {
        "dataset": None if is_sample else dataset if isinstance(dataset, Dataset) else ImagesDataset(path=dataset),
        "model": Model(source=str(model)) if isinstance(model, str | PurePath) else model,
        "task": task,
        "output": {"path": str(output)} if isinstance(output, str | PurePath) else output,
        **groups,
    }
    given = {name: value for name, value in given.items() if value is not None}
    log = given.get("log", Log())
    form = log.get("format") if isinstance(log, Mapping) else log.format
    lines = lines_shown(form, verbose=bool(given.get("verbose"))) if progress else nullcontext()
    with _ONE_AT_A_TIME, lines:
        return _run(given, ["+dataset=sample"] if is_sample else [])


_ONE_AT_A_TIME = threading.Lock()  # Ray exists once per process


def _run(given: Mapping[str, Any], overrides: Sequence[str]) -> RunResult:
    try:
        job = compose_job(given, overrides)
    except CONFIG_ERRORS as error:
        raise explain(error) from None
    if job.run.plan_only:
        fix = "python -m jobs.batch_infer --dry-run with the same keys shows the plan"
        raise JobError("run.plan_only=true: run() makes no plan", fix=fix)
    is_main = threading.current_thread() is threading.main_thread()
    stop = (Shutdown if is_main else ThreadShutdown)(job.run.grace_s)
    with stop.passing_on(), nothing_shown(), _ray_settings_kept():
        status, opened = infer(job, stop=stop)
    return RunResult.of(opened.paths, opened.storage, status=status.name.lower(), report=opened.report)


@contextmanager
def _ray_settings_kept() -> Iterator[None]:
    """Restores the environment and log levels set for Ray on exit, because the application may use Ray itself."""
    levels = {name: logging.getLogger(name).level for name in ("ray", "ray.data", "ray.widgets")}
    variables = _ray_variables()
    # In a notebook, Ray asks for ipywidgets to show progress bars, which jobs do not have.
    logging.getLogger("ray.widgets").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message="IProgress not found")
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        for name in _ray_variables().keys() - variables.keys():
            del os.environ[name]
        os.environ.update(variables)


def _ray_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("RAY_") or name == "PYTHONPATH"}
