"""Compares images per second and time by phase of a whole job with a plain single-process PyTorch loop.

    PYTHONPATH=tests/fixtures python tests/benchmarks/throughput.py --images 500

Both read the same JPEGs of 500 by 375 pixels, run the same ResNet-18 in fp32 and write the five best classes to
Parquet. The loop decodes and resizes with Pillow, as inference scripts do. Whole processes run one after the other.
Further arguments are overrides of the job, such as engine.threads=1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fitted import save_fitted
from photos import NUM_CLASSES, write_photos
from processes import batch_infer, environment, report_of

LOOP = """
import sys, torch, pyarrow as pa, pyarrow.parquet as pq
from pathlib import Path
from PIL import Image
from fitted import reference_pixels
from networks import resnet18
network = resnet18(num_classes=10).eval()
network.load_state_dict(torch.load(sys.argv[2]))
paths, rows = sorted(Path(sys.argv[1]).rglob("*.jpg")), []
with torch.inference_mode():
    for start in range(0, len(paths), 32):
        batch = paths[start:start + 32]
        scores, ids = torch.softmax(network(torch.stack([reference_pixels(Image.open(p)) for p in batch])), 1).topk(5)
        rows += [dict(uri=str(p), ids=i, scores=s) for p, i, s in zip(batch, ids.tolist(), scores.tolist())]
pq.write_table(pa.Table.from_pylist(rows), sys.argv[3])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    arguments, overrides = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_photos(root / "images", arguments.images)
        save_fitted(root / "resnet18.pt")
        loop_s = timed([sys.executable, "-c", LOOP, root / "images", root / "resnet18.pt", root / "loop.parquet"])
        job_s = timed(job_command(root, overrides))
        report = report_of(root / "out")
    figures = {
        "num_images": arguments.images,
        "loop_s": round(loop_s, 1),
        "job_s": round(job_s, 1),
        "loop_images_per_s": round(arguments.images / loop_s, 1),
        "job_images_per_s": round(arguments.images / job_s, 1),
        "job_run_images_per_s": round(report["images_per_s"], 1),
        "time_ratio_job_to_loop": round(job_s / loop_s, 2),
        "phases_s": report["elapsed_s"],
        "in_workers_s": {key: round(report[key], 1) for key in ("read_s", "decode_s", "predict_s")},
    }
    print(json.dumps(figures, indent=1))


def job_command(root: Path, overrides: list[str]) -> list[str]:
    return batch_infer(
        "+dataset=images",
        f"dataset.path={root}/images",
        "model.architecture=networks:resnet18",
        f"+model.kwargs.num_classes={NUM_CLASSES}",
        f"model.checkpoint={root}/resnet18.pt",
        f"output.path={root}/out",
        "run.shard_size=128",
        *overrides,
    )


def timed(command: list[str | Path]) -> float:
    """Returns the seconds of a whole process."""
    started = time.monotonic()
    subprocess.run(command, check=True, env=environment(), stdout=subprocess.DEVNULL)
    return time.monotonic() - started


if __name__ == "__main__":
    main()
