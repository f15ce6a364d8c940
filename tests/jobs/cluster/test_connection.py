from __future__ import annotations

import io
import json
import logging
import socket
import subprocess
import sys

import pytest

from jobs.cluster.connection import RayVoice

OWN = """
import json, psutil, signal, sys
from urllib.request import urlopen
from jobs.cluster.connection import connect
from jobs.cluster.ray_start import prepare
from jobs.cluster.config import Cluster
cluster = Cluster(object_store_bytes=100_000_000, metrics_port=int(sys.argv[1]))
prepare(cluster, verbose=False)
def ours(*_): pass
signal.signal(signal.SIGTERM, ours)
with connect(cluster, verbose=False) as resources:
    assert signal.getsignal(signal.SIGTERM) is ours
    page = urlopen(f"http://127.0.0.1:{sys.argv[1]}/metrics", timeout=30).status
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = [c.laddr.ip for p in family for c in p.net_connections("inet") if c.status == "LISTEN"]
assert signal.getsignal(signal.SIGTERM) is ours
print(json.dumps([page, listening, resources.cpus, resources.gpus]))
"""


@pytest.mark.cluster
def test_a_cluster_of_its_own_listens_on_loopback_alone_says_nothing_and_leaves_signals_to_us() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    done = subprocess.run([sys.executable, "-c", OWN, port], capture_output=True, text=True, timeout=120, check=True)
    page, listening, cpus, gpus = json.loads(done.stdout)
    assert page == 200
    assert len(listening) > 5
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
    assert cpus >= 1
    assert gpus == 0
    assert done.stderr == ""


def test_what_ray_prints_becomes_one_line_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    log, lines = logging.getLogger("shardlens"), io.StringIO()
    monkeypatch.setattr(log, "handlers", [logging.StreamHandler(lines)])
    print("\x1b[33m(raylet)\x1b[0m A worker died. To troubleshoot, look here.\nAnd there.", file=RayVoice())
    assert lines.getvalue() == "Ray: A worker died.\n"


JOIN = """
import sys
from jobs.cluster.connection import connect
from jobs.cluster.ray_start import prepare
from jobs.cluster.config import Cluster
cluster = Cluster(address=sys.argv[1])
cluster.check()
prepare(cluster, verbose=False)
with connect(cluster, verbose=False) as resources:
    pass
print(resources.cpus)
"""


@pytest.mark.cluster
def test_a_cluster_that_runs_is_joined(cluster: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", JOIN, cluster], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == "2.0\n"
