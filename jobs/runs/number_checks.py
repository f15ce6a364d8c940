"""Range checks of the numbers in a job that need no cluster. Runs on the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.errors import JobError
from jobs.leases.lease_files import MAX_TTL_S

if TYPE_CHECKING:
    from jobs.job import Job


def check_numbers(job: Job) -> None:
    """Raises `JobError` for a number out of range, before the dataset is listed."""
    for key, value in _numbers(job).items():
        number_of(value, key, 1)
    for key, amount in _positive(job).items():
        if amount is not None and amount <= 0:
            raise JobError(f"{key}={amount}: must be above 0", fix="omit it")
    if not _MIN_LEASE_S <= job.run.lease_s <= MAX_TTL_S:
        raise JobError(
            f"run.lease_s={job.run.lease_s}: must be from {_MIN_LEASE_S:g} to {MAX_TTL_S:g}",
            fix="omit it, or set a number of seconds in this range",
        )
    if job.cluster.price_per_hour is not None and job.cluster.price_per_hour < 0:
        raise JobError(f"cluster.price_per_hour={job.cluster.price_per_hour}: must not be below 0", fix="omit it")
    if job.errors.read_attempts < 1:
        raise JobError(f"errors.read_attempts={job.errors.read_attempts}: must be at least 1", fix="omit it")
    if job.report.pictures < 0:
        raise JobError(f"report.pictures={job.report.pictures}: below 0", fix="use 0 to omit pictures")
    if not 0 <= job.errors.max_ratio <= 1:
        raise JobError(f"errors.max_ratio={job.errors.max_ratio}: must be from 0 to 1", fix="5 percent is 0.05")


_MIN_LEASE_S = 10.0  # the time limit of one request to the lease: one hung connection must not lose it


def number_of(value: int | str, key: str, auto: int) -> int:
    """Returns ``value`` of the config key, or ``auto`` if it is "auto". Raises `JobError` if it is neither."""
    if value == "auto":
        return auto
    if isinstance(value, int) and value >= 1:
        return value
    raise JobError(f"{key}={value}: must be auto or an integer of at least 1", fix="omit it, or set a valid number")


def _numbers(job: Job) -> dict[str, int | str]:
    return {
        "batch_size": job.batch_size,
        "cluster.workers": job.cluster.workers,
        "cluster.drivers": job.cluster.drivers,
        "output.rows_per_part": job.output.rows_per_part,
        "run.shard_size": job.run.shard_size,
    }


def _positive(job: Job) -> dict[str, float | None]:
    return {
        "run.grace_s": job.run.grace_s,
        "run.stall_s": job.run.stall_s,
        "run.progress_s": job.run.progress_s,
        "errors.read_timeout_s": job.errors.read_timeout_s,
        "cluster.cpus_per_worker": job.cluster.cpus_per_worker,
        "cluster.loss_wait_s": job.cluster.loss_wait_s,
    }
