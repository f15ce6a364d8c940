from __future__ import annotations

import json
import subprocess
import sys

import pytest

ASKS = """
import json, os
import psutil
from jobs.cluster.ray_start import prepare
from jobs.cluster.config import Cluster
prepare(Cluster(), verbose=False)
import ray
from jobs.cluster.ray_patches import lean_ray

def scripts():
    family = psutil.Process().children(recursive=True)
    return [word.rpartition("/")[2] for one in family for word in one.cmdline()[1:3] if word.endswith(".py")]

with lean_ray():
    ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=100_000_000)
    before = scripts()
    task = ray.remote(lambda: os.environ["WISH"]).options(runtime_env={"env_vars": {"WISH": "granted"}})
    answers = [ray.get(task.remote(), timeout=60) for _ in range(2)]
    raylet = psutil.Process(ray._private.worker._global_node.all_processes["raylet"][0].process.pid)
    agents = [one for one in raylet.children() if not one.name().startswith("ray::IDLE")]
    raylet.kill()
    gone, alive = psutil.wait_procs(agents, timeout=30)
    ray.shutdown()
print(json.dumps([before, answers, len(agents), len(alive)]))
"""


@pytest.mark.cluster
def test_it_becomes_the_agent_when_a_task_needs_an_environment_and_ends_with_the_raylet() -> None:
    done = subprocess.run([sys.executable, "-c", ASKS], capture_output=True, text=True, timeout=120, check=True)
    before, answers, num_agents, num_alive = json.loads(done.stdout.splitlines()[-1])
    assert before == ["lazy_agent.py"]
    assert answers == ["granted", "granted"]
    assert num_agents == 2
    assert num_alive == 0
