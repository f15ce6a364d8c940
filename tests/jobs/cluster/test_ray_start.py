from __future__ import annotations

import subprocess
import sys

import pytest

TOO_SMALL = """
from actors.errors import JobError
from jobs.cluster.connection import connect
from jobs.cluster.ray_start import prepare
from jobs.cluster.config import Cluster
cluster = Cluster(object_store_bytes=1000)
prepare(cluster, verbose=False)
try:
    with connect(cluster, verbose=False):
        pass
except JobError as error:
    print(error)
"""


@pytest.mark.cluster
def test_an_object_store_that_ray_refuses() -> None:
    done = subprocess.run([sys.executable, "-c", TOO_SMALL], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.startswith("Ray did not start on this machine: ")
    assert "cluster.object_store_bytes" in done.stdout
