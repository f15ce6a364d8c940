"""Measures time per image and memory as the number of images grows (both should stay flat), and a large listing.

    PYTHONPATH=tests/fixtures python tests/benchmarks/scale.py --data FOLDER --images 10000 100000 1000000

Creates datasets of tiny JPEGs in FOLDER unless they exist: a few hundred images repeated, each with its own id. Runs
one job over each, as a whole command, and prints one line of JSON: rates, seconds of each phase, and peak memory of
each kind of process (see `processes`). A small job spends most of its time starting. `further_ms_an_image` excludes
that: it is the time per image that the previous run did not have.

    PYTHONPATH=tests/fixtures python tests/benchmarks/scale.py --data FOLDER --images --inventory 10000000

Only lists, in a separate process, and plans for 64 GPUs; runs nothing. Further arguments are overrides of the jobs.
Engine, batch size and number of workers are pinned unless overridden.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from finished import CHECKED, job_over, opened
from incremental import entries
from networks import tiny
from photos import NUM_CLASSES, jpeg
from processes import batch_infer, environment, report_of, watch

from actors.columns import URI
from jobs.cluster.resources import Resources
from jobs.datasets.base import Dataset
from jobs.datasets.image_versions import Versions
from jobs.datasets.manifest import ManifestDataset
from jobs.datasets.parquet import ParquetDataset
from jobs.job import RunConfig
from jobs.planning.planner import Load, make_plan
from jobs.runs.commit import collect

SIDE = 32
NUM_DISTINCT = 300
IMAGES_PER_FILE = 20_480
ROW_GROUP_ROWS = 512
# Otherwise they depend on the number of images: for many, searching for the fastest engine pays off.
PINS = ("engine=torch", "batch_size=512", "cluster.workers=2")
NUM_GPUS = 64
CPUS_PER_GPU = 8


def main() -> None:
    arguments, overrides = parse()
    if arguments.plan:
        print(json.dumps(list_and_plan(*arguments.plan.name.split("-")[:2], arguments.plan)))
        return
    data = arguments.data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    for source in arguments.source if arguments.images else ():
        run_all(source, arguments.images, data, overrides)
    for source in arguments.inventory_source if arguments.inventory else ():
        folder = prepared(f"{source}-{arguments.inventory}-names", data, NAMES[source], arguments.inventory)
        command = [sys.executable, __file__, "--data", data, "--plan", folder]
        done = subprocess.run(command, env=environment(), check=True, stdout=subprocess.PIPE, text=True)
        print(done.stdout, end="", flush=True)


def parse() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the datasets, which are kept")
    parser.add_argument(
        "--images", type=int, nargs="*", default=[10_000, 100_000, 1_000_000], help="number of images of each job"
    )
    parser.add_argument("--source", nargs="+", choices=list(IMAGES), default=list(IMAGES))
    parser.add_argument("--inventory", type=int, help="images that are only listed and planned")
    parser.add_argument("--inventory-source", nargs="+", choices=list(NAMES), default=list(NAMES))
    parser.add_argument("--plan", type=Path, help="internal: the dataset to list in this process")
    return parser.parse_known_args()


def run_all(source: str, counts: list[int], data: Path, overrides: list[str]) -> None:
    """Runs one job after another, over increasing numbers of images."""
    torch.save(tiny(NUM_CLASSES).state_dict(), data / "tiny.pt")
    before: dict[str, Any] = {"num_images": 0}
    for count in sorted(counts):
        folder = prepared(f"{source}-{count}", data, IMAGES[source], count)
        figures = run(source, folder, count, overrides)
        if before["num_images"]:
            further_s = figures["phases_s"]["run"] - before["phases_s"]["run"]
            further_ms = 1000 * further_s / (count - before["num_images"])
            figures |= {"further_ms_an_image": round(further_ms, 4)}
        print(json.dumps(figures), flush=True)
        before = figures


def run(source: str, folder: Path, count: int, overrides: list[str]) -> dict[str, Any]:
    output = folder.with_name("output")
    shutil.rmtree(output, ignore_errors=True)
    watched = watch(job_command(source, folder, output, overrides))
    report = report_of(output)
    record = json.loads(next((output / "runs").glob("*/run.json")).read_text())
    num_parts = sum(1 for _ in (output / "rows").rglob("part-*.parquet"))
    shutil.rmtree(output)
    if report["num_ok"] != count:
        raise SystemExit(f"{report['num_ok']} of {count} images have a row")
    return {
        "source": source,
        "num_images": count,
        "num_shards": record["num_shards"],
        "num_parts": num_parts,
        "whole_s": round(watched.seconds, 1),
        "phases_s": report["elapsed_s"],
        "images_per_s": round(report["images_per_s"], 1),
        "ms_an_image": round(1000 / report["images_per_s"], 4),
        "plan": {key: report["execution"]["plan"][key] for key in ("workers", "batch_size", "rows_per_part")},
        **watched.peaks,
    }


def job_command(source: str, folder: Path, output: Path, overrides: list[str]) -> list[str]:
    datasets = {"parquet": ["+dataset=parquet", "dataset.id_column=id"], "tar": ["+dataset=webdataset"]}
    given_keys = {override.partition("=")[0] for override in overrides}
    return batch_infer(
        *datasets[source],
        f"dataset.path={folder}",
        "model.architecture=networks:tiny",
        f"model.checkpoint={folder.with_name('tiny.pt')}",
        f"model.preprocess.resize={SIDE}",
        f"model.preprocess.crop={SIDE}",
        f"output.path={output}",
        *(pin for pin in PINS if pin.partition("=")[0] not in given_keys),
        *overrides,
    )


def list_and_plan(source: str, num_images: str, folder: Path) -> dict[str, Any]:
    """Lists the dataset, cuts shards and plans the work, as `jobs.batch_infer` does before the first image."""
    datasets: dict[str, Callable[[], Dataset]] = {
        "manifest": lambda: ManifestDataset(path=str(folder), versions=Versions.none),  # the images do not exist
        "parquet": lambda: ParquetDataset(path=str(folder), id_column="id"),
    }
    output = folder.with_name("output")
    shutil.rmtree(output, ignore_errors=True)
    job = replace(job_over(folder, output), dataset=datasets[source](), run=RunConfig())
    before_mib, started = peak_rss_mib(), time.monotonic()
    job.dataset.check()
    opened_run = opened(job)
    listed_at = time.monotonic()
    outcome = collect(opened_run.paths, opened_run.storage, opened_run.shards.sizes)
    resources = Resources(cpus=float(NUM_GPUS * CPUS_PER_GPU), gpus=float(NUM_GPUS))
    num_missing = outcome.coverage.num_missing
    plan = make_plan(job, resources, CHECKED.fields, Load(num_missing, CHECKED.image_s))
    pieces = plan.cut(outcome.coverage.missing())
    planned_at = time.monotonic()
    figures = {
        "source": source,
        "num_listed": num_missing,
        "num_shards": opened_run.shards.num_shards,
        "num_pieces": len(pieces),
        "list_s": round(listed_at - started, 2),
        "plan_s": round(planned_at - listed_at, 2),
        "total_s": round(planned_at - started, 2),
        "inventory_mib": sum(path.stat().st_size for path in (output / "runs").rglob("*.parquet")) >> 20,
        "rss_before_mib": before_mib,
        "peak_rss_mib": peak_rss_mib(),
    }
    shutil.rmtree(output)
    if num_missing != int(num_images):
        raise SystemExit(f"{num_missing} of {num_images} images are listed")
    return figures


def peak_rss_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def prepared(name: str, data: Path, write: Callable[[Path, int], None], count: int) -> Path:
    """Returns the folder of a dataset; ``write`` creates it unless it exists."""
    folder = data / name
    if not folder.exists():
        unfinished = data / f"{name}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        write(unfinished, count)
        unfinished.rename(folder)
    return folder


def write_parquet(folder: Path, count: int) -> None:
    write_rows(folder, count, distinct_images())


def write_tars(folder: Path, count: int) -> None:
    images = distinct_images()
    for file, numbers in enumerate(files(count)):
        with tarfile.open(folder / f"{file:05d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for number in numbers:
                image = images[number % len(images)]
                member = tarfile.TarInfo(f"{number:09d}.jpg")
                member.size = len(image)
                tar.addfile(member, io.BytesIO(image))


def write_uris(folder: Path, count: int) -> None:
    """Writes a manifest of URIs like those of an object store."""
    schema = pa.schema({"uri": pa.string()})
    with pq.ParquetWriter(folder / "list.parquet", schema) as writer:
        for table in entries(0, count):
            writer.write_table(pa.table([table[URI]], schema=schema))


def write_few_bytes(folder: Path, count: int) -> None:
    """Writes rows with ids and a few bytes in place of images, which a listing does not read."""
    write_rows(folder, count, [b"none"])


def write_rows(folder: Path, count: int, images: list[bytes]) -> None:
    """Writes rows uncompressed, so that repeated images take as many bytes as distinct ones."""
    column = pa.array(images, pa.binary())
    schema = pa.schema({"id": pa.string(), "image": pa.binary()})
    for file, numbers in enumerate(files(count)):
        path = folder / f"{file:05d}.parquet"
        with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
            for start in range(numbers.start, numbers.stop, ROW_GROUP_ROWS):
                rows = np.arange(start, min(start + ROW_GROUP_ROWS, numbers.stop))
                ids = [f"{number:09d}" for number in rows]
                writer.write_table(pa.table([ids, column.take(pa.array(rows % len(images)))], schema=schema))


def files(count: int) -> Iterator[range]:
    return (range(start, min(start + IMAGES_PER_FILE, count)) for start in range(0, count, IMAGES_PER_FILE))


def distinct_images() -> list[bytes]:
    return [jpeg(number, width=SIDE, height=SIDE) for number in range(NUM_DISTINCT)]


IMAGES = {"parquet": write_parquet, "tar": write_tars}
NAMES = {"manifest": write_uris, "parquet": write_few_bytes}


if __name__ == "__main__":
    main()
