"""The benchmark as a user runs it: figures, a comparison, and nothing left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from measured import FIGURES
from photos import write_photos

from jobs.benchmarking.figures import write_figures


def test_a_job_is_measured_and_compared(cluster: str, tmp_path: Path) -> None:
    write_photos(tmp_path / "images", 80, width=40, height=30)
    (tmp_path / "images/broken.jpg").write_bytes(b"\xff\xd8 no image")
    (tmp_path / "scratch").mkdir()
    write_figures(FIGURES, str(tmp_path / "old.json"))
    job = ["+dataset=images", "dataset.path=images", "model=digits", "batch_size=4", "output.rows_per_part=16"]
    settings = [f"cluster.address={cluster}", "benchmark.scratch=scratch", "benchmark.output=new.json"]
    settings += ["benchmark.compare=old.json"]
    command = [sys.executable, "-m", "jobs.benchmark", *job, *settings]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(tmp_path / "new.json")
    assert done.stdout.splitlines()[0].split() == ["images/s", "before", "ratio"]
    assert "not measured alike: num_images was 2000, now 81" in done.stderr
    figures = json.loads((tmp_path / "new.json").read_text())
    assert (figures["num_images"], figures["num_errors"]) == (81, 1)
    assert list(figures["stages"]) == ["listing", "reading", "decoding", "transfer", "model", "writing"]
    for rate in ("listing", "decoding", "writing"):
        assert figures["stages"][rate] > 0
    sizes = [path.stat().st_size for path in (tmp_path / "images").rglob("*.jpg")]
    assert figures["mean_image_bytes"] * 81 == sum(sizes)
    whole, limit = figures["variants"]["whole"], figures["limit"]
    assert whole["images_per_s"] * whole["elapsed_s"] == pytest.approx(81)
    assert limit["images_per_s"] == max(one["images_per_s"] for one in limit["tried"])
    assert limit["beside_ray"]
    assert figures["share_of_limit"] == whole["steady_images_per_s"] / limit["images_per_s"]
    assert not list((tmp_path / "scratch").iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "new.json", "old.json", "scratch"]
