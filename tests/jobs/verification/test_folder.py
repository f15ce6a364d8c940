from __future__ import annotations

from pathlib import Path

from places import local_place
from published import PublishedRun

from actors.storage.store import Storage
from jobs.verification.findings import Findings
from jobs.verification.folder import check_folder
from jobs.verification.output_files import list_output


def said(run: PublishedRun, folder: Path) -> list[str]:
    run.put(local_place(folder))
    findings = Findings()
    check_folder(list_output(str(folder), Storage()), "r1", findings)
    return list(findings.lines())


def test_what_a_run_has_is_no_stranger(tmp_path: Path) -> None:
    run = PublishedRun()
    run.files |= {f"runs/r1/{folder}/0-of-2.json": b"{}" for folder in ("slices", "decode_switches")}
    run.files |= {f"runs/r1/comparisons/r0/comparison.{end}": b"" for end in ("json", "html")}
    run.files["runs/r1/report.html"] = b"<html>"
    assert said(run, tmp_path) == []


def test_strangers_and_a_success_that_is_not_empty(tmp_path: Path) -> None:
    run = PublishedRun()
    run.files |= {"runs/r1/run.json.bak": b"{}", "runs/r1/deeper/run.json": b"{}", "runs/r1/_SUCCESS": b"x"}
    assert said(run, tmp_path) == [
        "stranger file: runs/r1/deeper/run.json",
        "stranger file: runs/r1/run.json.bak",
        "wrong document: runs/r1/_SUCCESS: it is not empty",
    ]
