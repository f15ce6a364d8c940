"""Measures the blocks per second that one driver can schedule, from the cost of a block to the processes that do not
scale with nodes: the driver, the ledger, and the head's GCS and raylet.

    PYTHONPATH=tests/fixtures python tests/benchmarks/scheduling.py --data FOLDER --images 24000

Runs jobs over tiny images on its own Ray with one logical GPU (the model runs on the CPU), so that each block is one
batch that goes from a read task to an actor. Two dataset sizes exclude the start-up time. Prints one line of JSON: CPU
seconds of each process per additional block, and the blocks per second at which the busiest saturates.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import torch
from networks import tiny
from processes import environment, report_of
from scale import job_command, prepared, write_parquet

from jobs.cluster.config import Cluster
from jobs.cluster.ray_start import prepare

BATCH_SIZE = 16
KINDS = {"ray::Ledger": "ledger", "gcs_server": "gcs", "raylet/raylet": "raylet"}


def main() -> None:
    arguments = parse()
    prepare(Cluster(), verbose=False)
    import ray  # noqa: PLC0415  comes after `prepare`

    arguments.data.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.save(tiny().state_dict(), arguments.data / "tiny.pt")
    sizes = (arguments.images // 4, arguments.images)
    folders = [prepared(f"parquet-{size}", arguments.data, write_parquet, size) for size in sizes]
    context = ray.init(address="local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
    small, large = (measure(folder, context.address_info["address"]) for folder in folders)
    ray.shutdown()
    print(json.dumps(further(small, large)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of datasets and outputs, which is kept")
    parser.add_argument("--images", type=int, default=24_000)
    return parser.parse_args()


def measure(folder: Path, address: str) -> Counter[str]:
    """Returns the CPU seconds of each kind of process, the number of blocks, and the seconds of the pipeline."""
    output = folder.with_name("output")
    shutil.rmtree(output, ignore_errors=True)
    overrides = [f"batch_size={BATCH_SIZE}", "cluster.workers=auto", f"cluster.address={address}"]
    command = job_command("parquet", folder, output, overrides)
    before = cpu_seconds()
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
    driver, latest = psutil.Process(process.pid), Counter[str]()
    while process.poll() is None:
        latest |= cpu_seconds()  # keeps the last value of processes that end, such as a ledger
        latest["driver"] = max(latest["driver"], seconds_of(driver))
        time.sleep(0.2)
    assert process.returncode == 0, process.returncode
    spent = Counter({kind: latest[kind] - (0 if kind == "ledger" else before[kind]) for kind in latest})
    report = report_of(output)
    return spent + Counter(blocks=num_blocks(report), wall=report["elapsed_s"]["run"])


def cpu_seconds() -> Counter[str]:
    found: Counter[str] = Counter()
    for process in psutil.Process().children(recursive=True):
        try:
            name = " ".join(process.cmdline())
            kind = next((kind for part, kind in KINDS.items() if part in name), None)
            if kind:
                found[kind] = max(found[kind], seconds_of(process))
        except psutil.Error:  # it ended in the meantime
            continue
    return found


def seconds_of(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return times.user + times.system


def num_blocks(report: dict[str, Any]) -> int:
    assert not report["execution"]["plan"]["is_fused"]
    return -(-report["num_listed"] // BATCH_SIZE)


def further(small: Counter[str], large: Counter[str]) -> dict[str, Any]:
    """Returns the milliseconds per additional block of the larger dataset."""
    blocks = large["blocks"] - small["blocks"]
    kinds = sorted({*KINDS.values(), "driver"})
    each = {kind: round(1000 * (large[kind] - small[kind]) / blocks, 2) for kind in kinds}
    return {
        "blocks": blocks,
        "cpu_ms_a_block": each,
        "most_blocks_per_s": round(1000 / max(each.values()), 1),
        "blocks_per_s_here": round(blocks / (large["wall"] - small["wall"]), 1),
    }


if __name__ == "__main__":
    main()
