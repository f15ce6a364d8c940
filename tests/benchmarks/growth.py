"""Measures the rate and peak memory as the number of images grows; both should stay flat.

    PYTHONPATH=tests/fixtures python tests/benchmarks/growth.py --data FOLDER --photos 500 2000 8000 32000

The photographs are JPEGs of 500 by 375 pixels, 2,000 of them distinct, with the fitted ResNet-18 and all defaults; the
tiny images are those of `scale`, in Parquet, with its small network and pins. Images, weights and caches in FOLDER are
kept: the first job of a series exports the model. Prints one line of JSON per job, and a table to standard error. The
rate is that of the pipeline, including its start. `processes` defines the memory.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import scale
import torch
from networks import tiny
from photos import NUM_CLASSES
from processes import batch_infer, report_of, watch
from speed import CACHES, prepare

NUM_DISTINCT = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of images, weights and caches, which is kept")
    parser.add_argument("--photos", type=int, nargs="*", default=[500, 2000, 8000, 32000])
    parser.add_argument("--tiny", type=int, nargs="*", default=[1_000_000])
    arguments = parser.parse_args()
    data = arguments.data.resolve()
    os.environ[CACHES[0]] = str(data / "cache")
    jobs = [of_photos(data, count) for count in sorted(arguments.photos)]
    jobs += [of_tiny(data, count) for count in sorted(arguments.tiny)]
    print("\n".join(table(jobs)), file=sys.stderr)


def of_photos(data: Path, count: int) -> dict[str, Any]:
    images, weights = prepare(data, NUM_DISTINCT, quality=88)
    folder, output = data / f"photos-{count}", data / "output"
    if not folder.exists():
        distinct = sorted(images.rglob("*.jpg"))
        folder.mkdir()
        for number in range(count):
            os.link(distinct[number % NUM_DISTINCT], folder / f"{number:06d}.jpg")
    shutil.rmtree(output, ignore_errors=True)
    command = batch_infer(
        "+dataset=images",
        f"dataset.path={folder}",
        "model.architecture=networks:resnet18",
        f"+model.kwargs.num_classes={NUM_CLASSES}",
        f"model.checkpoint={weights}",
        f"output.path={output}",
    )
    return measured("photographs", count, command, output)


def of_tiny(data: Path, count: int) -> dict[str, Any]:
    torch.save(tiny(NUM_CLASSES).state_dict(), data / "tiny.pt")
    folder, output = scale.prepared(f"parquet-{count}", data, scale.write_parquet, count), data / "output"
    shutil.rmtree(output, ignore_errors=True)
    return measured("tiny images", count, scale.job_command("parquet", folder, output, []), output)


def measured(kind: str, count: int, command: list[str], output: Path) -> dict[str, Any]:
    watched = watch(command)
    report = report_of(output)
    if report["num_ok"] != count:
        raise SystemExit(f"{report['num_ok']} of {count} images have a row")
    figures = {
        "kind": kind,
        "num_images": count,
        "whole_s": round(watched.seconds, 1),
        "images_per_s": round(report["images_per_s"], 1),
        "workers": report["execution"]["plan"]["workers"],
        **watched.peaks,
    }
    print(json.dumps(figures), flush=True)
    return figures


def table(jobs: list[dict[str, Any]]) -> list[str]:
    """Returns the lines of a Markdown table."""
    head = ["images", "whole s", "images/s", "workers", "all processes MiB", "driver MiB", "largest predictor MiB"]
    rows = [head, ["---"] * len(head)]
    for job in jobs:
        memory = [f"{job[f'{name}_mib']:,}" for name in ("all_processes", "driver", "predictor")]
        numbers = [f"{job['whole_s']}", f"{job['images_per_s']:,}", f"{job['workers']}"]
        rows.append([f"{job['num_images']:,} {job['kind']}", *numbers, *memory])
    return ["| " + " | ".join(row) + " |" for row in rows]


if __name__ == "__main__":
    main()
