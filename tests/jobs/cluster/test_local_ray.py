"""A local Ray, in processes that start and leave it as commands do."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from jobs.cluster.config import Cluster
from jobs.cluster.local_ray import LocalRay

BOTH = """
import json, logging, os, signal, sys, time
import psutil
from jobs.cli.logs import set_up_logging
from jobs.cluster.config import Cluster
from jobs.cluster.connection import connect
from jobs.cluster.local_ray import LocalRay
from jobs.job import LogFormat

def ours(*_): pass

set_up_logging(LogFormat.text, verbose=False)
signal.signal(signal.SIGTERM, ours)
cluster = Cluster(object_store_bytes=100_000_000)
with LocalRay(cluster, verbose=False) as local:
    local.preload("colorsys")
    local.begin()
    local.begin()
    for number in range(40):
        logging.getLogger("shardlens").info("line %d", number)
        time.sleep(0.1)
    for _ in range(2):
        with connect(cluster, verbose=False, local=local) as resources:
            import ray
            answers = ray.get([ray.remote(lambda: "colorsys" in sys.modules).remote()])
        assert not ray.is_initialized()
    local.begin()
assert not ray.is_initialized()
assert signal.getsignal(signal.SIGTERM) is ours
print(json.dumps([resources.cpus, answers, [child.name() for child in psutil.Process().children()]]))
"""


@pytest.mark.cluster
def test_it_starts_on_a_thread_while_the_command_logs_and_can_start_again() -> None:
    done = subprocess.run([sys.executable, "-c", BOTH], capture_output=True, text=True, timeout=120, check=True)
    cpus, answers, left = json.loads(done.stdout)
    assert cpus >= 1
    assert answers == [True]
    assert left == []
    assert [line.partition("INFO ")[2] for line in done.stderr.splitlines()] == [f"line {n}" for n in range(40)]


SHARED = """
from contextlib import suppress
from jobs.cluster.config import Cluster
from jobs.cluster.connection import connect
from jobs.cluster.local_ray import LocalRay

cluster, sessions = Cluster(object_store_bytes=100_000_000), []
with LocalRay(cluster, verbose=False, is_shared=True) as local:
    for number in range(4):
        with suppress(KeyError), connect(cluster, verbose=False, local=local):
            import ray
            sessions.append(ray.get_runtime_context().gcs_address)
            assert ray.get(ray.remote(lambda: 1).remote()) == 1
            if number == 1:
                raise KeyError
        assert ray.is_initialized() is (number != 1)
assert not ray.is_initialized()
print(sessions[0] == sessions[1], sessions[1] == sessions[2], sessions[2] == sessions[3])
"""


@pytest.mark.cluster
def test_jobs_of_one_process_share_it_until_one_fails() -> None:
    done = subprocess.run([sys.executable, "-c", SHARED], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split() == ["True", "False", "True"], done.stderr


WRONG = """
import sys
from actors.errors import JobError
from jobs.cluster.config import Cluster
from jobs.cluster.local_ray import LocalRay
cluster = Cluster(object_store_bytes=int(sys.argv[1]))
with LocalRay(cluster, verbose=False) as local:
    local.begin()
    raise JobError("the job is wrong", fix="mend it")
"""


@pytest.mark.cluster
@pytest.mark.parametrize("store_bytes", ["1000", "100000000"])
def test_a_wrong_job_ends_whether_or_not_ray_starts(store_bytes: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRONG, store_bytes], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stderr.splitlines()[-2:] == ["actors.errors.JobError: the job is wrong", "  fix: mend it"]


def test_a_job_on_a_cluster_begins_none() -> None:
    with LocalRay(Cluster(address="ray://head:10001"), verbose=False) as local:
        local.begin()
        assert not local.has_begun
