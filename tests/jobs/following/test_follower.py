"""The loop, over real files, a real book and a real lease; the scores come from the files instead of a model."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.errors import JobError
from actors.storage.store import Storage
from jobs.cli.entry import ExitStatus
from jobs.config import to_following
from jobs.following.checkpoints import Checkpoint
from jobs.following.follower import Follower
from jobs.following.score_book import Row, ScoreBook
from jobs.following.watching import Watch
from jobs.leases.lease import HeldError, hold
from jobs.schemas import compose_verb

Follow = Callable[..., ExitStatus]


class Readings:
    """Replaces the evaluations: the score of a checkpoint is its content; ``torn`` is invalid."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.before: Callable[[Checkpoint], None] = lambda _: None
        self.is_pinned = False
        self.pages: list[str] = []

    def add_page(self, row: Row) -> None:
        self.pages.append(row.name)

    def evaluate(self, checkpoint: Checkpoint, digest: str) -> Row:
        self.names.append(checkpoint.name)
        text = Path(checkpoint.uri).read_text()
        self.before(checkpoint)
        is_good = text != "torn"
        return Row(
            name=checkpoint.name,
            checkpoint=checkpoint.uri,
            version=checkpoint.version,
            digest=digest,
            modified_at=str(checkpoint.modified_at),
            size_bytes=checkpoint.size_bytes,
            job="j",
            run_id="r",
            evaluated_at=f"{len(self.names):03}",
            seconds=0.0,
            is_pinned=self.is_pinned,
            metrics={"top1": float(text)} if is_good else None,
            error=None if is_good else "torn",
        )


@pytest.fixture
def readings() -> Readings:
    return Readings()


@pytest.fixture
def follow(tmp_path: Path, readings: Readings, monkeypatch: pytest.MonkeyPatch) -> Follow:
    """Follows ``ck`` until it ends."""

    def run(*overrides: str) -> ExitStatus:
        given = [f"checkpoints.path={tmp_path / 'ck'}", "+dataset=sample", "checkpoints.poll_s=0.1", *overrides]
        job = to_following(compose_verb("follow", given)).job
        storage, folder = Storage(), str(tmp_path / "follow")
        book = ScoreBook(folder, storage, "top1", is_minimum=False, job="j")
        book.load()
        watch = Watch(job.checkpoints.path, job.checkpoints.pattern, 0.1, storage)
        with hold(folder, storage, ttl_s=10, on_lost=lambda _: None) as lease:
            follower = Follower(job, watch, _any(readings), book, lease, storage)
            status = follower.follow()
        follower.summarize()
        return status

    monkeypatch.setattr(logging.getLogger("shardlens"), "propagate", True)
    return run


def _any(value: Any) -> Any:
    return value


def write(folder: Path, *scores: object) -> None:
    """Writes ``0.pt``, ``1.pt`` and so on, one second apart."""
    (folder / "ck").mkdir(exist_ok=True)
    for number, score in enumerate(scores):
        path = folder / "ck" / f"{number}.pt"
        path.write_text(str(score))
        os.utime(path, (number, number))


def end(folder: Path) -> str:
    (folder / "ck" / "DONE").touch()
    return "checkpoints.end_marker=DONE"


def test_each_content_is_evaluated_once_and_the_marker_ends_it(
    tmp_path: Path, follow: Follow, readings: Readings, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, 50.0, 70.0, 60.0, 70.0)
    assert follow(end(tmp_path)) is ExitStatus.DONE
    assert readings.names == readings.pages == ["0.pt", "1.pt", "2.pt"], "3.pt is a copy of 1.pt"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("0.pt  top1 50.0000 %  ")
    assert lines[1].endswith("▁█  best so far")
    assert lines[2] == "2.pt  top1 60.0000 %  ▁█▅"
    assert lines[-2:] == [f"best {tmp_path}/ck/1.pt  top1 70.0000 %", f"{tmp_path}/follow"]
    assert follow("checkpoints.end_marker=DONE") is ExitStatus.DONE
    assert len(readings.names) == 3
    write(tmp_path, 80.25)
    assert follow("checkpoints.end_marker=DONE") is ExitStatus.DONE
    assert readings.names[3:] == ["0.pt"], "it was written over"


