"""Peak memory of driver and workers, side by side for a small and a large job.

    PYTHONPATH=tests/fixtures python tests/benchmarks/memory.py --images 2000 20000

Memory is each process's own (USS), and shared blocks are what the object store holds; sampled five times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from pathlib import Path

import psutil
import torch
from networks import tiny
from photos import write_photos


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[2000, 20000])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        paths = write_photos(root / "images", 200)
        torch.save(tiny(10).state_dict(), root / "tiny.pt")
        for count in arguments.images:
            lines = [str(paths[number % len(paths)]) for number in range(count)]
            (root / f"list{count}.csv").write_text("uri\n" + "\n".join(lines))
            print(json.dumps({"num_images": count, **peaks(job_command(root, count))}), flush=True)


def job_command(root: Path, count: int) -> list[str]:
    return [
        sys.executable,
        "-m",
        "jobs.batch_infer",
        "+dataset=manifest",
        f"dataset.path={root}/list{count}.csv",
        "model.architecture=networks:tiny",
        f"model.checkpoint={root}/tiny.pt",
        f"output.path={root}/out{count}",
    ]


def peaks(command: list[str]) -> dict[str, int]:
    """Highest MiB seen of each kind of process, of all together, and of the object store."""
    fixtures = Path(__file__).parent.parent / "fixtures"
    environment = {**os.environ, "PYTHONPATH": str(fixtures)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    highest: dict[str, int] = defaultdict(int)
    ended = threading.Event()
    sampler = threading.Thread(target=sample, args=(process.pid, highest, ended))
    sampler.start()
    status = process.wait()
    ended.set()
    sampler.join()
    assert status == 0, status
    return {f"{kind}_mib": value >> 20 for kind, value in sorted(highest.items())}


def sample(pid: int, highest: dict[str, int], ended: threading.Event) -> None:
    driver = psutil.Process(pid)
    while not ended.wait(0.2):
        seen: dict[str, int] = defaultdict(int)
        try:
            for process in [driver, *driver.children(recursive=True)]:
                measure(process, seen, is_driver=process.pid == pid)
        except psutil.Error:  # a process ended between two looks
            continue
        for kind, value in seen.items():
            highest[kind] = max(highest[kind], value)


def measure(process: psutil.Process, seen: dict[str, int], *, is_driver: bool) -> None:
    memory = process.memory_full_info()
    name = " ".join(process.cmdline())
    seen["all_processes"] += memory.uss
    if "raylet/raylet" in name:
        seen["object_store"] = max(seen["object_store"], memory.shared)
    if is_driver:
        seen["driver"] = memory.uss
    elif name.startswith("ray::"):
        kind = (
            "predictor"
            if "Predict" in name or "Fused" in name
            else "reader"
            if "ReadImages" in name
            else "other_worker"
        )
        seen[kind] = max(seen[kind], memory.uss)


if __name__ == "__main__":
    main()
