"""Compares images per second of task detect, in a predictor and in a whole job, with a plain loop on the same engine.

    PYTHONPATH=tests/fixtures python tests/benchmarks/detect.py --checkpoint 320n.onnx --side 320 --images 500

All decode the same JPEGs in the same way, run the same .onnx file in onnxruntime, and apply the same score threshold.
The loop reads a batch, runs it, suppresses boxes image by image with a plain NumPy function, and writes one Parquet
file. Without a checkpoint, a small network from the tests is used, so that everything but the network counts. The loop
and the predictor report the best of two passes after a first one; the job reports its images over the seconds of the
run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from detectors import yolo_like
from photos import write_photos
from plain_boxes import boxes_of
from processes import batch_infer, environment, report_of

from actors.columns import PIXELS, unpack_pixels
from actors.decoding.config import Decode
from actors.decoding.pixel_blocks import pixel_columns
from actors.engines.configs import Device, OnnxEngineConfig, Precision
from actors.models.spec import Model
from actors.predictor import Predictor
from actors.preprocess import Preprocess, ResizeMode
from actors.tasks.detect import Detect

BATCH, PASSES = 32, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help=".onnx file in the layout yolov8, with a free batch size")
    parser.add_argument("--side", type=int, default=320, help="pixels of its input")
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--threshold", type=float, default=0.02, help="score from which on a box counts")
    arguments, overrides = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        paths = write_photos(root / "images", arguments.images)
        checkpoint = arguments.checkpoint or export_small(root / "small.onnx", arguments.side)
        preprocess = Preprocess(
            resize=arguments.side, resize_mode=ResizeMode.longest_side, crop=None, mean=[0, 0, 0], std=[1, 1, 1]
        )
        task = Detect(score_threshold=arguments.threshold)
        loop_s, loop_boxes = best(lambda: plain_loop(paths, checkpoint, preprocess, task, root / "loop.parquet"))
        engine = OnnxEngineConfig(device=Device.cpu, precision=Precision.fp32)
        predictor = Predictor(Model(checkpoint=str(checkpoint), preprocess=preprocess), engine=engine, task=task)
        predictor_s, boxes = best(lambda: predicted(paths, predictor, root / "predictor.parquet"))
        command = job_command(root, checkpoint, arguments, overrides)
        subprocess.run(command, check=True, env=environment(), stdout=subprocess.DEVNULL)
        report = report_of(root / "out")
    loop, own, job = arguments.images / loop_s, arguments.images / predictor_s, report["images_per_s"]
    figures = {
        "num_images": arguments.images,
        "boxes_of_loop_and_predictor": [loop_boxes, boxes],
        "loop_images_per_s": round(loop, 1),
        "predictor_images_per_s": round(own, 1),
        "job_run_images_per_s": round(job, 1),
        "ratio_predictor_to_loop": round(own / loop, 2),
        "ratio_job_to_loop": round(job / loop, 2),
    }
    print(json.dumps(figures, indent=1))


def best(run: Callable[[], int]) -> tuple[float, int]:
    """Returns the seconds of the fastest pass after a first one, and the number of boxes found."""
    found, seconds = run(), []
    for _ in range(PASSES):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds), found


def predicted(paths: Sequence[Path], predictor: Predictor, result: Path) -> int:
    table = predictor.predict(paths, batch_size=BATCH)
    pq.write_table(table, result)
    return sum(map(len, table["detections"].to_pylist()))


@cache
def session_of(checkpoint: Path) -> Any:
    return onnxruntime.InferenceSession(checkpoint, providers=["CPUExecutionProvider"])


def plain_loop(paths: Sequence[Path], checkpoint: Path, preprocess: Preprocess, task: Detect, result: Path) -> int:
    """Returns the number of boxes found by a script that keeps its session between passes."""
    session = session_of(checkpoint)
    (image,) = session.get_inputs()
    rows: list[dict[str, Any]] = []
    for start in range(0, len(paths), BATCH):
        batch = paths[start : start + BATCH]
        columns = pixel_columns([path.read_bytes() for path in batch], Decode(), preprocess)
        pixels_nhwc = unpack_pixels(pa.chunked_array([columns[PIXELS]]), *preprocess.size)
        pixels_nchw = np.ascontiguousarray(pixels_nhwc.transpose(0, 3, 1, 2), np.float32) / np.float32(255)
        (output,) = session.run(None, {image.name: pixels_nchw})
        rows += [{"uri": str(path), "boxes": boxes_of(one.T, task)} for path, one in zip(batch, output, strict=True)]
    pq.write_table(pa.Table.from_pylist(rows), result)
    return sum(len(row["boxes"]) for row in rows)


def export_small(path: Path, side: int) -> Path:
    """Exports a network of the tests as .onnx, with the boxes of a grid of 8 pixels."""
    torch.manual_seed(0)
    network = yolo_like(num_classes=20).eval()
    program = torch.onnx.export(
        network,
        (torch.zeros(2, 3, side, side),),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("n")},),
        verbose=False,
    )
    program.save(path)
    return path


def job_command(root: Path, checkpoint: Path, arguments: argparse.Namespace, overrides: Sequence[str]) -> list[str]:
    return batch_infer(
        "+dataset=images",
        f"dataset.path={root}/images",
        f"model.checkpoint={checkpoint}",
        f"model.preprocess.resize={arguments.side}",
        "model.preprocess.resize_mode=longest_side",
        "model.preprocess.crop=null",
        "model.preprocess.mean=[0,0,0]",
        "model.preprocess.std=[1,1,1]",
        "task=detect",
        f"task.score_threshold={arguments.threshold}",
        "engine=onnxruntime",
        "engine.precision=fp32",
        "engine.device=cpu",
        f"output.path={root}/out",
        "run.shard_size=128",
        *overrides,
    )


if __name__ == "__main__":
    main()
