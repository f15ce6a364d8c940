from __future__ import annotations

import subprocess
import sys

import pytest

from actors.errors import JobError
from jobs.resources import Resources

GROWING = """
import threading, time
from jobs.cluster import Cluster, connect, prepare
from jobs.resources import await_nodes
cluster = Cluster(nodes_wait_s=60)
prepare(cluster, verbose=False)
from ray.cluster_utils import Cluster as Nodes
nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
cluster.address = nodes.address
with connect(cluster, verbose=False):
    found = []
    waiting = threading.Thread(target=lambda: found.append(await_nodes(cluster, needs_gpu=False)))
    waiting.start()
    time.sleep(1.5)
    assert waiting.is_alive()
    nodes.add_node(num_cpus=3)  # from the main thread, as Ray wants it
    waiting.join()
    cluster.nodes_wait_s = 0
    found.append(await_nodes(cluster, needs_gpu=True))
print(found[0].cpus, found[1].gpus)
nodes.shutdown()
"""


@pytest.mark.cluster
def test_a_cluster_whose_first_node_is_yet_to_come() -> None:
    done = subprocess.run([sys.executable, "-c", GROWING], capture_output=True, text=True, timeout=200, check=False)
    assert done.stdout == "3.0 0.0\n", done.stderr


def test_drivers_that_share_a_cluster_have_equal_parts_of_it() -> None:
    whole = Resources(16, 9, 800, 80, nodes=(Resources(16, 9),))
    assert whole.shared(1) == whole
    assert whole.shared(4) == Resources(4, 2, 200, 80, nodes=whole.nodes)
    with pytest.raises(JobError, match=r"cluster\.drivers=10: the cluster has 9 GPUs, not one for each"):
        whole.shared(10)
    assert Resources(2, 0).shared(4) == Resources(0.5, 0)
