"""What `python -m jobs.benchmark` is told beside the job."""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.errors import JobError
from jobs.job import Job


@dataclass
class Benchmark:
    """How the job is measured, and where the figures go."""

    images: int = 2000
    """Of the dataset, the first that are listed; dataset.limit may allow fewer."""
    output: str = "benchmark.json"
    """Path or URI of the figures."""
    compare: str | None = None
    """Path or URI of the figures of another time, which are shown beside these."""
    scratch: str | None = None
    """Folder or prefix that all workers reach, for what is written meanwhile and removed in the end. Storage there is
    what is measured, with output.storage_options; a temporary folder of this machine when not given."""

    def check(self) -> None:
        """Raises `JobError` for what cannot be."""
        if self.images < 1:
            raise JobError(f"benchmark.images={self.images}: must be at least 1", cure="leave it away, or try 2000")


@dataclass
class BenchmarkJob(Job):
    """Everything that `python -m jobs.benchmark` is told: a job, and how it is measured."""

    benchmark: Benchmark = field(default_factory=Benchmark)
