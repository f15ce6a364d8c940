from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from detected import DetectedRun
from places import local_place

from actors.storage.store import Storage
from actors.writing.run_paths import RunPaths
from jobs.pages.facts import read_facts


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    made = DetectedRun("a")
    made.put(local_place(tmp_path))
    (tmp_path / "runs/a/config.yaml").write_text("task: {name: detect}\ndataset: {kind: images}\n")
    return RunPaths(str(tmp_path), made.fingerprint, "a")


def test_the_documents_of_a_run_are_enough(run: RunPaths) -> None:
    facts = read_facts(run, Storage())
    assert facts.num_listed == facts.num_ok + facts.num_errors == 8
    assert facts.task == "detect"
    assert facts.num_parts == 3
    assert facts.manifest_sha256 == hashlib.sha256(Path(run.manifest).read_bytes()).hexdigest()
    assert not facts.scores
    Path(run.metrics).write_text(json.dumps({"metrics": {"map": 0.5}}))
    assert read_facts(run, Storage()).scores == {"map": 0.5}


@pytest.mark.parametrize("name", ["report.json", "run.json", "manifest.json"])
def test_a_damaged_document_is_a_value_error(run: RunPaths, name: str) -> None:
    (Path(run.run) / name).write_text("{")
    with pytest.raises(ValueError, match=r"JSON|Expecting"):
        read_facts(run, Storage())
