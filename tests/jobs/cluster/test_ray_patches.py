from __future__ import annotations

import json
import subprocess
import sys

import pytest
import ray
from ray._private.node import Node

from jobs.cli.logs import set_up_logging
from jobs.cluster.ray_patches import lean_ray
from jobs.job import LogFormat

STARTS = """
import json, os
import psutil, ray
from jobs.cluster.ray_start import prepare
from jobs.cluster.config import Cluster
prepare(Cluster(), verbose=False)
from ray._private import services
from ray._private.node import Node
from ray.data._internal.execution import streaming_executor
from ray.data._internal.stats import _StatsManager
from jobs.cluster.ray_patches import lean_ray
REPLACED = [
    (services, "ConsolePopen"),
    (Node, "start_api_server"),
    (Node, "start_monitor"),
    (_StatsManager, "register_dataset_to_stats_actor"),
    (_StatsManager, "update_execution_metrics"),
    (_StatsManager, "update_iteration_metrics"),
    (streaming_executor, "create_cluster_autoscaler"),
]
before = [vars(owner)[name] for owner, name in REPLACED]

class Doubling:
    def __call__(self, batch):
        return {"id": batch["id"] * 2}

with lean_ray():
    ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=100_000_000)
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = ray.data.range(6, override_num_blocks=3).map_batches(Doubling, concurrency=1).take_all()
    programs = {word.rpartition("/")[2] for child in psutil.Process().children() for word in child.cmdline()}
    groups = [os.getpgid(child.pid) for child in psutil.Process().children()]
    actors = [actor["name"] for actor in ray.util.list_named_actors(all_namespaces=True)]
    ray.shutdown()
assert [vars(owner)[name] for owner, name in REPLACED] == before
assert groups and os.getpgrp() not in groups
running = sorted(programs & {"dashboard.py", "monitor.py", "log_monitor.py", "gcs_server", "raylet"})
print(json.dumps([sorted(row["id"] for row in rows), running, actors]))
"""


@pytest.mark.cluster
def test_data_is_worked_on_with_no_process_that_nobody_asks() -> None:
    done = subprocess.run([sys.executable, "-c", STARTS], capture_output=True, text=True, timeout=120, check=True)
    rows, services, actors = json.loads(done.stdout)
    assert rows == [0, 2, 4, 6, 8, 10]
    assert services == ["gcs_server", "log_monitor.py", "raylet"]
    assert actors == ["ActorLocationTracker"]


def test_another_version_of_ray_is_left_as_it_is_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray, "__version__", "2.61.0")
    set_up_logging(LogFormat.text, verbose=False)
    before = dict(vars(Node))
    with lean_ray():
        assert dict(vars(Node)) == before
    assert "Ray 2.61.0 starts unpatched, a few seconds slower: not one of 2.60.0" in capsys.readouterr().err
