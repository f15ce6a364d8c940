"""Measures the seconds and memory of `jobs.verify` on a large run, with every digest, receipt and row checked.

    PYTHONPATH=tests/fixtures python tests/benchmarks/verification.py --data FOLDER --images 10_000_000

Writes a published run to FOLDER unless it exists, with random classes instead of predictions and 1 % error rows. Prints
one line of JSON; on a busy machine, CPU seconds are the more stable figure. Further arguments are overrides of the
command, such as ``digest=false``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from finished import CHECKED, PROVENANCE, job_over, opened
from processes import watch
from scale import prepared, write_uris

from actors.columns import DECODE_S, ERROR, IMAGE_ID, MESSAGE, PREDICT_S, READ_S, ROW, SHARD, STAGE, URI
from actors.tasks.base import Outputs
from actors.tasks.classify import Classify
from actors.writing.part_writer import SinkPlan, write_part
from jobs.config import to_yaml
from jobs.datasets.image_versions import Versions
from jobs.datasets.manifest import ManifestDataset
from jobs.job import RunConfig
from jobs.runs.commit import collect, publish
from jobs.runs.opening import Run

SHARDS_PER_PART = 32  # 16,384 rows, as many as the planner requests
NUM_CLASSES = 20
IMAGES_PER_ERROR = 100
TASK = Classify()
REPORT_KEYS = ("run_id", "fingerprint", "num_listed", "num_ok", "num_errors")
RECORD_KEYS = ("run_id", "mode", "fingerprint", "inventory_digest", "dataset_digest", "columns_digest")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the run, which is kept")
    parser.add_argument("--images", type=int, default=10_000_000)
    arguments, overrides = parser.parse_known_args()
    arguments.data.mkdir(parents=True, exist_ok=True)
    output = prepared(f"run-{arguments.images}", arguments.data.resolve(), write_run, arguments.images)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    watched = watch([sys.executable, "-m", "jobs.verify", f"output.path={output}", *overrides])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    figures = {"num_images": arguments.images, "whole_s": round(watched.seconds, 1), "cpu_s": round(cpu_s, 1)}
    print(json.dumps(figures | watched.peaks), flush=True)


def write_run(output: Path, count: int) -> None:
    names = prepared(f"manifest-{count}-names", output.parent, write_uris, count)
    dataset = ManifestDataset(path=str(names), versions=Versions.none)  # the images do not exist
    job = replace(job_over(names, output), dataset=dataset, run=RunConfig())
    config_digest = hashlib.sha256(json.dumps(to_yaml(job)).encode()).hexdigest()
    run = opened(job, replace(CHECKED, provenance=PROVENANCE | {"config_digest": config_digest}))
    with ProcessPoolExecutor() as pool:
        list(pool.map(partial(write_shards, run), range(0, run.shards.num_shards, SHARDS_PER_PART)))
    outcome = collect(run.paths, run.storage, run.shards.sizes)
    record = json.loads(Path(run.paths.record).read_text())
    publish(outcome, run.paths, run.storage, {key: record[key] for key in RECORD_KEYS})
    manifest = json.loads(Path(run.paths.manifest).read_text())
    Path(run.paths.report).write_text(json.dumps({key: manifest[key] for key in REPORT_KEYS}))


def write_shards(run: Run, first: int) -> None:
    """Writes the part files of consecutive shards."""
    shards = [run.shards.load(shard) for shard in range(first, min(first + SHARDS_PER_PART, run.shards.num_shards))]
    listed = pa.concat_tables(shards).combine_chunks()
    block = predicted(listed.select([SHARD, ROW, IMAGE_ID, URI]), np.random.default_rng(first))
    write_part(SinkPlan(run.paths, run.storage, PROVENANCE, 0), block, number=first // SHARDS_PER_PART)


def predicted(listed: pa.Table, generator: np.random.Generator) -> pa.Table:
    """Returns rows like those of `Predictor.predict_block`."""
    num_rows = len(listed)
    tensors = {"output": generator.normal(scale=3, size=(num_rows, NUM_CLASSES)).astype(np.float32)}
    columns, _ = TASK.columns(tensors, None)
    is_bad = pa.array(generator.integers(0, IMAGES_PER_ERROR, num_rows) == 0)
    nothing = pa.scalar(None, pa.string())
    for name, text in ((STAGE, "decode"), (ERROR, "truncated"), (MESSAGE, "the file ends at byte 7")):
        listed = listed.append_column(name, pc.if_else(is_bad, text, nothing))
    for name in (READ_S, DECODE_S, PREDICT_S):
        listed = listed.append_column(name, pa.array(np.full(num_rows, 0.001, np.float32)))
    for field, column in zip(TASK.fields(Outputs.of(tensors), None), columns, strict=True):
        listed = listed.append_column(field, column)
    return listed


if __name__ == "__main__":
    main()
