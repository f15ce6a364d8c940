from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from answering import Asked, Reply, answering
from finished import add_photos
from pictured import opened_over, publish_all

from actors.errors import JobError
from actors.outputs import PublishedRun
from jobs.datasets.images import ImagesDataset
from jobs.job import OutputLocation
from jobs.replaying.config import Replay, ReplayJob
from jobs.replaying.replay import replay_run


@pytest.fixture
def run(tmp_path: Path) -> PublishedRun:
    add_photos(tmp_path / "photos", range(6))
    return publish_all(opened_over(ImagesDataset(path=str(tmp_path / "photos")), tmp_path / "out"), bad=["5.jpg"])


def endpoint_of(run: PublishedRun, photos: Path) -> Callable[[Asked], Reply]:
    """Returns an endpoint that answers with the rows of the run, as if it had the same model."""
    answers: dict[bytes, Reply] = {}
    for table in run.read():
        for row in table.to_pylist():
            content = {key: value for key, value in row.items() if key not in ("image_id", "uri", "target")}
            answers[(photos / row["uri"].rpartition("/")[2]).read_bytes()] = Reply(content)
    failed = {"stage": "decode", "error": "truncated", "message": "cut off"}
    answers[(photos / "5.jpg").read_bytes()] = Reply(failed, 422)
    return lambda asked: answers[asked.body]


def wanted(run: PublishedRun, url: str, **replay: Any) -> ReplayJob:
    return ReplayJob(run.run_id, url, OutputLocation(run.paths.root), Replay(**replay))


def test_the_same_model_gives_equal_answers_for_failed_images_too(run: PublishedRun, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("of-the-endpoint\n")
    with answering(endpoint_of(run, tmp_path / "photos")) as (url, asked):
        replayed = replay_run(wanted(run, url, token_file=str(tmp_path / "token")))
    assert replayed.is_equal
    assert [*replayed.lines()][-1].endswith("6 drawn = 6 equal + 0 different + 0 not sent")
    assert {one.token for one in asked} == {"Bearer of-the-endpoint"}


def test_differences_and_changed_images_are_told_apart(run: PublishedRun, tmp_path: Path) -> None:
    same = endpoint_of(run, tmp_path / "photos")
    second = (tmp_path / "photos/2.jpg").read_bytes()
    (tmp_path / "photos/3.jpg").write_bytes(b"other")

    def reply(asked: Asked) -> Reply:
        answer = same(asked)
        return Reply({**answer.content, "label": "bird"}) if asked.body == second else answer

    with answering(reply) as (url, _):
        replayed = replay_run(wanted(run, url))
    assert not replayed.is_equal
    assert [*replayed.lines()][-1].endswith("6 drawn = 4 equal + 1 different + 1 not sent")
    replayed.write(str(tmp_path / "replay.json"), run.storage)
    document = json.loads((tmp_path / "replay.json").read_text())
    assert (document["num_sent"], document["num_equal"], document["run_id"]) == (5, 4, run.run_id)
    assert document["different"][0]["uri"].endswith("2.jpg")
    assert "became bird" in document["different"][0]["reason"]
    assert document["not_sent"][0]["uri"].endswith("3.jpg")


def test_nothing_compared_is_not_equal(run: PublishedRun, tmp_path: Path) -> None:
    for file in (tmp_path / "photos").iterdir():
        file.unlink()
    with answering(lambda _: Reply({})) as (url, asked):
        assert not replay_run(wanted(run, url)).is_equal
    assert asked == []


def test_the_token_may_come_from_the_environment(
    run: PublishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARDLENS_SERVE_TOKEN", "of-the-environment")
    with answering(endpoint_of(run, tmp_path / "photos")) as (url, asked):
        replay_run(wanted(run, url, images=1))
    assert [one.token for one in asked] == ["Bearer of-the-environment"]


@pytest.mark.parametrize(
    ("replay", "named"),
    [({"images": 0}, "replay.images=0"), ({"concurrency": -1}, "concurrency"), ({"token_file": "gone"}, "token_file")],
)
def test_a_wrong_key_is_named(run: PublishedRun, replay: dict[str, Any], named: str) -> None:
    with pytest.raises(JobError, match=named):
        replay_run(wanted(run, "http://127.0.0.1:9", **replay))
