from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from detected import DetectedRun
from places import local_place

from actors.outputs import PublishedRun, open_output
from jobs.pages.facts import read_facts


@pytest.fixture
def run(tmp_path: Path) -> PublishedRun:
    made = DetectedRun("a")
    made.files["runs/a/config.yaml"] = b"task: {name: detect}\ndataset: {kind: images}\nmodel: {labels: [cat, dog]}\n"
    made.put(local_place(tmp_path))
    return open_output(str(tmp_path)).run("a")


def test_the_documents_of_a_run_are_enough(run: PublishedRun) -> None:
    facts = read_facts(run)
    assert facts.num_listed == facts.num_ok + facts.num_errors == 8
    assert (facts.task, facts.num_parts, facts.labels) == ("detect", 3, ["cat", "dog"])
    assert facts.manifest_sha256 == hashlib.sha256(Path(run.paths.manifest).read_bytes()).hexdigest()
    assert not facts.scores
    Path(run.paths.metrics).write_text(json.dumps({"metrics": {"map": 0.5}}))
    assert read_facts(run).scores == {"map": 0.5}


@pytest.mark.parametrize("name", ["report.json", "run.json"])
def test_a_damaged_document_is_a_value_error(run: PublishedRun, name: str) -> None:
    (Path(run.paths.run) / name).write_text("{")
    with pytest.raises(ValueError, match=r"JSON|Expecting"):
        read_facts(run)


def test_a_run_among_followed_checkpoints_has_their_scores(run: PublishedRun) -> None:
    folder = Path(run.paths.followed(""))
    folder.mkdir()
    (folder / "best.json").write_text(json.dumps({"score": "map", "run_id": "b"}))
    (folder / "scores.jsonl").write_text(json.dumps({"run_id": "b"}) + "\n")
    assert read_facts(run).followed is None
    with (folder / "scores.jsonl").open("a") as scores:
        scores.write(json.dumps({"run_id": "a"}) + "\n")
    followed = read_facts(run).followed
    assert followed is not None
    assert ([row["run_id"] for row in followed.rows], followed.best["score"]) == (["b", "a"], "map")
