"""Runs whole commands and samples the memory of their processes by kind: driver, workers, object store.

Memory is the unique set size (USS) of each process, and the shared memory of the object store, sampled five times per
second.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

FIXTURES = Path(__file__).parent.parent / "fixtures"


def batch_infer(*overrides: str) -> list[str]:
    """Returns the command of a job."""
    return [sys.executable, "-m", "jobs.batch_infer", *overrides]


def environment(**more: str) -> dict[str, str]:
    """Returns the environment of this process, with the networks of the tests on the path."""
    return {**os.environ, "PYTHONPATH": str(FIXTURES), **more}


def report_of(output: Path) -> dict[str, Any]:
    """Returns the report of the only run below ``output``."""
    [path] = (output / "runs").glob("*/report.json")
    return json.loads(path.read_text())


@dataclass(frozen=True)
class Watched:
    """Figures of a command that succeeded."""

    seconds: float
    peaks: dict[str, int]
    """Peak MiB by kind of process, of all processes together, and of the object store."""


def watch(command: Sequence[str]) -> Watched:
    started = time.monotonic()
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
    highest: dict[str, int] = defaultdict(int)
    ended = threading.Event()
    sampler = threading.Thread(target=sample, args=(process.pid, highest, ended))
    sampler.start()
    status = process.wait()
    seconds = time.monotonic() - started
    ended.set()
    sampler.join()
    assert status == 0, status
    return Watched(seconds, {f"{kind}_mib": value >> 20 for kind, value in sorted(highest.items())})


def sample(pid: int, highest: dict[str, int], ended: threading.Event) -> None:
    driver = psutil.Process(pid)
    while not ended.wait(0.2):
        seen: dict[str, int] = defaultdict(int)
        try:
            for process in [driver, *driver.children(recursive=True)]:
                measure(process, seen, is_driver=process.pid == pid)
        except psutil.Error:  # a process ended in the meantime
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
        kind = worker_kind(name)
        seen[kind] = max(seen[kind], memory.uss)


def worker_kind(name: str) -> str:
    if "Predict" in name or "Fused" in name:
        return "predictor"
    return "reader" if "ReadImages" in name else "other_worker"
