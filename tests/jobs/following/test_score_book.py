from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors.errors import JobError
from actors.storage.store import Storage
from jobs.following.score_book import Row, ScoreBook


def row(name: str, top1: float | None, *, at: int = 0, **changes: Any) -> Row:
    content = {
        "name": name, "checkpoint": f"/ck/{name}", "version": "v", "digest": f"d{name}{at}", "size_bytes": 1,
        "modified_at": f"2026-01-01T00:00:{at:02}", "job": "j", "run_id": f"{name}-1", "seconds": 1.0,
        "evaluated_at": f"2026-01-02T00:00:{at:02}", "metrics": None if top1 is None else {"top1": top1, "ece": 0.1},
        "error": "torn" if top1 is None else None, "fix": None,
    }  # fmt: skip
    return Row(**{**content, **changes})


def book(folder: Path, *, score: str = "top1", is_minimum: bool = False, job: str = "j") -> ScoreBook:
    opened = ScoreBook(str(folder), Storage(), score, is_minimum, job)
    opened.load()
    return opened


def test_each_row_is_kept_with_the_best_one_beside(tmp_path: Path) -> None:
    mine = book(tmp_path)
    assert (mine.best, mine.num_since_best) == (None, 0)
    for at, (name, top1) in enumerate([("a", 50.0), ("b", 70.0), ("torn", None), ("c", 70.0), ("d", 60.0)]):
        mine.add(row(name, top1, at=at))
    assert (mine.best and mine.best.name, mine.num_since_best) == ("b", 2)
    best = json.loads((tmp_path / "best.json").read_text())
    assert (best["name"], best["value"], best["score"], best["num_scored"]) == ("b", 70.0, "top1", 4)
    again = book(tmp_path)
    assert again.rows == mine.rows
    assert [point.name for point in again.points() if point.is_best] == ["b"]
    assert "/ck/" not in (tmp_path / "curve.html").read_text()
    least = book(tmp_path, is_minimum=True)
    assert (least.best and least.best.name, least.num_since_best) == ("a", 3)
    assert json.loads((tmp_path / "best.json").read_text())["name"] == "a"


def test_documents_lost_in_a_crash_are_written_again(tmp_path: Path) -> None:
    book(tmp_path).add(row("a", 50.0))
    (tmp_path / "best.json").unlink()
    book(tmp_path)
    assert json.loads((tmp_path / "best.json").read_text())["name"] == "a"


def test_scores_that_are_undefined_are_never_best(tmp_path: Path) -> None:
    mine = book(tmp_path, score="auroc")
    mine.add(row("a", 50.0))
    mine.add(row("b", 60.0, metrics={"auroc": float("nan")}))
    assert (mine.best, mine.num_since_best) == (None, 2)
    assert not (tmp_path / "best.json").exists()


def test_an_error_stands_until_the_checkpoint_is_good_and_is_not_repeated(tmp_path: Path) -> None:
    mine = book(tmp_path)
    mine.add(row("a", None, digest="torn"))
    mine.add(row("a", None, digest="torn", at=1))
    assert len(mine.rows) == 1
    assert [(point.value, point.error) for point in mine.points()] == [(None, "torn")]
    mine.add(row("a", 50.0, at=2))
    assert [(point.value, point.error) for point in mine.points()] == [(50.0, "")]
    assert len(book(tmp_path).rows) == 2, "the row stays"


def test_rows_of_another_job_are_refused_unless_they_are_errors(tmp_path: Path) -> None:
    book(tmp_path).add(row("a", None))
    assert len(book(tmp_path, job="other").rows) == 1
    book(tmp_path).add(row("b", 1.0))
    with pytest.raises(JobError, match="scores of another dataset, model or task"):
        book(tmp_path, job="other")
    (tmp_path / "scores.jsonl").write_text('{"name": 1}\n')
    with pytest.raises(JobError, match=r"scores\.jsonl: damaged"):
        book(tmp_path)
