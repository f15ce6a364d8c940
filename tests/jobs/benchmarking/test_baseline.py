"""Plain loops in separate processes, over real JPEGs."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import torch
from finished import add_photos, job_over, opened
from networks import tiny

from actors.columns import URI
from actors.models.spec import Model
from actors.preprocess import Preprocess
from actors.recipe import Recipe
from actors.row_ranges import Piece
from actors.storage.store import Storage
from actors.trials.baseline_loop import PlainLoop
from actors.trials.throughput import WORKER
from jobs.benchmarking.baseline import LimitError, ProcessLayout, best, layouts, run_loops
from jobs.cli.shutdown import StoppedError

pytestmark = pytest.mark.slow

PREPROCESS = Preprocess(resize=[24, 24], crop=None)


@pytest.fixture
def loop(tmp_path: Path) -> PlainLoop:
    torch.save(tiny().state_dict(), tmp_path / "tiny.pt")
    add_photos(tmp_path / "images", range(12))
    shards = opened(job_over(tmp_path / "images", tmp_path / "out")).shards  # two images each
    model = Model("networks:tiny", checkpoint=str(tmp_path / "tiny.pt"), preprocess=PREPROCESS)
    return PlainLoop(shards, Storage(), Recipe(model), 2)


PIECES = [Piece(shard, ((0, 2),)) for shard in range(6)]


def test_two_processes_share_the_images(loop: PlainLoop, tmp_path: Path) -> None:
    before = dict(os.environ)
    folder = tmp_path / "loops"
    ends = run_loops(replace(loop, predicts=False), ProcessLayout(2, 1), PIECES * 20, folder)
    assert dict(os.environ) == before
    assert sum(end.num_images for end in ends) == 240
    assert len(ends) == 120
    rows = pq.read_table(folder)
    assert len(set(rows[URI].to_pylist())) == 12
    assert len({end.worker for end in ends}) == len(set(rows[WORKER].to_pylist())) == 2  # started at the same time


def test_the_best_layout_counts(loop: PlainLoop, tmp_path: Path) -> None:
    loops = best(replace(loop, predicts=False), [ProcessLayout(1, 1), ProcessLayout(1, 2)], PIECES * 5, tmp_path)
    rates = {layout: rate for layout, rate in loops.tried if rate}
    assert loops.images_per_s == max(rates.values()) == rates[loops.layout]
    content = loops.to_json()
    assert (content["images_per_s"], content["threads"]) == (loops.images_per_s, loops.layout.threads)
    assert [one["threads"] for one in content["tried"]] == [1, 2]


def test_too_few_images_give_no_limit(loop: PlainLoop, tmp_path: Path) -> None:
    loops = best(replace(loop, predicts=False), [ProcessLayout(1, 1)], PIECES[:2], tmp_path)
    assert loops.images_per_s is None
    assert loops.layout == ProcessLayout(1, 1)


def test_a_process_that_dies_ends_the_others(loop: PlainLoop, tmp_path: Path) -> None:
    model = replace(loop.recipe.model, architecture="os:abort")
    wrong = replace(loop, recipe=replace(loop.recipe, model=model))
    with pytest.raises(LimitError, match="a process of the plain loop ended with exit code -6"):
        run_loops(wrong, ProcessLayout(2, 1), PIECES, tmp_path / "loops")


def test_no_process_is_left_when_the_command_is_stopped(loop: PlainLoop, tmp_path: Path) -> None:
    started = []

    def stop(*_: object) -> None:
        started.extend(multiprocessing.active_children())
        if not started:  # a slow machine is still starting the first process
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            return
        raise StoppedError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 1.5)
    with pytest.raises(StoppedError):
        run_loops(replace(loop, predicts=False), ProcessLayout(2, 1), PIECES * 100_000, tmp_path / "loops")
    signal.signal(signal.SIGALRM, before)
    assert started
    assert not multiprocessing.active_children()


def test_layouts_of_a_machine() -> None:
    def found(cpus: int, workers: int, gpus: int = 0) -> list[ProcessLayout]:
        return layouts(SimpleNamespace(plan=SimpleNamespace(workers=workers, worker_gpus=gpus)), cpus)

    assert found(2, 2) == [ProcessLayout(2, 1), ProcessLayout(1, 2)]
    assert found(8, 4) == [ProcessLayout(4, 2), ProcessLayout(1, 8)]
    assert found(4, 16) == [
        ProcessLayout(4, 1),
        ProcessLayout(1, 4),
    ]  # a cluster of several nodes: this machine has only four CPUs
    assert found(1, 1) == [ProcessLayout(1, 1)]
    assert found(16, 2, gpus=1) == [ProcessLayout(2, 8, with_gpu=True)]
