from __future__ import annotations

from pathlib import Path

import pytest
from places import Place, local_place
from published import PublishedRun

from actors.storage.store import Storage
from jobs.verification.consistency import read_documents
from jobs.verification.findings import Findings
from jobs.verification.inventory_check import check_inventory
from jobs.verification.output_files import list_output
from jobs.verification.redrives import check_moved_away, check_moved_here, is_published

BAD = ((0, 1), (1, 0), (1, 1))  # b, f, g


def moved(*, drop_files: bool = True) -> PublishedRun:
    """Returns the run r1, whose error rows have moved to r2."""
    run = PublishedRun(bad=BAD)
    run.edit("manifest.json", lambda content: content.update(redriven_by="r2"))
    for name in run.of("errors") if drop_files else ():
        del run.files[name]
    return run


def taker(*names: str, run_id: str = "r2", redrives: tuple[str, ...] = ("r1",)) -> PublishedRun:
    return PublishedRun(run_id, names=[names[:1], names[1:]], bad=(), cut=(), mode="redrive", redrives=redrives)


def said(place: Place, *runs: PublishedRun) -> list[str]:
    """Returns the findings about the first run."""
    for run in runs:
        run.put(place)
    output, findings = list_output(place.root, Storage(place.options)), Findings()
    run_id = runs[0].run_id
    record, manifest = read_documents(output, run_id, findings)
    assert record is not None
    assert manifest is not None
    check_moved_away(output, run_id, manifest, check_inventory(output, run_id, findings), findings)
    check_moved_here(output, record, findings)
    return list(findings.lines())


def test_a_whole_move(place: Place) -> None:
    run, other = moved(), taker("g", "f", "of another run", "b")
    assert said(place, run, other) == []
    assert said(place, other, run) == []


def test_runs_without_a_move(tmp_path: Path) -> None:
    assert said(local_place(tmp_path), PublishedRun(bad=BAD)) == []


def test_files_of_error_rows_that_are_left(tmp_path: Path) -> None:
    first, second = said(local_place(tmp_path), moved(drop_files=False), taker("b", "f", "g"))
    for line in (first, second):
        assert line.startswith("unfinished move: errors/model=m0123456789abcde/run=r1/part-")
        assert line.endswith("still there, though run r2 has taken its rows over; run the same command again")


def test_a_taker_that_is_not_published(tmp_path: Path) -> None:
    other = taker("b", "f", "g")
    del other.files["runs/r2/_SUCCESS"]
    expected = (
        "unfinished move: run r2, which has taken over the error rows, is not published; run the same command again"
    )
    assert said(local_place(tmp_path / "open"), moved(), other) == [expected]
    assert said(local_place(tmp_path / "gone"), moved()) == [expected]


@pytest.mark.parametrize("names", [("b", "g"), ("b", "F", "g")])
def test_rows_that_the_taker_does_not_list(names: tuple[str, ...], tmp_path: Path) -> None:
    (line,) = said(local_place(tmp_path), moved(), taker(*names))
    assert line.startswith("lost in a move: shard 1: row 0 (1 row) of part-")
    assert line.endswith("not listed by run r2")


def test_a_taker_without_an_inventory(tmp_path: Path) -> None:
    other = taker("b", "f", "g")
    del other.files[other.of("inventory")[0]]
    assert said(local_place(tmp_path), moved(), other) == ["lost in a move: the inventory of run r2 cannot be read"]


def test_a_taker_whose_source_does_not_know_of_it(tmp_path: Path) -> None:
    (line,) = said(local_place(tmp_path), taker("b", "f", "g"), PublishedRun(bad=BAD))
    assert line == (
        "unfinished move: run r1 still has the error rows that this one retried; run the same command again"
    )


def test_two_takers(tmp_path: Path) -> None:
    (line,) = said(local_place(tmp_path), taker("b", "f", "g", run_id="r3"), moved(), taker("b", "f", "g"))
    assert line == "doubled move: run r1 gave its error rows to run r2, not to this one"


def test_a_source_that_was_removed_since(tmp_path: Path) -> None:
    assert said(local_place(tmp_path), taker("b", "f", "g")) == []


def test_what_published_means(tmp_path: Path) -> None:
    PublishedRun().put(local_place(tmp_path))
    output = list_output(str(tmp_path), Storage())
    assert is_published(output, "r1")
    assert not is_published(output, "r2")
