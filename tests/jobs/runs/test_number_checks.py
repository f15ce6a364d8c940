from __future__ import annotations

import pytest

from actors.engines.configs import TorchEngineConfig
from actors.errors import JobError
from actors.tasks.classify import Classify
from jobs.cluster.config import Cluster
from jobs.job import ErrorBudget, Job, ReportConfig, RunConfig
from jobs.runs.number_checks import check_numbers


def a_job(**changes: object) -> Job:
    return Job(**{"engine": TorchEngineConfig(), "task": Classify(), **changes})


@pytest.mark.parametrize(
    ("job", "key"),
    [
        (a_job(run=RunConfig(shard_size=0)), "run.shard_size=0"),
        (a_job(run=RunConfig(shard_size="all")), "run.shard_size=all"),
        (a_job(run=RunConfig(lease_s=1)), "run.lease_s=1: must be from 10 to 3600"),
        (a_job(run=RunConfig(lease_s=float("inf"))), "run.lease_s=inf"),
        (a_job(cluster=Cluster(price_per_hour=-1)), "cluster.price_per_hour=-1"),
        (a_job(cluster=Cluster(drivers=0)), "cluster.drivers=0"),
        (a_job(cluster=Cluster(cpus_per_worker=0)), "cluster.cpus_per_worker=0"),
        (a_job(cluster=Cluster(loss_wait_s=0)), "cluster.loss_wait_s=0: must be above 0"),
        (a_job(errors=ErrorBudget(max_ratio=5)), "errors.max_ratio=5"),
        (a_job(run=RunConfig(progress_s=-1)), "run.progress_s=-1: must be above 0"),
        (a_job(report=ReportConfig(pictures=-1)), "report.pictures=-1: below 0"),
    ],
)
def test_a_number_out_of_range(job: Job, key: str) -> None:
    with pytest.raises(JobError, match=key):
        check_numbers(job)


def test_a_job_of_defaults_is_sound() -> None:
    check_numbers(a_job())
