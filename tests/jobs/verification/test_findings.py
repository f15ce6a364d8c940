from __future__ import annotations

import pytest

from jobs.verification.findings import NUM_NAMED, Findings, Status, Verdict, plural


def test_kinds_stay_together_in_the_order_in_which_they_came() -> None:
    findings = Findings()
    for kind, what in (("b", "1"), ("a", "2"), ("b", "3")):
        findings.add(kind, what)
    assert list(findings.lines()) == ["b: 1", "b: 3", "a: 2"]
    assert len(findings) == 3


def test_the_first_are_named_and_the_rest_is_counted() -> None:
    findings, other = Findings(), Findings()
    findings.add_many("x", (str(number) for number in range(10**9)), 10**9)
    other.add_many("x", ["more"], 1000)
    findings.merge(other)
    lines = list(findings.lines())
    assert lines[:NUM_NAMED] == [f"x: {number}" for number in range(NUM_NAMED)]
    assert lines[NUM_NAMED:] == ["x: 1,000,000,980 more, 1,000,001,000 in all"]


def test_nothing_is_no_kind() -> None:
    findings = Findings()
    findings.add_many("x", [], 0)
    findings.merge(Findings())
    assert list(findings.lines()) == []
    assert not len(findings)


def test_a_proven_run_in_one_line() -> None:
    verdict = Verdict(
        "r1", Status.proven, Findings(), num_listed=1000, num_ok=998, num_errors=2, num_parts=7, digest="0" * 32
    )
    assert list(verdict.lines()) == [
        "run r1: proven: 1,000 listed = 998 ok + 2 errors; 7 parts; rows digest " + "0" * 32
    ]


def test_moved_error_rows_are_told() -> None:
    verdict = Verdict("r1", Status.proven, Findings(), num_listed=1, num_errors=1, moved_to="r2")
    assert list(verdict.lines()) == [
        "run r1: proven: 1 listed = 0 ok + 1 errors; 0 parts; its error rows moved to run r2"
    ]


def test_a_refuted_run_says_why() -> None:
    findings = Findings()
    findings.add("missing part", "rows/x")
    verdict = Verdict("r1", Status.refuted, findings, num_ok=3, num_parts=1)
    assert list(verdict.lines()) == [
        "run r1: refuted: nothing listed, 3 ok + 0 errors found; 1 part; 1 finding",
        "run r1: missing part: rows/x",
    ]


def test_an_unfinished_run() -> None:
    verdict = Verdict("r1", Status.unfinished, Findings(), num_listed=8, num_ok=3, num_parts=1)
    assert list(verdict.lines()) == ["run r1: unfinished: 8 listed, 3 ok + 0 errors in 1 part"]


@pytest.mark.parametrize(("number", "text"), [(0, "0 runs"), (1, "1 run"), (1234, "1,234 runs")])
def test_plurals(number: int, text: str) -> None:
    assert plural(number, "run") == text
