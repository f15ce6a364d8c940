"""A job whose GPU returns a black image. Ray is given a GPU that does not exist; nvImageCodec decodes on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from networks import tiny
from photos import write_photos

from actors.decoding.config import has_nvimgcodec

NUM_IMAGES = 48
FIXTURES = Path(__file__).parent.parent / "fixtures"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(FIXTURES), "RAY_OVERRIDE_RESOURCES": '{"GPU": 1}'}


@pytest.mark.skipif(not has_nvimgcodec(), reason="needs the extra nvimgcodec")
@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU of its own")
def test_a_black_image_turns_the_run_to_the_cpu_which_does_all_of_it_again(tmp_path: Path) -> None:
    write_photos(tmp_path / "images", NUM_IMAGES, width=60, height=48)
    torch.save(tiny().state_dict(), tmp_path / "tiny.pt")
    done = subprocess.run(
        [
            sys.executable, "-m", "jobs.batch_infer", "+dataset=images", "dataset.path=images", "output.path=out",
            "model.architecture=faulty_gpu:tiny", "model.checkpoint=tiny.pt", "decode.device=gpu",
            "run.shard_size=8", "batch_size=8", "output.rows_per_part=8",
        ],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True,
        timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "decoding switched from GPU to CPU: shard 5: " in done.stderr
    assert f"{NUM_IMAGES} listed = {NUM_IMAGES} ok + 0 errors" in done.stdout
    parts = [pq.read_metadata(path) for path in (tmp_path / "out" / "rows").rglob("*.parquet")]
    assert sum(part.num_rows for part in parts) == NUM_IMAGES
    assert {json.loads(part.metadata[b"shardlens.provenance"])["decode"] for part in parts} == {"cpu"}
    [report] = [json.loads(path.read_text()) for path in (tmp_path / "out" / "runs").glob("*/report.json")]
    [switch] = report["decode_switches"]
    assert ".jpg: the GPU gives a single colour, up to " in switch["seen"]
    assert report["num_ok"] == NUM_IMAGES
