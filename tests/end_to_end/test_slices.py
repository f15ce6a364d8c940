"""Several drivers that share one run."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from photos import jpeg
from proven import verdict

NUM_IMAGES = 96


@pytest.fixture
def job(tmp_path: Path) -> tuple[str, ...]:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(NUM_IMAGES):
        (folder / f"{number:04d}.jpg").write_bytes(jpeg(number, width=40, height=30))
    small = ("run.shard_size=8", "batch_size=8", "output.rows_per_part=16")
    alike = ("engine=torch", "engine.threads=1")  # more threads round differently
    return ("+dataset=images", f"dataset.path={folder}", "model=digits", *small, *alike)


def digest(said: str) -> str:
    found = re.search(r"rows digest (\w{32})", said)
    assert found, said
    return found[1]


def test_two_slices_of_which_one_is_killed_and_resumed_publish_one_run(
    job: tuple[str, ...],
    batch_infer,  # noqa: ANN001
    start_batch_infer,  # noqa: ANN001
    tmp_path: Path,
) -> None:
    shared = (*job, "output.path=out", "run.id=night", "run.slices=2", "cluster.drivers=2")
    killed = start_batch_infer(*shared, "run.slice=1", faults=f"write.done:1:mark:{tmp_path}")
    other = start_batch_infer(*shared, "run.slice=0")
    deadline = time.monotonic() + 120
    while not (tmp_path / "write.done.1").exists():
        assert time.monotonic() < deadline
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.02)
    killed.kill()
    killed.communicate()
    told, logged = other.communicate(timeout=120)
    assert other.returncode == 0, logged
    assert "48 listed = 48 ok + 0 errors" in told
    assert re.search(r"slice 0 of 2 is done; \d+ images are left to the others", logged)
    assert not (tmp_path / "out/runs/night/_SUCCESS").exists()

    resumed = batch_infer(*shared, "run.slice=1")
    assert resumed.returncode == 0, resumed.stderr
    assert re.search(r"run night, slice 1 of 2: 48 images, \d+ of them done before", resumed.stderr)
    again = batch_infer(*shared, "run.slice=0")
    assert (again.returncode, "nothing to do" in again.stderr) == (0, True)

    report = json.loads((tmp_path / "out/runs/night/report.json").read_text())
    assert (report["status"], report["num_listed"], report["num_ok"]) == ("done", NUM_IMAGES, NUM_IMAGES)
    of_slices = [json.loads((tmp_path / f"out/runs/night/slices/{i}-of-2.json").read_text()) for i in (0, 1)]
    assert [one["num_listed"] for one in of_slices] == [48, 48]
    said = verdict(tmp_path / "out")
    assert f"{NUM_IMAGES} listed = {NUM_IMAGES} ok + 0 errors" in said
    clean = batch_infer(*job, "run.shard_size=20", "output.path=clean")  # the shard size changes no row
    assert clean.returncode == 0, clean.stderr
    assert digest(said) == digest(verdict(tmp_path / "clean"))
