"""Peak memory of driver and workers for a small and a large job.

    PYTHONPATH=tests/fixtures python tests/benchmarks/memory.py --images 2000 20000

See `processes` for the definition of the figures.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import torch
from networks import tiny
from photos import write_photos
from processes import batch_infer, watch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[2000, 20000])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        paths = write_photos(root / "images", 200)
        torch.save(tiny(10).state_dict(), root / "tiny.pt")
        for count in arguments.images:
            lines = [str(paths[number % len(paths)]) for number in range(count)]
            (root / f"list{count}.csv").write_text("uri\n" + "\n".join(lines))
            print(json.dumps({"num_images": count, **watch(job_command(root, count)).peaks}), flush=True)


def job_command(root: Path, count: int) -> list[str]:
    return batch_infer(
        "+dataset=manifest",
        f"dataset.path={root}/list{count}.csv",
        "model.architecture=networks:tiny",
        f"model.checkpoint={root}/tiny.pt",
        f"output.path={root}/out{count}",
    )


if __name__ == "__main__":
    main()
