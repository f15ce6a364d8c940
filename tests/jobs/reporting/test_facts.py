from __future__ import annotations

from datetime import datetime

from actors.models.spec import Model
from actors.writing.records import Identity, Record
from jobs.datasets.images import ImagesDataset
from jobs.job import Job, Output
from jobs.reporting.facts import Facts

RECORD = Record("r", Identity("mabc", "d", "full"), "c", "2026-01-02T03:04:05+00:00", 5, 1, "digest")


def facts_of(path: object, elapsed_s: dict[str, float]) -> Facts:
    job = Job(dataset=ImagesDataset(path=path), model=Model(source="timm:resnet18"), output=Output(path="/out"))
    return Facts.of(job, RECORD, "s3://key:secret@bucket/out", elapsed_s)


def test_the_command_began_its_phases_ago() -> None:
    facts = facts_of("/in", {"check": 2.0, "run": 60.0})
    seconds = datetime.fromisoformat(facts.ended_at) - datetime.fromisoformat(facts.started_at)
    assert abs(seconds.total_seconds() - 62) < 0.01
    assert (facts.model, facts.dataset, facts.inventory_digest) == ("resnet18", "images: /in", "digest")
    assert "secret" not in facts.output
    assert facts_of("/in", {}).started_at == RECORD.opened_at


def test_many_paths_are_counted() -> None:
    assert facts_of(["https://u:p@host/a", "/b", "/c"], {}).dataset == "images: https://…@host/a and 2 more"
