from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import commanded
import pytest
from finished import add_photos

from actors.errors import JobError
from jobs.benchmark import benchmark, measured
from jobs.benchmarking.config import BenchmarkJob
from jobs.config import to_benchmark_job
from jobs.schemas import compose_verb


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def job_of(*overrides: str) -> BenchmarkJob:
    return to_benchmark_job(compose_verb("benchmark", ["+dataset=sample", *overrides]))


@pytest.mark.parametrize(("limit", "taken"), [("null", 70), ("20", 20), ("5000", 70)])
def test_the_smaller_number_of_images_counts(limit: str, taken: int) -> None:
    job = measured(job_of(f"dataset.limit={limit}", "benchmark.images=70", "run.id=mine", "run.redrive=true"), "/new")
    assert job.dataset.limit == taken
    assert job.output.path == "/new"
    assert (job.run.id, job.run.redrive) == (None, False)


def test_the_job_is_otherwise_as_it_was() -> None:
    job = job_of("batch_size=8", "run.stall_s=7", "errors.read_attempts=2", "errors.max_count=1")
    other = measured(job, "/new")
    assert (other.batch_size, other.run.stall_s, other.model, other.engine) == (8, 7, job.model, job.engine)
    assert other.errors.read_attempts == 2
    assert not other.errors.is_exceeded(1000, 1000)


def test_wrong_figures_to_compare_with_are_told_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("{}")
    job = job_of(f"benchmark.compare={tmp_path}/old.json", "model.checkpoint=/nowhere.pt")
    with pytest.raises(JobError, match=r"benchmark\.compare="):
        benchmark(job)


def test_a_dataset_without_images(tmp_path: Path) -> None:
    add_photos(tmp_path / "images", [])
    overrides = ["+dataset=images", f"dataset.path={tmp_path}/images", "model=digits"]
    job = to_benchmark_job(compose_verb("benchmark", overrides))
    scratch = tmp_path / "scratch"
    with pytest.raises(JobError, match=r"dataset\.path=.*images: the dataset is empty"):
        benchmark(replace(job, benchmark=replace(job.benchmark, scratch=str(scratch))))
    assert not list(scratch.iterdir())


@pytest.mark.parametrize(
    ("overrides", "status", "said"),
    [
        (["--help"], 0, "python -m jobs.benchmark +dataset=NAME"),
        (["+dataset=sample", "benchmark.images=0"], 2, "benchmark.images=0: must be at least 1"),
    ],
)
def test_the_command_as_a_user_meets_it(overrides: list[str], status: int, said: str, tmp_path: Path) -> None:
    done = commanded.run("benchmark", *overrides, folder=tmp_path)
    assert done.returncode == status, done.stderr
    assert said in (done.stderr if status else done.stdout)
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_tiles_are_refused() -> None:
    job = job_of("task=detect", "task.tile.size=640")
    with pytest.raises(JobError, match=r"task\.tile\.size: the benchmark compares"):
        benchmark(job)
