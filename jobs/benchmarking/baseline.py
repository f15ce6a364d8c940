"""Measures the limit of this machine with plain loops in separate processes, without Ray. The driver runs them while
the rest of the job is idle.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from actors.decoding.config import DecodeDevice
from actors.engines.base import default_threads
from actors.trials.baseline_loop import PlainLoop, run_process
from actors.trials.throughput import ENDED_AT, ends_of, steady_images_per_s

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from multiprocessing.process import BaseProcess
    from pathlib import Path

    from actors.row_ranges import Piece
    from actors.trials.throughput import End
    from jobs.dataflow.stages import Stages

LOG = logging.getLogger("shardlens")


class LimitError(Exception):
    """A process of a plain loop died."""


@dataclass(frozen=True)
class ProcessLayout:
    """Processes and threads of a loop."""

    processes: int
    threads: int
    """Threads of each process."""
    with_gpu: bool = False
    """True if each process has its own GPU."""


@dataclass(frozen=True)
class BaselineResult:
    """Measurements of one loop in several layouts."""

    images_per_s: float | None
    """Rate of the best layout; None if there are too few images."""
    layout: ProcessLayout
    """Best layout."""
    tried: list[tuple[ProcessLayout, float | None]]

    def to_json(self) -> dict[str, Any]:
        tried = [{**asdict(layout), "images_per_s": images_per_s} for layout, images_per_s in self.tried]
        return {**asdict(self.layout), "images_per_s": self.images_per_s, "tried": tried}


def measure_limit(stages: Stages, pieces: Sequence[Piece], folder: Path) -> tuple[BaselineResult, BaselineResult]:
    """Measures the whole loop, and a loop that stops after decoding, each in the best of `layouts`.

    Args:
        stages: stages of the job.
        pieces: images of the job.
        folder: folder for the output of the loops.

    Raises:
        LimitError: a process died.
    """
    whole = PlainLoop(
        shards=stages.read.shards,
        storage=stages.read.storage,
        recipe=stages.recipe,
        batch_size=stages.read.batch_size,
        concurrency=stages.read.concurrency,
    )
    possible = decoding = layouts(stages, default_threads())
    # Without the model, no process needs a GPU, so their number is free: also tries one single-threaded process per
    # CPU.
    if stages.recipe.limits.device is not DecodeDevice.gpu:
        decoding = [replace(layout, with_gpu=False) for layout in [*possible, ProcessLayout(default_threads(), 1)]]
    decoding = list(dict.fromkeys(decoding))
    return best(whole, possible, pieces, folder), best(replace(whole, predicts=False), decoding, pieces, folder)


def layouts(stages: Stages, cpus: int) -> list[ProcessLayout]:
    """Lists layouts to try: a process per worker of the plan, and one with all threads; with GPUs, a process per
    GPU.
    """
    plan = stages.plan
    if plan.worker_gpus:
        return [ProcessLayout(plan.workers, max(1, cpus // plan.workers), with_gpu=True)]
    processes = min(plan.workers, cpus)  # the plan may cover several nodes, but the loop runs on this one
    return list(dict.fromkeys([ProcessLayout(processes, max(1, cpus // processes)), ProcessLayout(1, cpus)]))


def best(loop: PlainLoop, possible: Iterable[ProcessLayout], pieces: Sequence[Piece], folder: Path) -> BaselineResult:
    """Measures ``loop`` in each of the ``possible`` layouts and picks the fastest, or the first if no rate is known."""
    what = loop.recipe.engine.label if loop.predicts else "decoding alone"
    tried: list[tuple[ProcessLayout, float | None]] = []
    for layout in possible:
        rate = steady_images_per_s(run_loops(loop, layout, pieces, folder))
        LOG.info(
            "plain loop, %s, %s x %s threads: %s images/s", what, layout.processes, layout.threads, rate and round(rate)
        )
        tried.append((layout, rate))
    layout, rate = max(tried, key=lambda one: one[1] or 0.0)
    return BaselineResult(rate, layout, tried)


def run_loops(loop: PlainLoop, layout: ProcessLayout, pieces: Sequence[Piece], folder: Path) -> list[End]:
    """Runs ``loop`` in all processes of a layout and collects the end times of their batches.

    Raises:
        LimitError: a process died.
    """
    # Not fork: this process has the threads of Ray and obstore, whose held locks a fork would copy.
    spawning = multiprocessing.get_context("spawn")
    taken, start = spawning.Value("q", 0), spawning.Barrier(layout.processes)
    folder.mkdir(parents=True, exist_ok=True)
    parts = [folder / f"part-{number}.parquet" for number in range(layout.processes)]
    engine = replace(loop.recipe.engine, threads=layout.threads)
    loop = replace(loop, recipe=replace(loop.recipe, engine=engine))
    workers = [spawning.Process(target=run_process, args=(loop, pieces, part, taken, start)) for part in parts]
    try:
        for number, worker in enumerate(workers):
            # `Process` has no parameter for the environment: a child inherits the current one when it starts.
            with _environment(_variables(layout, number)):
                worker.start()
        _join(workers)
    finally:
        for worker in workers:
            if worker.pid is not None:  # not started, so neither call is allowed
                worker.kill()
                worker.join()
    tables = [pq.read_table(part) for part in parts]
    # A process that found no pieces left wrote a table without columns.
    return [end for table in tables if ENDED_AT in table.column_names for end in ends_of(table)]


def _join(workers: Sequence[BaseProcess]) -> None:
    # Waits for all together: if one dies before the barrier, the others wait forever, as would joining them in turn.
    waiting = list(workers)
    while waiting:
        wait([worker.sentinel for worker in waiting])
        failed = [worker for worker in waiting if worker.exitcode]
        if failed:
            raise LimitError(f"a process of the plain loop ended with exit code {failed[0].exitcode}")
        waiting = [worker for worker in waiting if worker.exitcode is None]


def _variables(layout: ProcessLayout, number: int) -> dict[str, str]:
    """Returns the environment of a job's worker. OMP_NUM_THREADS limits the threads of its libraries."""
    variables = {"OMP_NUM_THREADS": str(layout.threads)}
    if layout.with_gpu:
        # Device names may be numbers or UUIDs; devices hidden from this process must stay hidden.
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        variables["CUDA_VISIBLE_DEVICES"] = visible.split(",")[number] if visible else str(number)
    return variables


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Sets environment variables for processes started within the context."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
