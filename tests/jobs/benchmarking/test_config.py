from __future__ import annotations

import pytest
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from actors.errors import JobError
from jobs.benchmarking.config import Benchmark, BenchmarkJob
from jobs.cli.config_errors import explain
from jobs.config import to_benchmark_job
from jobs.schemas import compose_verb


def composed(*overrides: str) -> BenchmarkJob:
    return to_benchmark_job(compose_verb("benchmark", list(overrides)))


def test_the_keys_extend_those_of_a_job() -> None:
    job = composed("+dataset=sample", "benchmark.images=50", "benchmark.compare=old.json", "batch_size=4")
    assert isinstance(job, BenchmarkJob)
    assert job.benchmark == Benchmark(50, "benchmark.json", "old.json", None)
    assert (job.dataset.kind, job.batch_size) == ("sample", 4)


@pytest.mark.parametrize(
    ("overrides", "problem", "fix"),
    [
        ((), "dataset: not given", "+dataset=NAME"),
        (("+dataset=sample", "benchmark.image=5"), "there is no such key", "did you mean benchmark.images?"),
        (("+dataset=sample", "benchmark.images=few"), "benchmark.images=few", "a value of that type"),
    ],
)
def test_mistakes_are_explained_like_those_of_a_job(overrides: tuple[str, ...], problem: str, fix: str) -> None:
    with pytest.raises((HydraException, OmegaConfBaseException)) as caught:
        composed(*overrides)
    message = str(explain(caught.value))
    assert problem in message
    assert fix in message


def test_zero_images_are_an_error() -> None:
    Benchmark(images=1).check()
    with pytest.raises(JobError, match=r"benchmark\.images=0: must be at least 1"):
        Benchmark(images=0).check()
