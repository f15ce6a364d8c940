from __future__ import annotations

import subprocess
import sys

import pytest

from jobs.cluster.resources import Resources

GROWING = """
import sys, threading, time
from actors.errors import JobError
from jobs.cluster.connection import connect
from jobs.cluster.ray_start import prepare
from jobs.cluster.config import Cluster
from jobs.cluster.resources import await_nodes
from jobs.cluster.taken_resources import warn_if_taken
cluster = Cluster(nodes_wait_s=60)
prepare(cluster, verbose=False)
from ray.cluster_utils import Cluster as Nodes
import ray
nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
cluster.address = nodes.address
with connect(cluster, verbose=False):
    found = []
    waiting = threading.Thread(target=lambda: found.append(await_nodes(cluster, wants_gpu=False)))
    waiting.start()
    time.sleep(1.5)
    assert waiting.is_alive()
    nodes.add_node(num_cpus=3)  # from the main thread, as Ray wants it
    waiting.join()
    cluster.nodes_wait_s = 0
    found.append(await_nodes(cluster, wants_gpu=True))
    told = [found[0].cpus, found[1].gpus]
    nodes.add_node(num_cpus=1, num_gpus=1)
    cluster.drivers = 2
    told.append(await_nodes(cluster, wants_gpu=False).cpus)
    for wants_gpu in (None, True):
        try:
            await_nodes(cluster, wants_gpu=wants_gpu)
        except JobError as error:
            told.append(str(error).splitlines()[0])
    cluster.drivers = 1
    warn_if_taken(cluster, wants_gpu=True)
    hogs = [ray.remote(num_cpus=1)(lambda: time.sleep(60)).remote() for _ in range(4)]
    while ray.available_resources().get("CPU"):
        time.sleep(0.1)
    print("taken", file=sys.stderr)
    warn_if_taken(cluster, wants_gpu=True)
print(*told, sep="\\n")
nodes.shutdown()
"""


@pytest.mark.cluster
def test_a_cluster_whose_nodes_are_yet_to_come_and_are_shared() -> None:
    done = subprocess.run([sys.executable, "-c", GROWING], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    refused = "cluster.drivers=2: the cluster has 1 GPUs, not one for each"
    assert done.stdout.splitlines() == ["3.0", "0.0", "2.0", refused, refused], done.stderr
    before, after = done.stderr.split("taken\n")
    assert "held by others" not in before
    assert "the cluster's CPUs (0 free, a worker takes 1) are held by others" in after


def test_drivers_that_share_a_cluster_have_equal_parts_of_it() -> None:
    whole = Resources(16, 9, 800, 80, nodes=(Resources(16, 9),))
    assert whole.shared(1) == whole
    assert whole.shared(4) == Resources(4, 2, 200, 80, nodes=whole.nodes)
    assert Resources(2, 0).shared(4) == Resources(0.5, 0)
