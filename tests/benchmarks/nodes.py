"""Submits jobs to a Ray cluster of three nodes on one machine, each with its own address: a head that does no work, a
CPU node, and a GPU node (a logical GPU: the model runs on the CPU). Needs root for the network namespaces.

    PYTHONPATH=tests/fixtures python tests/benchmarks/nodes.py --data FOLDER --images 2400

Submits a job with `jobs.submit` and follows it to its end; submits it again, which must do nothing; then jobs whose
worker node is killed when half of the images have a row, and two slices of one run at once. `jobs.verify` must verify
each output, with the digest of a clean run on this machine. Prints one line of JSON per job; exits with 1 if one fails.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import requests
import torch
from head import end
from networks import tiny
from photos import write_photos
from processes import batch_infer, environment

TOKEN = "a-token-that-only-this-benchmark-knows"  # noqa: S105
BRIDGE, NETWORK = "shardlens0", "10.77.0"
HEAD, CPUS, GPU = 2, 3, 4  # the last number of each address
RESOURCES = {HEAD: ["--num-cpus=0"], CPUS: ["--num-cpus=2"], GPU: ["--num-cpus=1", "--num-gpus=1"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of images and outputs, which is kept")
    parser.add_argument("--images", type=int, default=2400)
    arguments = parser.parse_args()
    data = arguments.data.resolve()
    images = data / f"images-{arguments.images}"
    if not images.exists():
        write_photos(images, arguments.images)
    torch.manual_seed(0)
    torch.save(tiny().state_dict(), data / "tiny.pt")
    shutil.rmtree(data / "out", ignore_errors=True)
    clean = subprocess.run(batch_infer(*job(data, images, "clean")), env=environment(), check=False)
    assert clean.returncode == 0
    wanted = digest(data / "out" / "clean")
    found = {
        "whole": whole(data, images),
        "node killed": node_killed(data, images, arguments.images),
        "two slices": two_slices(data, images),
    }
    for name, one in found.items():
        print(json.dumps({"what": name, **one, "is_right": one["digest"] == wanted}))
    sys.exit(int(any(one["digest"] != wanted for one in found.values())))


def job(data: Path, images: Path, name: str) -> list[str]:
    """Returns the overrides of a job whose rows are bit-identical wherever it runs."""
    return [
        "+dataset=images",
        f"dataset.path={images}",
        "model.architecture=networks:tiny",
        f"model.checkpoint={data / 'tiny.pt'}",
        f"output.path={data / 'out' / name}",
        f"run.id={name}",
        "run.shard_size=32",
        "batch_size=16",
        "engine=torch",
        "engine.threads=1",
        "output.rows_per_part=32",
    ]


def whole(data: Path, images: Path) -> dict[str, object]:
    with cluster() as nodes:
        began = time.monotonic()
        assert submit(job(data, images, "whole")).wait() == 0
        seconds = time.monotonic() - began
        again = time.monotonic()
        assert submit(job(data, images, "whole")).wait() == 0
        assert len(nodes.jobs()) == 1, "the repeated one was sent"
        return {
            "digest": digest(data / "out" / "whole"),
            "seconds": round(seconds, 1),
            "again_s": round(time.monotonic() - again, 1),
        }


def node_killed(data: Path, images: Path, num_images: int) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, node in (("killed_cpus", CPUS), ("killed_gpu", GPU)):
        with cluster() as nodes:
            process = submit(job(data, images, name))
            while num_rows(data / "out" / name) < num_images / 2:
                assert process.poll() is None, "it ended before half of its rows were there"
                time.sleep(0.2)
            rows_then = num_rows(data / "out" / name)
            assert rows_then < num_images, "it was done before a node could be killed: give it more images"
            nodes.kill(node)
            assert process.wait() == 0
        found |= {f"{name}_at": rows_then, "digest": digest(data / "out" / name)}
        if found["digest"] != digest(data / "out" / "clean"):
            break
    return found


def two_slices(data: Path, images: Path) -> dict[str, object]:
    with cluster(), ThreadPoolExecutor(2) as pool:
        # Each uses half of the CPUs. The GPU cannot be shared, so neither uses it.
        shared = [*job(data, images, "slices"), "run.slices=2", "cluster.drivers=2", "engine.device=cpu"]
        drivers = [submit([*shared, f"run.slice={index}"]) for index in range(2)]
        assert list(pool.map(subprocess.Popen.wait, drivers)) == [0, 0]
    return {"digest": digest(data / "out" / "slices")}


def submit(overrides: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "jobs.submit", "batch_infer", f"cluster.address={api()}", *overrides]
    fixtures = Path(__file__).parent.parent / "fixtures"
    return subprocess.Popen([*command, f"cluster.py_modules=[{fixtures / 'networks.py'}]"], env=with_token())


def api() -> str:
    return f"http://{NETWORK}.{HEAD}:8265"


def with_token() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**environment(), "PATH": path, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}


class Nodes:
    """Three Ray nodes, each in its own network namespace."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, node: int) -> None:
        address = f"{NETWORK}.{node}"
        where = (
            ["--head", "--port=6379", f"--dashboard-host={address}"]
            if node == HEAD
            else [f"--address={NETWORK}.{HEAD}:6379"]
        )
        command = ["ray", "start", "--block", "--disable-usage-stats", f"--node-ip-address={address}", *where]
        command += [*RESOURCES[node], "--object-store-memory=200000000", f"--temp-dir={self._folder / str(node)}"]
        log = (self._folder / f"node-{node}.log").open("w")
        self._processes[node] = subprocess.Popen(
            ["ip", "netns", "exec", namespace(node), *command], env=with_token(), stdout=log, stderr=log
        )

    def wait(self) -> None:
        """Waits until the API accepts jobs and all nodes have joined."""
        until = time.monotonic() + 180
        while time.monotonic() < until:
            try:
                alive = requests.get(f"{api()}/nodes?view=summary", headers=header(), timeout=10).json()["data"][
                    "summary"
                ]
                if sum(one["raylet"].get("state") == "ALIVE" for one in alive) == len(RESOURCES):
                    self.jobs()
                    return
            except (requests.RequestException, KeyError, ValueError):
                pass
            time.sleep(0.5)
        raise SystemExit(
            "the nodes did not come: " + "".join(log.read_text()[-2000:] for log in self._folder.glob("*.log"))
        )

    def jobs(self) -> list[object]:
        found: list[object] = requests.get(f"{api()}/api/jobs/", headers=header(), timeout=30).json()
        return [one for one in found if isinstance(one, dict) and one.get("submission_id")]

    def kill(self, node: int) -> None:
        """Kills all processes of a node at once, as if its machine failed."""
        end(self._processes.pop(node))

    def end(self) -> None:
        for node in list(self._processes):
            self.kill(node)


