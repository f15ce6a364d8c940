from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ray._private.node import Node
from ray.data._internal.execution import streaming_executor

from jobs.cli.logs import set_up_logging
from jobs.cluster import fork_server, ray_patches
from jobs.cluster.ray_patches import lean_ray, lean_ray_data
from jobs.job import LogFormat

STARTS = """
import json, os
import psutil, ray
from jobs.cluster.ray_start import prepare
from jobs.cluster.config import Cluster
prepare(Cluster(), verbose=False)
from ray._private import services, utils
from ray._private.node import Node
from ray.data._internal.execution import streaming_executor
from ray.data._internal.execution.operators import actor_pool_map_operator
from ray.data._internal.stats import _StatsManager
from jobs.cluster.ray_patches import lean_ray, lean_ray_data
REPLACED = [
    (services, "ConsolePopen"),
    (services, "get_node"),
    (services, "_site_flags"),
    (services, "_build_python_executable_command_memory_profileable"),
    (utils, "get_dashboard_dependency_error"),
    (Node, "start_api_server"),
    (Node, "start_log_monitor"),
    (Node, "start_monitor"),
    (Node, "start_raylet"),
    (_StatsManager, "register_dataset_to_stats_actor"),
    (_StatsManager, "update_execution_metrics"),
    (_StatsManager, "update_iteration_metrics"),
    (actor_pool_map_operator, "get_actor_locations"),
    (actor_pool_map_operator, "get_or_create_actor_location_tracker"),
    (streaming_executor, "create_cluster_autoscaler"),
]
before = [vars(owner)[name] for owner, name in REPLACED]

class Doubling:
    def __call__(self, batch):
        return {"id": batch["id"] * 2}

with lean_ray(), lean_ray_data():
    ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=100_000_000)
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = ray.data.range(6, override_num_blocks=3).map_batches(Doubling, concurrency=1).take_all()
    family = psutil.Process().children(recursive=True)
    programs = {word.rpartition("/")[2] for child in family for word in child.cmdline()[:3]}
    groups = [os.getpgid(child.pid) for child in psutil.Process().children()]
    actors = [actor["name"] for actor in ray.util.list_named_actors(all_namespaces=True)]
    ray.shutdown()
assert [vars(owner)[name] for owner, name in REPLACED] == before
assert groups and os.getpgrp() not in groups
assert not [child for child in family if child.is_running() and child.name() == "cat"]
services = {"dashboard.py", "agent.py", "monitor.py", "log_monitor.py", "lazy_agent.py", "gcs_server", "raylet"}
print(json.dumps([sorted(row["id"] for row in rows), sorted(programs & services), actors]))
"""


@pytest.mark.cluster
def test_data_is_worked_on_with_no_process_that_nobody_asks() -> None:
    done = subprocess.run([sys.executable, "-c", STARTS], capture_output=True, text=True, timeout=120, check=True)
    rows, services, actors = json.loads(done.stdout)
    assert rows == [0, 2, 4, 6, 8, 10]
    assert services == ["gcs_server", "lazy_agent.py", "raylet"]
    assert actors == []


def test_another_version_of_ray_is_left_as_it_is_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray_patches, "version", lambda _: "2.61.0")
    set_up_logging(LogFormat.text, verbose=False)
    before = dict(vars(Node)), dict(vars(streaming_executor))
    with lean_ray(), lean_ray_data():
        assert (dict(vars(Node)), dict(vars(streaming_executor))) == before
    assert (
        "Ray 2.61.0 starts unpatched, a few seconds slower: not one of 2.60.0 on Linux or macOS"
        in capsys.readouterr().err
    )


WITHOUT_FORKS = """
from jobs.cli.logs import set_up_logging
from jobs.cluster.ray_patches import lean_ray
from jobs.job import LogFormat
from ray._private import services
set_up_logging(LogFormat.text, verbose=False)
before = services._site_flags
with lean_ray() as forks:
    assert forks is None
    assert services._site_flags is before
"""


@pytest.mark.skipif(not fork_server.IS_SUPPORTED, reason="needs Linux")
def test_without_a_fork_server_ray_starts_its_own_workers(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    command, environment = [sys.executable, "-c", WITHOUT_FORKS], os.environ | {"TMPDIR": str(folder)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "workers start without a fork server, a second slower: " in done.stderr
    assert not list(folder.iterdir())
