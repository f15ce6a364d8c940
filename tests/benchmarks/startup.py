"""Shows where the seconds of a job of a few hundred images go: seconds of each phase, CPU seconds of each process.

    PYTHONPATH=tests/fixtures python tests/benchmarks/startup.py --data FOLDER --repeat 3

Runs the sample job, first without a cache, then with it, each time without existing rows. FOLDER keeps cache and
outputs. Prints one line of JSON per command. CPU seconds are sampled ten times per second, so the last tenth of a
process is missing; a forked worker counts from its fork.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
from processes import batch_infer, environment, report_of
from speed import CACHES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of cache and outputs, which is kept")
    parser.add_argument("--repeat", type=int, default=3, help="number of commands with a cache")
    arguments = parser.parse_args()
    cache, output = (arguments.data.resolve() / name for name in ("cache", "outputs"))
    shutil.rmtree(cache, ignore_errors=True)
    for _ in range(1 + arguments.repeat):
        shutil.rmtree(output, ignore_errors=True)
        print(json.dumps(timed(output, **{CACHES[0]: str(cache)})), flush=True)


def timed(output: Path, **variables: str) -> dict[str, Any]:
    """Runs the sample job; returns its seconds by phase and by process."""
    command = batch_infer("+dataset=sample", f"output.path={output}")
    started = time.monotonic()
    driver = psutil.Popen(command, env=environment(**variables), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    used: dict[int, tuple[str, float]] = {}
    while driver.poll() is None:
        for process in [driver, *children(driver)]:
            note(process, used, is_driver=process.pid == driver.pid)
        time.sleep(0.1)
    seconds = time.monotonic() - started
    assert driver.returncode == 0, driver.returncode
    by_cost = sorted(used.values(), key=lambda one: -one[1])
    return {
        "whole_s": round(seconds, 1),
        "phases_s": {name: round(value, 1) for name, value in report_of(output)["elapsed_s"].items()},
        "cpu_s": [f"{name} {cpu_s:.1f}" for name, cpu_s in by_cost if cpu_s >= 0.1],
    }


def children(driver: psutil.Process) -> list[psutil.Process]:
    try:
        return driver.children(recursive=True)
    except psutil.Error:  # it has just ended
        return []


def note(process: psutil.Process, used: dict[int, tuple[str, float]], *, is_driver: bool) -> None:
    """Records the name of ``process`` and its CPU seconds so far."""
    try:
        words, times = process.cmdline(), process.cpu_times()
    except psutil.Error:  # it has ended in the meantime
        return
    if words:  # otherwise it is ending
        used[process.pid] = ("driver" if is_driver else name_of(words), times.user + times.system)


def name_of(words: list[str]) -> str:
    if words[0].startswith("ray::"):
        return words[0]
    return words[words.index("-um") + 1] if "-um" in words else Path(words[0]).name


if __name__ == "__main__":
    main()