def header() -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKEN}"}


def namespace(node: int) -> str:
    return f"shardlens-{node}"


@contextmanager
def cluster() -> Iterator[Nodes]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sl-", ignore_cleanup_errors=True)))
        stack.enter_context(network())
        nodes = Nodes(folder)
        stack.callback(nodes.end)
        for node in RESOURCES:
            nodes.start(node)
        nodes.wait()
        yield nodes


@contextmanager
def network() -> Iterator[None]:
    """Creates a bridge with an address for this machine and for each node."""
    with ExitStack() as stack:
        ip("link", "add", BRIDGE, "type", "bridge")
        stack.callback(ip, "link", "del", BRIDGE)
        ip("addr", "add", f"{NETWORK}.1/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        for node in RESOURCES:
            ip("netns", "add", namespace(node))
            stack.callback(ip, "netns", "del", namespace(node))
            ip("link", "add", f"sl{node}", "type", "veth", "peer", "name", "eth0", "netns", namespace(node))
            ip("link", "set", f"sl{node}", "master", BRIDGE, "up")
            ip("-n", namespace(node), "addr", "add", f"{NETWORK}.{node}/24", "dev", "eth0")
            for device in ("eth0", "lo"):
                ip("-n", namespace(node), "link", "set", device, "up")
        yield


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def num_rows(output: Path) -> int:
    parts = output.rglob("rows/**/part-*.parquet")
    return sum(pq.read_metadata(part).num_rows for part in parts)


def digest(output: Path) -> str:
    command = [sys.executable, "-m", "jobs.verify", f"output.path={output}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"rows digest (\w{32})", done.stdout)
    return found[1] if found and not done.returncode else done.stdout + done.stderr


if __name__ == "__main__":
    main()
