"""The limit: a plain loop without a framework, with the project's decoder and engines.

    PYTHONPATH=tests/fixtures python tests/benchmarks/peers/limit.py IMAGES_FOLDER WEIGHTS OUTPUT.parquet \
        --processes 2 --engine openvino --precision bf16

Each process loads one engine, processes its share of the images batch by batch without overlap, and writes one Parquet
file to the folder OUTPUT.parquet. `--engine none` stops after decoding, which is the limit of a decoding-bound job. If
one process is faster than one per core, its rate is the limit.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from photos import NUM_CLASSES

from actors.columns import PIXELS, STAGE, unpack_pixels
from actors.decoding.config import Decode
from actors.decoding.pixel_blocks import pixel_columns
from actors.engines.base import default_threads, load_engine
from actors.engines.configs import (
    EngineConfig,
    OnnxEngineConfig,
    OpenVinoEngineConfig,
    Precision,
    TorchEngineConfig,
)
from actors.models.spec import Model
from actors.preprocess import Preprocess
from actors.tasks.classify import Classify
from actors.tasks.context import BatchContext

ENGINES = {"torch": TorchEngineConfig, "onnxruntime": OnnxEngineConfig, "openvino": OpenVinoEngineConfig}
FIELDS = ("label_id", "label", "score", "top_label_ids", "top_labels", "top_scores")


def main() -> None:
    started = time.monotonic()
    arguments = parse()
    threads = arguments.threads or max(1, default_threads() // arguments.processes)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    arguments.output.mkdir(parents=True, exist_ok=True)
    paths = sorted(arguments.images.rglob("*.jpg"))
    loops = run_loops(paths, arguments)
    first = min(loops, key=lambda loop: loop.first_s)
    last_s = max(loop.last_s for loop in loops)
    num_steady = len(paths) - first.num_first
    figures = {
        "num_images": len(paths),
        "processes": len(loops),
        "threads": threads,
        "engine": arguments.engine,
        "precision": arguments.precision,
        "whole_s": round(time.monotonic() - started, 2),
        # From the end of the first batch of any process to the end of the last.
        "steady_images_per_s": round(num_steady / (last_s - first.first_s), 1) if num_steady else None,
    }
    print(json.dumps(figures))


class Loop(NamedTuple):
    """Times at which the first and the last batch of a process ended, on a clock shared by all processes."""

    first_s: float
    num_first: int
    last_s: float


def run_loops(paths: list[Path], arguments: argparse.Namespace) -> list[Loop]:
    """Runs one loop in each process that has images."""
    spawning = multiprocessing.get_context("spawn")
    answers = spawning.SimpleQueue()
    shares = [share for number in range(arguments.processes) if (share := paths[number :: arguments.processes])]
    workers = [
        spawning.Process(target=loop, args=(arguments.output / f"part-{number}.parquet", share, arguments, answers))
        for number, share in enumerate(shares)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for worker in workers:
        if worker.exitcode:
            raise SystemExit(f"a process of the loop ended with {worker.exitcode}")
    return [answers.get() for _ in workers]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, help="threads per process; by default an equal share of the CPUs")
    parser.add_argument("--engine", choices=[*ENGINES, "none"], default="torch")
    parser.add_argument("--precision", choices=[precision.value for precision in Precision], default="fp32")
    parser.add_argument("--compile", action="store_true", help="engine torch: compile the network")
    parser.add_argument("--batch", type=int, default=32)
    return parser.parse_args()


def loop(
    part: Path, paths: list[Path], arguments: argparse.Namespace, answers: multiprocessing.SimpleQueue[Loop]
) -> None:
    weights = arguments.weights.resolve()
    architecture = weights.stem.replace("-", ":", 1)
    model = Model(architecture, {"num_classes": NUM_CLASSES}, str(weights), preprocess=Preprocess())
    engine = None if arguments.engine == "none" else load_engine(engine_config(arguments), model)
    task, limits = Classify(), Decode()
    tables, ends = [], []
    for start in range(0, len(paths), arguments.batch):
        batch = paths[start : start + arguments.batch]
        decoded = pixel_columns([path.read_bytes() for path in batch], limits, model.preprocess)
        assert decoded[STAGE].null_count == len(batch), "an image is damaged"
        columns = {"uri": [str(path) for path in batch]}
        if engine:
            pixels_nhwc = unpack_pixels(pa.chunked_array([decoded[PIXELS]]), *model.preprocess.size)
            context = BatchContext.of_inputs(None, model.preprocess, len(batch))
            columns |= dict(zip(FIELDS, task.columns(engine(pixels_nhwc), context)[0], strict=True))
        tables.append(pa.table(columns))
        ends.append(time.monotonic())
    pq.write_table(pa.concat_tables(tables), part)
    answers.put(Loop(ends[0], len(tables[0]), ends[-1]))


def engine_config(arguments: argparse.Namespace) -> EngineConfig:
    config = ENGINES[arguments.engine](precision=Precision(arguments.precision))
    if arguments.compile:
        config.compile = True
    return config


if __name__ == "__main__":
    main()