def test_patience_ends_it_at_once_and_again(tmp_path: Path, follow: Follow, readings: Readings) -> None:
    write(tmp_path, 50.0, 70.0, 60.0, 65.0, 90.0)
    assert follow("checkpoints.patience=2") is ExitStatus.DONE
    assert follow("checkpoints.patience=2") is ExitStatus.DONE
    assert readings.names == ["0.pt", "1.pt", "2.pt", "3.pt"]


def test_a_checkpoint_that_is_wrong_is_tried_again_by_the_next_command_alone(
    tmp_path: Path, follow: Follow, readings: Readings, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, 50.0, "torn", 60.0)
    assert follow(end(tmp_path)) is ExitStatus.DONE
    assert "1.pt: cannot be evaluated: torn" in caplog.text
    assert follow("checkpoints.end_marker=DONE") is ExitStatus.DONE
    assert readings.names == ["0.pt", "1.pt", "2.pt", "1.pt"]
    assert len((tmp_path / "follow" / "scores.jsonl").read_text().splitlines()) == 3


def test_too_many_failures_in_a_row_end_it(tmp_path: Path, follow: Follow, readings: Readings) -> None:
    write(tmp_path, "torn", 50.0, "torn")
    (tmp_path / "ck" / "3.pt").mkdir()
    (tmp_path / "ck" / "4.onnx").write_text("torn")
    assert follow(end(tmp_path), "checkpoints.max_failures=2") is ExitStatus.DONE, "the last two have the same content"
    write(tmp_path, "torn")
    (tmp_path / "ck" / "1.pt").unlink()
    assert readings.names == ["0.pt", "1.pt"]
    (tmp_path / "follow" / "scores.jsonl").unlink()
    assert follow("checkpoints.end_marker=DONE", "checkpoints.max_failures=1") is ExitStatus.OVER_BUDGET


@pytest.mark.parametrize(("is_pinned", "scores"), [(False, [90.0]), (True, [50.0, 90.0])])
def test_one_that_changes_meanwhile_has_a_score_if_its_content_was_held(
    tmp_path: Path, follow: Follow, readings: Readings, *, is_pinned: bool, scores: list[float]
) -> None:
    def overwrite(checkpoint: Checkpoint) -> None:
        readings.before = lambda _: None
        Path(checkpoint.uri).write_text("90.0")

    readings.before, readings.is_pinned = overwrite, is_pinned
    write(tmp_path, 50.0)
    assert follow(end(tmp_path)) is ExitStatus.DONE
    assert readings.names == ["0.pt", "0.pt"]
    rows = [json.loads(line) for line in (tmp_path / "follow" / "scores.jsonl").read_text().splitlines()]
    assert [row["metrics"]["top1"] for row in rows] == scores


def test_one_that_is_removed_meanwhile_keeps_its_score(tmp_path: Path, follow: Follow, readings: Readings) -> None:
    readings.before, readings.is_pinned = lambda checkpoint: Path(checkpoint.uri).unlink(), True
    write(tmp_path, 50.0)
    assert follow(end(tmp_path)) is ExitStatus.DONE
    assert '"top1": 50.0' in (tmp_path / "follow" / "scores.jsonl").read_text()


def test_an_output_that_another_run_holds_is_tried_again(tmp_path: Path, follow: Follow, readings: Readings) -> None:
    def refuse(_: Checkpoint) -> None:
        readings.before = lambda _: None
        raise HeldError("another run holds this output")

    readings.before = refuse
    write(tmp_path, 50.0)
    assert follow(end(tmp_path)) is ExitStatus.DONE
    assert readings.names == ["0.pt", "0.pt"]


def test_limits_hold_for_the_best_checkpoint(tmp_path: Path, follow: Follow, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, 50.0, 70.0, 60.0)
    marker = end(tmp_path)
    assert follow(marker, "evaluate.fail_under={top1: 0.7}") is ExitStatus.DONE
    assert follow(marker, "evaluate.fail_under={top1: 0.71}") is ExitStatus.OVER_BUDGET
    assert "evaluate.fail_under.top1=0.71: top1 is 0.7" in caplog.text


def test_a_training_that_ended_without_a_score(tmp_path: Path, follow: Follow) -> None:
    (tmp_path / "ck").mkdir()
    with pytest.raises(JobError, match="the training has ended without a checkpoint"):
        follow(end(tmp_path))
    write(tmp_path, "torn")
    assert follow("checkpoints.end_marker=DONE") is ExitStatus.OVER_BUDGET
