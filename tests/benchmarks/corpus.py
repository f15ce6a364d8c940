"""Runs a job over damaged images: each must have an outcome, and workers must need no more memory than for intact ones.

    PYTHONPATH=tests/fixtures python tests/benchmarks/corpus.py --images 10000 --seed 7

Creates seeded mutations of unusual and invalid JPEG, PNG, WebP and TIFF files in equal numbers. Prints their outcomes
and the peak memory of each kind of process in MiB, sampled five times per second.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from mutations import mutations
from processes import batch_infer, report_of, watch

SUFFIXES = (".jpg", ".png", ".webp", ".tiff")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "images").mkdir()
        for suffix in SUFFIXES:
            for number, data in enumerate(mutations(arguments.seed, arguments.images // len(SUFFIXES), suffix)):
                (root / "images" / f"{number:06d}{suffix}").write_bytes(data)
        watched = watch(
            batch_infer(
                "+dataset=images",
                f"dataset.path={root}/images",
                "model=digits",
                f"output.path={root}/out",
                "errors.max_ratio=1",
            )
        )
        report = report_of(root / "out")
        verdict = subprocess.run([sys.executable, "-m", "jobs.verify", f"output.path={root}/out"], check=False)
    kept = ("num_listed", "num_ok", "num_errors", "error_kinds")
    print(
        json.dumps({key: report[key] for key in kept} | {"seconds": round(watched.seconds), **watched.peaks}, indent=1)
    )
    sys.exit(verdict.returncode)


if __name__ == "__main__":
    main()
