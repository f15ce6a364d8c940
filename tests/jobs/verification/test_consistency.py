from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from places import local_place
from published import PublishedRun

from actors.storage.store import Storage
from jobs.verification.consistency import check_agreement, read_documents
from jobs.verification.findings import Findings
from jobs.verification.inventory_check import check_inventory
from jobs.verification.output_files import list_output

Damage = Callable[[PublishedRun], object]


def said(run: PublishedRun, folder: Path) -> list[str]:
    run.put(local_place(folder))
    output, findings = list_output(str(folder), Storage()), Findings()
    record, manifest = read_documents(output, "r1", findings)
    check_agreement(record, manifest, check_inventory(output, "r1", Findings()), findings)
    return list(findings.lines())


def edit(document: str, **changes: object) -> Damage:
    return lambda run: run.edit(document, lambda content: content.update(changes))


def other_inventory(run: PublishedRun) -> None:
    other = PublishedRun(names=[["a", "b", "c", "d", "e"], ["f", "g"]])
    run.files[run.of("inventory")[0]] = other.files[other.of("inventory")[0]]


def test_documents_that_agree(tmp_path: Path) -> None:
    assert said(PublishedRun(), tmp_path) == []


@pytest.mark.parametrize(
    ("damage", "wrong"),
    [
        (edit("run.json", run_id="x"), ["wrong document: runs/r1/run.json: it belongs to run x"]),
        (edit("manifest.json", run_id="x"), ["wrong document: runs/r1/manifest.json: it belongs to run x"]),
        (
            edit("run.json", num_shards=3),
            ["wrong document: run.json: num_shards is 3, but the inventory says 2"],
        ),
        (
            edit("manifest.json", mode="redrive"),
            ["wrong document: manifest.json: mode is redrive, but run.json says full"],
        ),
        (
            edit("manifest.json", fingerprint="m1"),
            ["wrong document: manifest.json: fingerprint is m1, but run.json says m0123456789abcde"],
        ),
        (lambda run: run.files.pop("runs/r1/run.json"), ["missing document: runs/r1/run.json"]),
        (edit("run.json", redrives=3), ["wrong document: runs/r1/run.json: redrives=3 is not of type list"]),
    ],
)
def test_what_does_not_agree_is_named(damage: Damage, wrong: list[str], tmp_path: Path) -> None:
    run = PublishedRun()
    damage(run)
    assert said(run, tmp_path) == wrong


def test_another_inventory_than_that_of_the_documents(tmp_path: Path) -> None:
    run = PublishedRun()
    other_inventory(run)
    starts = [line.partition(" is ")[0] for line in said(run, tmp_path)]
    assert starts == [
        f"wrong document: {name}: {key}"
        for name in ("run.json", "manifest.json")
        for key in ("num_listed", "inventory_digest")
    ]
