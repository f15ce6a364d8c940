"""Config of `python -m jobs.benchmark`, which extends that of a job."""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.errors import JobError
from jobs.job import Job


@dataclass
class Benchmark:
    """Measurement of the job, and location of the figures."""

    images: int = 2000
    """Number of images to measure, the first ones listed by the dataset; dataset.limit may lower it."""
    output: str = "benchmark.json"
    """Path or URI for the figures."""
    compare: str | None = None
    """Path or URI of the figures of an earlier benchmark, to print beside the new ones."""
    scratch: str | None = None
    """Folder or prefix that all workers can reach, for temporary output, which is removed at the end. The benchmark
    measures its storage, with output.storage_options; null uses a temporary folder of this machine."""

    def check(self) -> None:
        """Raises `JobError` if a value is out of range."""
        if self.images < 1:
            raise JobError(f"benchmark.images={self.images}: must be at least 1", fix="omit it, or try 2000")


@dataclass
class BenchmarkJob(Job):
    """Config of `python -m jobs.benchmark`: a job, and the measurement of it."""

    benchmark: Benchmark = field(default_factory=Benchmark)
