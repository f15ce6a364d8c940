from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest

from actors.errors import JobError
from jobs.cluster import Cluster

OWN = """
import json, psutil
from jobs.cluster import Cluster, connect, prepare
cluster = Cluster(object_store_bytes=100_000_000)
prepare(cluster, verbose=False)
with connect(cluster, verbose=False) as resources:
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = [c.laddr.ip for p in family for c in p.net_connections("inet") if c.status == "LISTEN"]
    print(json.dumps([listening, resources.cpus, resources.gpus]))
"""


@pytest.mark.cluster
def test_a_cluster_of_its_own_listens_on_loopback_alone_and_says_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", OWN], capture_output=True, text=True, timeout=120, check=True)
    listening, cpus, gpus = json.loads(done.stdout)
    assert len(listening) > 5
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
    assert cpus >= 1
    assert gpus == 0
    assert done.stderr == ""


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "host:port", "127.0.0.1:99999999999"])
def test_a_cluster_that_does_not_answer(address: str) -> None:
    with pytest.raises(JobError, match=f"cluster.address={address}: "):
        Cluster(address=address).check()


def test_a_cluster_that_answers_and_none_at_all() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        Cluster(address=f"127.0.0.1:{server.getsockname()[1]}").check()
    Cluster().check()
    Cluster(address="auto").check()


JOIN = """
import sys
from jobs.cluster import Cluster, connect, prepare
cluster = Cluster(address=sys.argv[1])
cluster.check()
prepare(cluster, verbose=False)
with connect(cluster, verbose=False) as resources:
    print(resources.cpus)
"""


@pytest.mark.cluster
def test_a_cluster_that_runs_is_joined(cluster: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", JOIN, cluster], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == "2.0\n"
