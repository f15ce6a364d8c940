"""Training followed from another process: each checkpoint is evaluated once, whatever happens in the meantime."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from places import s3_place
from s3 import S3
from training import trained

from actors.fault_injection import VARIABLE
from actors.storage.store import Storage

FIXTURES = Path(__file__).parent.parent / "fixtures"
SAMPLE = (
    "+dataset=sample", "batch_size=50", "run.shard_size=100", "output.rows_per_part=100", "checkpoints.poll_s=0.3"
)  # fmt: skip
Start = Callable[..., subprocess.Popen[str]]


def checkpoint(noise: float) -> bytes:
    """Returns a state_dict of the sample's network; the more noise, the lower its score."""
    torch.manual_seed(0)
    weights = {name: value + noise * torch.randn_like(value) for name, value in trained().state_dict().items()}
    file = io.BytesIO()
    torch.save(weights, file)
    return file.getvalue()


@pytest.fixture
def start(cluster: str, tmp_path: Path) -> Iterator[Start]:
    """Starts a verb on the shared cluster, and finally kills its remaining processes."""
    processes = []

    def run(verb: str, *overrides: str, faults: str = "") -> subprocess.Popen[str]:
        variables = {**os.environ, "PYTHONPATH": str(FIXTURES), **({VARIABLE: faults} if faults else {})}
        command = [sys.executable, "-m", f"jobs.{verb}", f"cluster.address={cluster}", *overrides]
        with (tmp_path / f"{len(processes)}.err").open("w") as log:
            process = subprocess.Popen(
                command, cwd=tmp_path, env=variables, stdout=subprocess.PIPE, stderr=log, text=True
            )
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], status: int, folder: Path) -> Sequence[str]:
    """Returns the standard output lines of a process that must exit with ``status``."""
    printed, _ = process.communicate(timeout=180)
    assert process.returncode == status, "".join(path.read_text() for path in sorted(folder.glob("*.err")))
    return printed.splitlines()


def wait_for(is_there: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not is_there():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)


def rows_in(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_a_training_followed_through_a_kill_a_torn_file_and_a_stop(tmp_path: Path, start: Start) -> None:
    folder, scores = tmp_path / "ck", tmp_path / "out" / "follow" / "scores.jsonl"
    followed = ("checkpoints.path=ck", "output.path=out", *SAMPLE, "checkpoints.score=top1")
    killed = start("follow", *followed, faults=f"write.done:3:mark:{tmp_path}")
    folder.mkdir()
    (folder / "epoch-9.pt").write_bytes(checkpoint(0.1))
    wait_for((tmp_path / "write.done.3").exists, killed)
    killed.kill()
    killed.wait()
    assert rows_in(scores) == []

    follower = start("follow", *followed)
    wait_for(lambda: len(rows_in(scores)) == 1, follower)
    assert "done before" in (tmp_path / "1.err").read_text()
    best = checkpoint(0.0)
    (folder / "epoch-10.pt").write_bytes(best[:100_000])
    wait_for(lambda: len(rows_in(scores)) == 2, follower)
    (folder / "epoch-10.pt").write_bytes(best)
    wait_for(lambda: len(rows_in(scores)) == 3, follower)
    assert ended(start("follow", *followed), 5, tmp_path) == []
    follower.send_signal(signal.SIGTERM)
    assert ended(follower, 4, tmp_path)[-1] == str(scores.parent)

    (folder / "epoch-11.pt").write_bytes(checkpoint(0.05))
    (folder / "last.pt").write_bytes(best)
    (folder / "DONE").touch()
    printed = ended(start("follow", *followed, "checkpoints.end_marker=DONE", "report.html=true"), 0, tmp_path)
    assert [line.split()[0] for line in printed if "top1 " in line] == ["epoch-11.pt", "best"]

    rows = rows_in(scores)
    assert [row["name"] for row in rows] == ["epoch-9.pt", "epoch-10.pt", "epoch-10.pt", "epoch-11.pt"]
    assert rows[1]["metrics"] is None
    assert "epoch-10.pt" in rows[1]["error"]
    good = [row for row in rows if row["metrics"]]
    assert {(row["num_images"], row["num_labelled"]) for row in good} == {(1797, 599)}
    runs = {path.parent.name for path in (tmp_path / "out" / "runs").glob("*/_SUCCESS")}
    assert runs == {row["run_id"] for row in good}
    assert len(list((tmp_path / "out" / "rows").glob("model=*/run=*"))) == 3
    (page,) = (tmp_path / "out" / "runs").glob("*/report.html")
    assert page.parent.name == rows[-1]["run_id"]
    assert "Checkpoint 3 of 3: top1" in page.read_text(encoding="utf-8")

    told = json.loads((scores.parent / "best.json").read_text())
    evaluated = start(
        "evaluate", *SAMPLE[:-1], "engine=torch", "output.path=again", f"model.checkpoint={folder}/epoch-10.pt"
    )
    metrics = json.loads(Path(ended(evaluated, 0, tmp_path)[-1]).read_text())
    assert told["name"] == "epoch-10.pt"
    assert told["metrics"] == metrics["metrics"]
    assert told["value"] == metrics["metrics"]["top1"] > 98


def test_a_prefix_of_a_bucket_is_followed_until_the_patience_ends(tmp_path: Path, start: Start, s3: S3) -> None:
    place = s3_place(s3)
    for number, noise in enumerate((0.1, 0.0, 0.08, 0.07)):
        place.put(f"step-{number + 8}/weights.pt", checkpoint(noise))
        time.sleep(1.1)  # a bucket's timestamps have a resolution of one second
    options = [
        f"+{node}.storage_options.{key}={value}" for node in ("model", "output") for key, value in place.options.items()
    ]
    follower = start(
        "follow", *SAMPLE, *options, f"checkpoints.path={place.root}", f"output.path={place.root}/out",
        "checkpoints.pattern=step-*/*.pt", "checkpoints.patience=1",
    )  # fmt: skip
    printed = ended(follower, 0, tmp_path)
    assert printed[-1] == f"{place.root}/out/follow"
    storage = Storage(place.options)
    rows = [json.loads(line) for line in storage.read(f"{place.root}/out/follow/scores.jsonl").splitlines()]
    assert [row["name"] for row in rows] == ["step-8/weights.pt", "step-9/weights.pt", "step-10/weights.pt"]
    assert json.loads(storage.read(f"{place.root}/out/follow/best.json"))["name"] == "step-9/weights.pt"
    assert b"step-10/weights.pt" in storage.read(f"{place.root}/out/follow/curve.html")
