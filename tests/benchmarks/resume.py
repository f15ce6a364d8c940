"""Measures the work lost when a driver is killed at several points of a run over tiny images, and the run is resumed.

    PYTHONPATH=tests/fixtures python tests/benchmarks/resume.py --images 100000

Prints, for each point, the images predicted when the driver was killed, those in finished parts, those predicted twice,
and whether any finished part was touched. Further arguments are overrides of the job.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from processes import batch_infer

import actors.sample
from actors.fault_injection import VARIABLE

SHARES = (0.1, 0.5, 0.9, 0.99)
BATCH = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    arguments, overrides = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_digits(root / "digits.parquet", arguments.images)
        print(json.dumps([killed_at(share, root, arguments.images, overrides) for share in SHARES], indent=1))


def write_digits(path: Path, count: int) -> None:
    """Writes ``count`` images by repeating the digits of the sample."""
    digits = pq.read_table(Path(actors.sample.__file__).parent / "digits.parquet")
    table = pa.concat_tables([digits] * (count // len(digits) + 1)).slice(0, count)
    pq.write_table(table, path, row_group_size=512)


def killed_at(share: float, root: Path, num_images: int, overrides: list[str]) -> dict[str, object]:
    output, marks = root / f"out{share}", root / f"marks{share}"
    marks.mkdir()
    command = batch_infer(
        "+dataset=parquet",
        f"dataset.path={root}/digits.parquet",
        "model=digits",
        f"output.path={output}",
        f"batch_size={BATCH}",
        *overrides,
    )
    hit = max(1, int(share * num_images / BATCH))
    environment = {**os.environ, VARIABLE: f"predict.done:{hit}:mark:{marks}"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (marks / f"predict.done.{hit}").exists():
        if process.poll() is not None:
            raise RuntimeError(f"the job ended with {process.returncode} before it could be killed")
        time.sleep(0.01)
    process.kill()
    process.wait()
    num_predicted = len(list(marks.iterdir())) * BATCH
    kept = parts(output)
    started = time.monotonic()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.monotonic() - started
    report = json.loads((Path(done.stdout.splitlines()[-1]) / "report.json").read_text())
    now = parts(output)
    verdict = subprocess.run([sys.executable, "-m", "jobs.verify", f"output.path={output}"], check=False)
    return {
        "killed_at_share": share,
        "images_predicted": num_predicted,
        "images_in_whole_parts": report["num_done_before"],
        "share_predicted_twice": round((num_predicted - report["num_done_before"]) / num_images, 4),
        "whole_parts": len(kept),
        "whole_parts_touched": sum(now.get(path) != when for path, when in kept.items()),
        "second_command_s": round(seconds, 1),
        "verified": verdict.returncode == 0,
    }


def parts(output: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in output.rglob("part-*.parquet")}


if __name__ == "__main__":
    main()
